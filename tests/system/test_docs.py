"""The README is true: its shell sessions are typed in, and no command or setting is missing."""

import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import click
import pytest

from leads_service import create_app
from leads_service.cli import commands
from leads_service.cli.openapi import openapi_command
from leads_service.cli.server import serve
from leads_service.config import SETTINGS
from leads_service.stub.command import OFFER, stub
from leads_service.stub.samples import TOKENS
from tests.helpers import (
    BIN,
    README,
    ROOT,
    first_match,
    free_port,
    running,
    stdout_of,
    wait_until_ready,
)

SESSIONS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
SEPARATOR = "\x1e"


def steps(session: str) -> list[tuple[str, str]]:
    """Return the commands of a shell session, each with what it printed."""
    parts = re.findall(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    return [(re.sub("^> ", "", command, flags=re.MULTILINE), output) for command, output in parts]


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


def test_readme_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    monkeypatch.setenv("LEADS_DATABASE", f"sqlite:///{tmp_path / 'leads.db'}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    clone, (make_run, welcome) = steps(SESSIONS[0])
    assert clone[0].startswith("git clone")
    with running(make_run.split(), {"PORT": port, "LEADS_LOG_LEVEL": "warning"}) as server:
        printed = [stdout_of(server).readline() for _ in welcome.splitlines()]
        assert settled("".join(printed)).replace(port, "8000") == welcome
        wait_until_ready(int(port))
        first_lead = first_match(r"```json\n(.*?)```", README)
        assert settled(bash(printed[3].replace("curl", "curl -s"))) == first_lead
        typed = [step for session in SESSIONS[1:] for step in steps(session)]
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
    """Return the README's Python file of this name."""
    return first_match(rf"```python\n(# {name}\n.*?)```", README)


def test_the_tool_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tool = ModuleType("tool")
    exec(python_block("tool.py"), vars(tool))  # noqa: S102
    ada, stranger = tool.app.test_client(), tool.app.test_client()
    assert ada.post("/login", data={"name": "eve"}).status_code == 403
    assert ada.post("/login", data={"name": "ada"}).text == "Hello ada"
    made = ada.post("/crm/v1/leads", json={"company_id": 42})
    assert made.headers["Location"] == "http://localhost/crm/v1/leads/1"
    assert ada.get("/crm/v1/leads").json["data"] == [made.json]
    assert stranger.get("/crm/v1/leads").status_code == 401
    assert set(tool.db.get_tables()) >= {"employee", "leads_lead"}
    tool.db.close()


def test_the_test_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "test_tool.py").write_text(python_block("test_tool.py"))
    assert "1 passed" in bash(f"cd {tmp_path} && pytest -q -p no:cacheprovider")


def default_port(command: click.Command) -> int:
    (port,) = [option.default for option in command.params if option.name == "port"]
    assert isinstance(port, int)
    return port


def test_who_follows_the_readme_meets_no_port_that_is_taken() -> None:
    (made,) = re.findall(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (gunicorns,) = re.findall(r"`gunicorn --bind 127.0.0.1:(\d+) wsgi:app`", README)
    assert int(made) == default_port(serve)
    assert len({int(made), default_port(stub), int(gunicorns)}) == 3


def test_the_stub_of_the_readme() -> None:
    (expected,) = re.findall(r"```text\n\$ leads-service stub\n(.*?)```", README, re.DOTALL)
    url = f"http://127.0.0.1:{default_port(stub)}"
    assert OFFER.format(url=url, tokens=", ".join(TOKENS.values())) + "\n" == expected


def test_readme_names_every_command() -> None:
    others = {"stub": stub, "openapi": openapi_command(create_app)}
    for name, command in {**commands.commands, **others}.items():
        subcommands = command.commands if isinstance(command, click.Group) else [""]
        for subcommand in subcommands:
            words = f"{name} {subcommand}".strip()
            assert re.search(rf"`(leads-service )?{words}\b", README), words


def test_readme_names_every_setting_and_its_default() -> None:
    for name, setting in SETTINGS.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*?)\|", README, re.MULTILINE)
        if name not in ("LEADS_DATABASE", "LEADS_SCORER"):
            assert row.strip() == f"`{setting.default}`"
