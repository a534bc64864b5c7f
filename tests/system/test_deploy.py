"""The files under deploy/ fit the service and each other; test_litestream.py runs one."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser, SectionProxy
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from leads_service import config
from leads_service.api.parsing import MAX_BODY
from leads_service.cli import commands
from leads_service.cli.server import MAX_CONNECTIONS, RESERVED_FILES, STOP_TIMEOUT
from tests.helpers import BIN, ROOT, Caller, first_match, free_port, serve

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CADDYFILE = (DEPLOY / "Caddyfile").read_text()
UNITS = ("leads-service.service", "litestream.service")

with_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each with what follows it."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def instruction(name: str) -> str:
    """Return what follows the last instruction of this name."""
    return [rest for word, rest in instructions() if word == name][-1]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(instruction("ENV")))


class UnitParser(ConfigParser):
    """Reads names as they are written."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> SectionProxy:
    parser = UnitParser(strict=False, interpolation=None, delimiters=("=",))
    parser.read(DEPLOY / name)
    return parser["Service"]


def unit_environment(service: SectionProxy) -> dict[str, str]:
    return dict(word.split("=", 1) for word in service["Environment"].split())


def options(words: list[str]) -> dict[str, Any]:
    """Return the options of ``leads-service serve``, which fails if it does not know one."""
    program, name, *arguments = words
    assert PurePosixPath(program).name == "leads-service"
    return commands.commands[name].make_context(name, arguments).params


def database(environment: dict[str, str]) -> PurePosixPath:
    return PurePosixPath(environment["LEADS_DATABASE"].removeprefix("sqlite:///"))


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return a service's volumes and files, by the path they have in it."""
    return {target: source for source, target, *_ in (v.split(":") for v in service["volumes"])}


def seconds(span: str) -> int:
    return int(span.removesuffix("s"))


def test_the_image_is_made_of_what_exists() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY"]
    sources = {word for words in copied if not words[0].startswith("--from") for word in words}
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in sources} == {line for line in sent if line.startswith("!")}


def test_the_image_serves_without_a_shell_and_without_root() -> None:
    serving = options(json.loads(instruction("CMD")))
    assert serving["host"] == "0.0.0.0"  # noqa: S104  # compared, not bound
    assert str(serving["port"]) == instruction("EXPOSE")
    assert int(instruction("USER").partition(":")[0]) > 0


def test_the_images_healthcheck(url: str) -> None:
    """It asks the service itself, whatever proxies and hosts the environment names."""
    python, *words = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    assert python == "python"
    address = f"http://127.0.0.1:{instruction('EXPOSE')}"

    def check(base: str) -> int:
        return subprocess.run(
            [sys.executable, *(word.replace(address, base) for word in words)],
            env={"http_proxy": f"http://127.0.0.1:{free_port()}"},
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    with serve(url, LEADS_HOSTS="leads.example.com") as server:
        assert check(server.url) == 0
    assert check(f"http://127.0.0.1:{free_port()}") != 0


@pytest.mark.parametrize(
    "environment",
    [
        image_environment() | SERVICES["leads"]["environment"],
        unit_environment(unit("leads-service.service")),
    ],
    ids=["compose", "systemd"],
)
def test_the_settings(environment: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))  # where nothing else is set
        for name, value in environment.items()
        if name.startswith("LEADS_")
    }
    assert given.keys() <= config.SETTINGS.keys()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    config.load()


def test_compose_publishes_the_proxy_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in SERVICES.items() if "inside" in service["networks"]] == [
        "leads",
        "proxy",
    ]
    assert COMPOSE["networks"]["inside"]["internal"]
    assert SERVICES["leads"]["networks"] == ["inside"]
    assert f"reverse_proxy leads:{instruction('EXPOSE')} " in CADDYFILE
    assert SERVICES["leads"]["environment"]["LEADS_PROXY_HOPS"] == 1
    domain = SERVICES["proxy"]["environment"]["LEADS_DOMAIN"]
    assert SERVICES["leads"]["environment"]["LEADS_HOSTS"] == domain


