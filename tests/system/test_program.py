"""The commands in processes of their own, as leads-service, as a module and as flask."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leads_service.state import AppState
from tests.cli.expected import EMPTY, PIPELINE, SQLITE, TOKEN, USERS
from tests.cli.scores import scores
from tests.helpers import APPLIED, BIN, Answer, Caller, assert_refused, leads_service, shell


def test_token_revoke_in_another_process(alice: Caller, url: str) -> None:
    assert alice.client.get("/v1/leads").status_code == 200
    answer = leads_service("token", "revoke", "1", LEADS_DATABASE=url)
    assert answer == (0, "", "Token 1 is revoked.\n")
    assert alice.client.get("/v1/leads").status_code == 401


def test_db(url: str, tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    status = f"file:   {file} (not there yet)\nschema: pending everything\n{SQLITE}"
    assert leads_service("db", "status", LEADS_DATABASE=url) == (0, status, "")
    assert not file.exists()
    assert leads_service("db", "migrate", LEADS_DATABASE=url) == (0, APPLIED, "")
    current = "The schema is up to date.\n"
    assert leads_service("db", "migrate", LEADS_DATABASE=url) == (0, current, "")
    status = f"file:   {file} ({file.stat().st_size:,} bytes)\nschema: up to date\n{SQLITE}"
    assert leads_service("db", "status", LEADS_DATABASE=url) == (0, status, "")


@pytest.mark.usefixtures("ten_leads")
def test_rescore_finds_a_scorer_where_it_is_run(
    url: str, raw: sqlite3.Connection, tmp_path: Path
) -> None:
    (tmp_path / "acme.py").write_text("def score(**lead):\n    return lead['company_id'] * 10\n")
    program = BIN / "leads-service"
    environment = {"LEADS_DATABASE": url, "LEADS_SCORER": "acme:score"}
    answer = shell(program, "rescore", cwd=tmp_path, environment=environment)
    assert answer == (0, "10 leads scored.\n", "")
    assert scores(raw) == [10, 20, 30, 40, 50, 60, 70, 80, 10, 20]


@pytest.mark.usefixtures("ten_leads")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_pipeline_on_a_plain_terminal(url: str, encoding: str) -> None:
    answer = leads_service("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING=encoding)
    expected = PIPELINE if encoding == "utf-8" else PIPELINE.replace("█", "#")
    assert answer == (0, expected, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_lists_on_a_plain_terminal(service: AppState, url: str, encoding: str) -> None:
    """What the terminal lacks is shown otherwise; the lists are there all the same."""
    service.accounts.add_user("名")
    token = service.accounts.create_token("名", label="名")
    for words, cells in ((("user", "list"), ("1",)), (("token", "list"), ("1", token[:12]))):
        process = subprocess.run(
            [BIN / "leads-service", *words],
            env=os.environ | {"LEADS_DATABASE": url, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, b"")
        for cell in cells:
            assert cell.encode() in process.stdout.splitlines()[1]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_serve_on_a_port_that_is_taken(url: str, taken: int) -> None:
    words = ("serve", "--port", str(taken), "--first-user", "admin")
    answer = leads_service(*words, LEADS_DATABASE=url)
    assert_refused(answer, f"127.0.0.1 port {taken}", "Address already in use", "--port")
    assert leads_service("user", "list", LEADS_DATABASE=url) == (0, USERS, "")


def test_the_program(url: str) -> None:
    assert leads_service("user", "add", "alice", LEADS_DATABASE=url) == (0, "1\n", "")
    code, token, notice = leads_service("token", "create", "alice", LEADS_DATABASE=url)
    assert code == 0
    assert TOKEN.fullmatch(token)
    assert notice == "Keep it: only its SHA-256 is stored.\n"
    assert_refused(leads_service("user", "add", "alice", LEADS_DATABASE=url), "'alice' exists")
    assert leads_service("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING="utf-8").stdout == EMPTY


def test_the_program_as_a_module(url: str) -> None:
    command = (sys.executable, "-m", "leads_service", "user", "add", "a")
    answer = shell(*command, environment={"LEADS_DATABASE": url})
    assert answer == (0, "1\n", "")


def test_the_program_with_a_wrong_setting() -> None:
    answer = leads_service("user", "list", LEADS_DATABASE="mysql://127.0.0.1/leads")
    assert_refused(answer, "LEADS_DATABASE must be sqlite:///")


def flask(*words: str, **environment: str) -> Answer:
    return shell(BIN / "flask", "--app", "wsgi", "leads", *words, environment=environment)


def test_flask(url: str) -> None:
    assert flask("user", "add", "alice", LEADS_DATABASE=url) == (0, "1\n", "")
    assert flask("db", "migrate", LEADS_DATABASE=url) == (0, "The schema is up to date.\n", "")
    assert_refused(flask("user", "add", "alice", LEADS_DATABASE=url), "'alice' exists")
    assert flask("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING="utf-8").stdout == EMPTY


@pytest.mark.parametrize(
    ("name", "value"),
    [("LEADS_DATABASE", "mysql://127.0.0.1/leads"), ("LEADS_PROXY_HOPS", "one")],
)
def test_flask_with_a_wrong_setting(url: str, name: str, value: str) -> None:
    answer = flask("user", "list", **{"LEADS_DATABASE": url, name: value})
    assert_refused(answer, name, "must be", mark="leads-service: ")
