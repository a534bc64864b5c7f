"""The distributions: what is in them, and that the wheel alone, with what it requires, works."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from leads_service import __version__
from tests.helpers import APPLIED, ROOT

SERVES = """
import leads_service

client = leads_service.create_app().test_client()
print(leads_service.__file__)
for path in ("/healthz", "/docs", "/docs/swagger-ui.css", "/docs/docs.js", "/openapi.json"):
    print(path, client.get(path).status)
"""


HOST = """
from flask import Flask
from peewee import SqliteDatabase

import leads_service

app = Flask("host")
leads_service.init_app(app, user_id=lambda: 7, database=SqliteDatabase("host.db"))
client = app.test_client()
if __name__ == "__main__":
    print(leads_service.__file__)
    print(client.post("/v1/leads", json={"company_id": 1}).status)
    print(len(client.get("/v1/leads").json["data"]))
"""


pytestmark = pytest.mark.slow  # each of them needs what was built


class Built(NamedTuple):
    """The sources, what was built from them, and where the wheel is installed."""

    sources: Path
    sdist: Path
    wheel: Path
    installed: Path


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    process = subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return process.stdout


def copy_sources(target: Path) -> None:
    """Copy what git knows or would take: a build leaves files beside its sources."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build an sdist, from it the wheel, and install that beside what the tests run with."""
    sources, dist, installed = (
        tmp_path_factory.mktemp(name) for name in ("sources", "dist", "installed")
    )
    copy_sources(sources)
    run(sys.executable, "-m", "build", "--outdir", dist, cwd=sources)
    (sdist,) = dist.glob("*.tar.gz")
    (wheel,) = dist.glob("*.whl")
    install = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--no-deps", "--no-index", "--target", installed, wheel, cwd=dist)
    return Built(sources, sdist, wheel, installed)


@pytest.fixture(scope="module")
def distribution(built: Built) -> Distribution:
    (distribution,) = distributions(path=[str(built.installed)])
    return distribution


def test_the_names(built: Built) -> None:
    assert built.sdist.name == f"leads_service-{__version__}.tar.gz"
    assert built.wheel.name == f"leads_service-{__version__}-py3-none-any.whl"


def test_the_sdist(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"}


def test_the_wheel_has_all_of_the_package(built: Built) -> None:
    package = built.sources / "leads_service"
    sources = {
        path.relative_to(built.sources).as_posix() for path in package.rglob("*") if path.is_file()
    }
    assert sources >= {
        "leads_service/storage/sqlite/migrations/0001_initial.py",
        "leads_service/py.typed",
        "leads_service/api/static/docs.js",
        "leads_service/api/templates/docs.html",
    }
    with ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources  # and so neither tests nor anything else


def test_the_metadata(built: Built, distribution: Distribution) -> None:
    assert distribution.metadata["Name"] == "leads-service"
    assert distribution.version == __version__
    assert distribution.metadata["License"] == "MIT"
    assert distribution.metadata["Requires-Python"] == ">=3.11"
    readme = (built.sources / "README.md").read_text(encoding="utf-8")
    assert (distribution.read_text("METADATA") or "").strip().endswith(readme.strip())


def test_what_a_host_needs(distribution: Distribution) -> None:
    """And no server, no page, nothing that is imported but not asked for."""
    required = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.marker is None
    }
    assert sorted(required) == [
        *("apispec", "click", "flask", "flask-httpauth", "flask-smorest", "marshmallow"),
        *("orjson", "peewee", "webargs", "werkzeug"),
    ]
    lowest = (ROOT / ".ci" / "constraints-lowest.txt").read_text()
    pins = dict(line.lower().split("==") for line in lowest.splitlines() if "==" in line)
    for name, specifier in required.items():
        (bound,) = (part.version for part in specifier if part.operator == ">=")
        assert Version(bound) == Version(pins[name]), f"{name}: not what check-lowest tries"


def test_the_entry_points(distribution: Distribution) -> None:
    entries = {(entry.group, entry.name, entry.value) for entry in distribution.entry_points}
    assert entries == {
        ("console_scripts", "leads-service", "leads_service.__main__:main"),
        ("pytest11", "leads_service", "leads_service.pytest_plugin"),
    }


def test_the_installed_wheel_serves(built: Built, url: str, tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": str(built.installed),
        "LEADS_DATABASE": url,
        "LEADS_LOG_LEVEL": "warning",
    }
    output = run(sys.executable, "-c", SERVES, cwd=tmp_path, **environment)
    assert output.splitlines() == [
        str(built.installed / "leads_service" / "__init__.py"),
        "/healthz 200 OK",
        "/docs 200 OK",
        "/docs/swagger-ui.css 200 OK",
        "/docs/docs.js 200 OK",
        "/openapi.json 200 OK",
    ]


def test_the_installed_program(built: Built, url: str, tmp_path: Path) -> None:
    program = built.installed / "bin" / "leads-service"
    environment = {"PYTHONPATH": str(built.installed), "LEADS_DATABASE": url}
    assert run(program, "db", "migrate", cwd=tmp_path, **environment) == APPLIED
    assert run(program, "user", "add", "alice", cwd=tmp_path, **environment) == "1\n"


def test_a_host_needs_no_extra(built: Built, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "here", cwd=tmp_path)
    program = tmp_path / "here" / "bin"
    constraints = ROOT / ".ci" / "constraints.txt"
    install = (program / "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--constraint", constraints, built.wheel, cwd=tmp_path)
    (tmp_path / "host.py").write_text(HOST)
    file, made, count = run(program / "python", "host.py", cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(tmp_path / "here")
    assert (made, count) == ("201 CREATED", "1")
    pipeline = run(program / "flask", "--app", "host", "leads", "pipeline", cwd=tmp_path)
    assert pipeline.startswith("new                1  100.0%")
    for words in (["serve"], ["stub"], ["user", "list"], ["openapi"]):
        refused = subprocess.run(
            [program / "leads-service", *words],
            env=os.environ | {"LEADS_DATABASE": f"sqlite:///{tmp_path / 'leads.db'}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            "Error: flask_swagger_ui is not installed; run: pip install 'leads-service[server]'\n"
        )