def test_compose_confines_every_service() -> None:
    for service in SERVICES.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_compose_refers_to_what_exists() -> None:
    build = SERVICES["leads"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    for service in SERVICES.values():
        for source in mounts(service).values():
            assert (DEPLOY / source).is_file() or source in COMPOSE["volumes"]
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()


def test_compose_replicates_the_database_of_the_service() -> None:
    path = database(image_environment())
    volume = mounts(SERVICES["leads"])[str(path.parent)]
    for name in ("restore", "litestream"):
        service = SERVICES[name]
        assert service["environment"]["LITESTREAM_DB"] == str(path)
        assert mounts(service)[str(path.parent)] == volume
        assert service["user"] == instruction("USER")
    assert SERVICES["restore"]["command"][-1] == str(path)
    assert SERVICES["prepare"]["entrypoint"][:2] == ["chown", instruction("USER")]


def test_a_stop_waits_for_the_requests_in_flight() -> None:
    assert seconds(SERVICES["leads"]["stop_grace_period"]) > STOP_TIMEOUT
    assert seconds(unit("leads-service.service")["TimeoutStopSec"]) > STOP_TIMEOUT


def test_every_worker_may_open_a_file_for_each_connection() -> None:
    files = int(unit("leads-service.service")["LimitNOFILE"])
    assert files >= MAX_CONNECTIONS + RESERVED_FILES


def test_the_proxy_hangs_up_first() -> None:
    """Otherwise it might send a request just when the service hangs up."""
    idle = options(["leads-service", "serve"])["idle_timeout"]
    assert seconds(first_match(r"\bkeepalive (\w+)", CADDYFILE)) < idle


def test_the_firewall_counts_connections_to_the_proxy() -> None:
    rules = (DEPLOY / "connections.nft").read_text()
    published = {port.partition(":")[0] for port in SERVICES["proxy"]["ports"]}
    counted = re.findall(r"tcp dport \{ (.+?) \} .* ct count over", rules)
    assert [set(ports.split(", ")) for ports in counted] == [published, published]


def test_the_proxy_refuses_what_the_service_would_in_its_words(alice: Caller) -> None:
    answer = alice.client.post(
        "/v1/leads", data=b" " * (MAX_BODY + 1), content_type="application/json"
    )
    assert answer.status_code == 413
    assert json.loads(first_match("respond `(.+?)`", CADDYFILE)) == answer.get_json()
    assert f"> {MAX_BODY}`" in CADDYFILE
    assert f"max_size {MAX_BODY // 1024}KiB" in CADDYFILE


def test_the_unit_serves_from_its_own_folder() -> None:
    service = unit("leads-service.service")
    assert options(shlex.split(service["ExecStart"]))["host"] == "127.0.0.1"
    path = database(unit_environment(service))
    assert path.parent == PurePosixPath("/var/lib") / service["StateDirectory"]
    replicating = unit("litestream.service")
    assert unit_environment(replicating)["LITESTREAM_DB"] == str(path)
    assert replicating["User"] == service["User"] != "root"
    folders = {f"/var/lib/{name}" for name in replicating["StateDirectory"].split()}
    replica = unit_environment(replicating)["LITESTREAM_REPLICA"]
    assert {str(path.parent), replica.removeprefix("file://")} == folders


@pytest.mark.parametrize("name", UNITS)
def test_the_units_keep_what_they_have_to_themselves(name: str) -> None:
    service = unit(name)
    assert service["ProtectSystem"] == "strict"  # all is read-only but the folders of its own
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert (service["StateDirectoryMode"], service["UMask"]) == ("0700", "0077")


@with_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_knows_the_units(name: str, tmp_path: Path) -> None:
    """And finds little that they would leave open: 0 is best, 10 worst, what is shown ten times."""
    text = (DEPLOY / name).read_text()
    # It asks for the programs.
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={BIN / 'python'}", text, flags=re.MULTILINE)
    (tmp_path / name).write_text(text)
    for check in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        process = subprocess.run(
            ["systemd-analyze", "--no-pager", *check, tmp_path / name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        assert name not in process.stderr  # an unknown key is but a warning
