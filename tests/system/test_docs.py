"""The documents are true: shell sessions are typed in, tables and links are complete."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import click
import pytest

from leads_service import create_app, init_app
from leads_service.cli import commands
from leads_service.cli.openapi import openapi_command
from leads_service.cli.server import serve
from leads_service.config import SETTINGS
from leads_service.lead import STATUSES
from leads_service.scoring import POINTS, scoring
from leads_service.stub.command import BANNER, stub
from leads_service.stub.document import PARAMETERS
from leads_service.stub.samples import TOKENS
from tests.helpers import (
    BIN,
    DOCUMENTS,
    ROOT,
    document,
    first_match,
    free_port,
    running,
    stdout_of,
    wait_until_ready,
)

README = document("README.md")
API = document("docs/api.md")
EVERYTHING = "\n".join(path.read_text() for path in DOCUMENTS)
OPENAPI = json.loads(document("leads_service/openapi.json"))
FOLDERS = (".", ".github", "benchmarks", "deploy", "docs")  # those with Markdown files
SEPARATOR = "\x1e"


def steps(text: str) -> list[tuple[str, str]]:
    """Return the commands of a document's shell sessions, each with what it printed."""
    sessions = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    step = re.compile(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", re.MULTILINE)
    return [
        (re.sub("^> ", "", command, flags=re.MULTILINE), output)
        for session in sessions
        for command, output in step.findall(session)
    ]


def rows(text: str, heading: str) -> dict[str, str]:
    """Return a table's rows by the names in their first cells, which stand in backticks.

    Args:
        text: The document.
        heading: The first cell of the table's head.

    """
    table = first_match(
        rf"(?m:^)\| {re.escape(heading)} \|[^\n]*\n\|[-:| ]+\n((?:\|[^\n]*\n)+)", text
    )
    return {
        name: row
        for row in table.splitlines()
        for name in re.findall(r"`([^`]+)`", row.split("|")[1]) or [row.split("|")[1].strip()]
    }


def settled(text: str) -> str:
    """Return the text with what differs from run to run made equal."""
    text = re.sub(r"leads_[\w-]{43}", "leads_…", text)
    text = re.sub(r"leads_[\w-]{6}\.\.\.", "leads_Zk3p8Q...", text)
    text = re.sub(r"\S+/leads\.db", "STORE", text)
    text = re.sub(r"[\d,]+ bytes", "SIZE bytes", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "2026-11-22T22:03:11.123456Z", text)


def bash(script: str) -> str:
    """Return what the script prints, to either stream, where the program is installed."""
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["bash", "-c", f"exec 2>&1\n{script}"]
    return subprocess.check_output(command, env=environment, cwd=ROOT, text=True, timeout=60)


@contextmanager
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Run ``make run``, for commands as well; yield its port, and what it printed."""
    port = str(free_port())
    monkeypatch.setenv("LEADS_DATABASE", f"sqlite:///{tmp_path / 'leads.db'}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running(["make", "run"], {"PORT": port, "LEADS_LOG_LEVEL": "warning"}) as server:
        printed = ""
        while not printed.endswith("\n\n") or "curl" not in printed:
            line = stdout_of(server).readline()
            assert line, printed
            printed += line
        wait_until_ready(int(port))
        yield port, printed


def test_the_first_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone, _), (make_run, welcome) = steps(README)
    assert clone.startswith("git clone https://github.com/")
    assert make_run == "make run\n"
    with made(tmp_path, monkeypatch) as (port, printed):
        assert settled(printed).replace(port, "8000") == welcome
        first_lead = first_match(r"```json\n(.*?)```", README)
        curl = first_match(r"(?m:^)(curl[^\n]*)", printed)
        assert settled(bash(curl.replace("curl", "curl -s"))) == first_lead


@pytest.mark.parametrize(
    "path",
    [path for path in DOCUMENTS[1:] if steps(path.read_text())],
    ids=lambda path: path.name,
)
def test_sessions(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document's in one shell, beside a server of its own that has no leads yet."""
    typed = steps(path.read_text())
    with made(tmp_path, monkeypatch) as (port, _):
        script = "".join(f"{command}printf '{SEPARATOR}'\n" for command, _ in typed)
        outputs = settled(bash(script.replace("8000", port))).replace(port, "8000")
    for (command, expected), output in zip(typed, outputs.split(SEPARATOR), strict=False):
        assert output == expected, command
    assert outputs.count(SEPARATOR) == len(typed)


def test_a_second_start_prints_no_token(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'leads.db'}"
    subprocess.run(
        [BIN / "leads-service", "user", "add", "ann lee"],
        env=os.environ | {"LEADS_DATABASE": url},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    port = str(free_port())
    with running(["make", "run"], {"PORT": port, "LEADS_DATABASE": url}) as server:
        assert stdout_of(server).readline().startswith("Leads API on")
        line = stdout_of(server).readline()
        assert re.fullmatch(r"For a token: \S*bin/leads-service token create 'ann lee'\n", line)
        wait_until_ready(int(port))


def test_make_says_that_it_installs_and_only_then(tmp_path: Path) -> None:
    def lines() -> list[str]:
        command = ["make", "--dry-run", "run", f"VENV={tmp_path}"]
        return subprocess.check_output(command, cwd=ROOT, text=True).splitlines()

    first, *others = lines()
    assert first == f'echo "Installing into {tmp_path}; this takes some ten seconds, once."'
    assert [line for line in others if " serve " in line] == others[-1:]
    (tmp_path / ".installed").touch()
    assert lines() == others[-1:]


def python_block(name: str) -> str:
    """Return the documents' Python file of this name."""
    return first_match(rf"```python\n(# {name}\n.*?)```", EVERYTHING)


def test_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tool = ModuleType("tool")
    exec(python_block("tool.py"), vars(tool))  # noqa: S102  # our documents'
    ada, stranger = tool.app.test_client(), tool.app.test_client()
    assert ada.post("/login", data={"name": "eve"}).status_code == 403
    assert ada.post("/login", data={"name": "ada"}).text == "Hello ada"
    made = ada.post("/crm/v1/leads", json={"company_id": 42})
    assert made.headers["Location"] == "http://localhost/crm/v1/leads/1"
    assert ada.get("/crm/v1/leads").json["data"] == [made.json]
    assert stranger.get("/crm/v1/leads").status_code == 401
    assert set(tool.db.get_tables()) >= {"employee", "leads_lead"}
    tool.db.close()


def test_the_test_of_the_tool(tmp_path: Path) -> None:
    (tmp_path / "test_tool.py").write_text(python_block("test_tool.py"))
    assert "1 passed" in bash(f"cd {tmp_path} && pytest -q -p no:cacheprovider")


def test_the_scorer() -> None:
    defined: dict[str, Any] = {}
    exec(python_block("acme.py"), defined)  # noqa: S102  # our documents'
    score = scoring(defined["score"])
    lead = {"user_id": 1, "company_id": 42, "status": "new", "notes": "x" * 550}
    assert (score(lead | {"notes": ""}), score(lead)) == (10, 15)


def test_no_python_file_of_the_documents_is_left_unread() -> None:
    names = re.findall(r"```python\n# (\w+\.py)\n", EVERYTHING)
    assert sorted(names) == ["acme.py", "test_tool.py", "tool.py"]


def default_port(command: click.Command) -> int:
    (port,) = [option.default for option in command.params if option.name == "port"]
    assert isinstance(port, int)
    return port


def test_who_follows_the_documents_meets_no_port_that_is_taken() -> None:
    (made,) = re.findall(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (gunicorns,) = re.findall(r"`gunicorn --bind 127.0.0.1:(\d+) wsgi:app`", EVERYTHING)
    assert int(made) == default_port(serve)
    assert len({int(made), default_port(stub), int(gunicorns)}) == 3


def test_the_start_of_the_stub() -> None:
    (expected,) = re.findall(r"```text\n\$ leads-service stub\n(.*?)```", EVERYTHING, re.DOTALL)
    url = f"http://127.0.0.1:{default_port(stub)}"
    assert BANNER.format(url=url, tokens=", ".join(TOKENS.values())) + "\n" == expected


def test_every_command_has_a_row() -> None:
    operating = document("docs/operating.md")
    others = {"stub": stub, "openapi": openapi_command(create_app)}
    for name, command in {**commands.commands, **others}.items():
        subcommands = command.commands if isinstance(command, click.Group) else [""]
        for subcommand in subcommands:
            words = f"{name} {subcommand}".strip()
            row = rf"^\| `(leads-service )?{words}\b"
            assert re.search(row, operating, re.MULTILINE), words


def test_every_setting_has_a_row_with_its_default() -> None:
    operating = document("docs/operating.md")
    for name, setting in SETTINGS.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*?)\|", operating, re.MULTILINE)
        if name not in ("LEADS_DATABASE", "LEADS_SCORER"):
            assert row.strip() == f"`{setting.default}`"


def test_every_field_of_a_lead_has_a_row() -> None:
    assert list(rows(API, "field")) == list(OPENAPI["components"]["schemas"]["Lead"]["properties"])


def test_every_parameter_of_the_list_has_a_row() -> None:
    parameters = [each["name"] for each in OPENAPI["paths"]["/v1/leads"]["get"]["parameters"]]
    filters, paging = rows(API, "filter"), rows(API, "parameter")
    assert [*filters, *paging] == parameters


def test_every_status_has_a_row_with_its_points() -> None:
    table = rows(API, "status")
    assert list(table) == list(STATUSES)
    for status, points in POINTS.items():
        assert table[status].split("|")[3].strip() == str(points)


def test_every_error_has_a_row() -> None:
    documented = {name[-3:] for name in OPENAPI["components"]["responses"]}
    assert set(rows(API, "error")) == documented | {"405"}


def test_every_header_of_answers_has_a_row() -> None:
    documented = {name.removeprefix("Leads-") for name in OPENAPI["components"]["headers"]}
    assert set(rows(API, "header")) == documented | {"Allow"}


def test_every_argument_of_init_app_has_a_row() -> None:
    arguments = list(signature(init_app).parameters)
    assert list(rows(document("docs/embedding.md"), "argument")) == arguments[1:]


def test_every_option_of_the_stub_has_a_row() -> None:
    table = rows(document("docs/stub.md"), "option")
    options = {option.opts[0] for option in stub.params}
    assert {name.split()[0] for name in table} >= options
    for name in PARAMETERS:
        assert f"`{name}: " in document("docs/stub.md")


def prose(path: Path) -> str:
    """Return a Markdown file without what stands in code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the fragments under which GitHub shows a Markdown file's headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
    assert {*DOCUMENTS} <= {*files}
    broken = []
    for file in files:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(file)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, fragment = unquote(target).partition("#")
            found = (file.parent / path).resolve() if path else file
            if not found.exists() or (fragment and fragment not in anchors(found)):
                broken.append(f"{file.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_document_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", document("docs/README.md"))
    assert sorted(linked) == [path.name for path in DOCUMENTS[1:] if path.name != "README.md"]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 140


def test_the_figures_of_the_readme_are_those_of_the_benchmark() -> None:
    claims = " ".join(README.split())
    on_sqlite = first_match("## SQLite(.*?)## PostgreSQL", document("benchmarks/results.md"))

    def cells(server: str) -> list[str]:
        """Return the cells of the rows of a server after its name, those of lists first."""
        found = re.findall(rf"^\| {re.escape(server)} \|(.*)\|$", on_sqlite, re.MULTILINE)
        return [cell.strip() for row in found for cell in row.split("|")]

    def lists(server: str) -> int:
        return int(cells(server)[0].replace(",", ""))

    rates = re.findall(r"([\d,]+) (?:lists of 50 leads a second|creates|updates)", claims)
    assert len(rates) >= 2
    assert {*rates} <= {*cells("leads-service")}
    peers = {
        "the same service written the plain way": "Flask + Peewee + marshmallow, naive",
        "FastAPI with SQLModel": "FastAPI + SQLModel, uvicorn",
        "PocketBase": "PocketBase",
    }
    for words, server in peers.items():
        ratio = first_match(rf"([\d.]+) times as many (?:lists )?as {words}", claims)
        _, _, decimals = ratio.partition(".")
        assert f"{lists('leads-service') / lists(server):.{len(decimals)}f}" == ratio, server
