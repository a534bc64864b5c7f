"""The stub in a process of its own."""

import json
import re
import sqlite3
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from leads_service.stub.faults import Faults
from tests.helpers import BIN, first_match, running, stdout_of
from tests.stub.calls import ALICE, BOB, CALLS, Make, answers

PROGRAM = [str(BIN / "leads-service"), "stub", "--port", "0"]
NONSENSE = {"LEADS_DATABASE": "nonsense", "LEADS_SCORER": "nonsense", "LEADS_PROXY_HOPS": "x"}

pytestmark = pytest.mark.system


def over_http(process: subprocess.Popen[str], calls: list[Any]) -> list[tuple[int, Any, bytes]]:
    port = int(first_match(r":(\d+)/", stdout_of(process).readline()))
    got = []
    for _, method, path, body, headers in calls:
        with closing(HTTPConnection("127.0.0.1", port)) as connection:
            connection.request(method, path, body, ALICE | headers)
            answer = connection.getresponse()
            got.append((answer.status, answer.getheaders(), answer.read()))
    return got


def test_processes_differ_in_nothing(make: Make) -> None:
    command, found = [*PROGRAM, "--leads", "9", "--seed", "5", "--fail-rate", "0.3"], []
    for environment in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"} | NONSENSE):
        with running(command, environment) as process:
            found.append(over_http(process, CALLS))
    assert found[0] == found[1]
    assert ("Date", "Mon, 02 Nov 2026 09:00:00 GMT") in found[0][0][1]
    same = answers(make(leads=9, seed=5, faults=Faults(fail_rate=0.3, seed=5)))
    assert [(status, body) for status, _, body in found[0]] == [(s, body) for s, _, body in same]


@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "-"])
def test_data_of_ones_own(tmp_path: Path, source: str) -> None:
    file = tmp_path / source
    json_row, csv_rows = '{"company_id": 7, "owner": "x"}\n', "Owner;company_id\nx;7\n"
    file.write_text(json_row if source == "in.jsonl" else csv_rows)
    options = ["--data", "-", "--format", "csv"] if source == "-" else ["--data", str(file)]
    command = ["sh", "-c", 'exec "$@" < "$0"', str(file), *PROGRAM, *options]
    with running([*command, "--ignore-extra"], {}) as process:
        answers = over_http(process, [(200, "GET", "/v1/leads", "", who) for who in ({}, BOB)])
    pages = [json.loads(body)["data"] for _, _, body in answers]
    assert [[lead["company_id"] for lead in page] for page in pages] == [[7], []]


@pytest.mark.parametrize(
    ("option", "value", "code", "error"),
    [
        ("--data", "in.csv", 1, "line 3: status: Must be one of: .*"),
        ("--data", "in.txt", 2, ".*; say --format csv or jsonl\n"),
        ("--delay", "1h", 2, ".*'1h' is no delay: .*"),
        ("--file", "leads.db", 1, "Error: leads.db is no stub's file; name another one\n"),
        ("--host", "localhost", 2, ".*No such option.*"),
        ("--port", "{port}", 1, ".*Port {port} is in use.*"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, code: int, error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "in.txt"):
        Path(name).write_text("company_id,status\n1,new\n2,won\n")
    with closing(sqlite3.connect("leads.db")) as store, create_server(("127.0.0.1", 0)) as taken:
        before = list(store.iterdump())
        port = taken.getsockname()[1]
        command = [*PROGRAM, option, value.format(port=port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert list(store.iterdump()) == before
    assert done.returncode == code
    assert re.fullmatch(error.format(port=port), done.stderr, re.DOTALL)
    assert "Traceback" not in done.stderr
