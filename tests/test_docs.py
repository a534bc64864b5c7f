"""The README is true: its shell sessions are typed in, and no command or setting is missing."""

import os
import re
import subprocess
from pathlib import Path

import click
import pytest
from conftest import BIN, ROOT, free_port, running, wait_until_ready

from leads_service.cli import commands
from leads_service.config import SETTINGS

README = (ROOT / "README.md").read_text()
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
        printed = [server.stdout.readline() for _ in welcome.splitlines()]
        assert settled("".join(printed)).replace(port, "8000") == welcome
        wait_until_ready(int(port))
        first_lead = re.search(r"```json\n(.*?)```", README, re.DOTALL)[1]
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
        assert server.stdout.readline().startswith("Leads API on")
        line = server.stdout.readline()
        assert re.fullmatch(r"For a token: \S*bin/leads-service token create 'ann lee'\n", line)
        wait_until_ready(int(port))


def test_readme_names_every_command() -> None:
    for name, command in commands.commands.items():
        subcommands = command.commands if isinstance(command, click.Group) else [""]
        for subcommand in subcommands:
            words = f"{name} {subcommand}".strip()
            assert re.search(rf"`(leads-service )?{words}\b", README), words


def test_readme_names_every_setting_and_its_default() -> None:
    for name, setting in SETTINGS.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*?)\|", README, re.MULTILINE)
        if name not in ("LEADS_DATABASE", "LEADS_SCORER"):
            assert row.strip() == f"`{setting.default}`"
