"""The stub: made up, the same every time, obedient, and nothing that the service has in it."""

import json
import re
import sqlite3
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import BIN, caller, running
from werkzeug.test import Client, TestResponse

from leads_service import create_app
from leads_service.cli.server import serve
from leads_service.lead import STATUSES
from leads_service.stub import Stub
from leads_service.stub.faults import Faults
from leads_service.stub.server import listen

Make = Callable[..., Client]

PROGRAM = [str(BIN / "leads-service"), "stub", "--port", "0"]
NONSENSE = {"LEADS_DATABASE": "nonsense", "LEADS_SCORER": "nonsense", "LEADS_PROXY_HOPS": "x"}
ALICE = {"Authorization": "Bearer alice-token", "Content-Type": "application/json", "Host": "stub"}
BOB = {"Authorization": "Bearer bob-token"}
READER = {"Authorization": "Bearer alice-read-only"}
LEAD = '{"company_id": 42}'
CALLS = [
    (200, "GET", "/v1/leads?limit=3", "", {}),
    (201, "POST", "/v1/leads", LEAD, {}),
    (200, "PATCH", "/v1/leads/2", '{"notes": "changed"}', {}),
    (404, "PATCH", "/v1/leads/999", '{"notes": "changed"}', {}),
    (200, "GET", "/v1/leads/2", "", {}),
    (412, "PATCH", "/v1/leads/2", "{}", {"If-Match": '"2026-01-01T00:00:00.000000Z"'}),
    (204, "DELETE", "/v1/leads/3", "", {}),
    (404, "DELETE", "/v1/leads/3", "", {}),
    (403, "DELETE", "/v1/leads/2", "", READER),
    (405, "DELETE", "/v1/leads", "", {}),
    (401, "GET", "/v1/leads", "", {"Authorization": ""}),
    (200, "GET", "/v1/leads?limit=1", "", READER),
    (403, "POST", "/v1/leads", LEAD, READER),
    (422, "GET", "/v1/leads?limit=x&statsu=x&min_score=x", "", {"Origin": "https://ui.test"}),
    (503, "POST", "/v1/leads", LEAD, {"X-Stub-Fail": "503"}),
    (200, "OPTIONS", "/v1/leads/1", "", {"Access-Control-Request-Method": "PATCH"}),
    (201, "POST", "/v1/leads", LEAD, BOB),
]


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:

        def make(**options: Any) -> Client:
            stub = Stub(log_level="error", **options)
            stack.callback(stub.close)
            return Client(stub)

        yield make


def ask(client: Client, method: str, path: str, body: str = "", headers: Any = ()) -> TestResponse:
    return client.open(path, method=method, data=body, headers=ALICE | dict(headers))


def answers(client: Client) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    found = [ask(client, *call) for _, *call in CALLS]
    return [(answer.status_code, list(answer.headers), answer.data) for answer in found]


def over_http(process: subprocess.Popen[str], calls: list[Any]) -> list[tuple[int, Any, bytes]]:
    port = int(re.search(r":(\d+)/", process.stdout.readline())[1])
    found = []
    for _, method, path, body, headers in calls:
        with closing(HTTPConnection("127.0.0.1", port)) as connection:
            connection.request(method, path, body, ALICE | headers)
            answer = connection.getresponse()
            found.append((answer.status, answer.getheaders(), answer.read()))
    return found


def test_without_any_set_up(make: Make) -> None:
    client, path, sizes = make(), "/v1/leads", []
    while path:
        answer = ask(client, "GET", path)
        sizes.append(len(answer.json["data"]))
        path = re.sub(r"^<http://stub(.*)>.*", r"\1", answer.headers.get("Link", ""))
    assert sizes == [50, 50, 50]
    leads = client.application.leads("alice") + client.application.leads("bob")
    assert [lead["user_id"] for lead in leads] == [1] * 150 + [2] * 50
    assert {lead["status"] for lead in leads} == set(STATUSES)
    times = [(lead["created_at"], lead["updated_at"]) for lead in leads]
    assert all("2025-11-02T09" <= first <= last < "2026-11-02T09" for first, last in times)
    letters = filter(str.isalpha, "".join(lead["notes"] for lead in leads))
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= {"LATIN", "CYRILLIC", "HEBREW", "ARABIC", "CJK", "HIRAGANA", "HANGUL"}


def test_the_index(make: Make) -> None:
    client = make(leads=0)
    assert ask(client, "GET", "/").json["leads"] == "/v1/leads"
    assert ask(client, "GET", "/", headers={"Accept": "text/html"}).headers["Location"] == "/docs"


def test_the_same_every_time_and_after_a_reset(make: Make) -> None:
    one = make()
    first = answers(one)
    assert [status for status, _, _ in first] == [status for status, *_ in CALLS]
    assert answers(make()) == first != answers(make(seed=1))
    assert one.post("/stub/reset").status_code == 204
    assert answers(one) == first


def test_time_passes_with_writes_only(make: Make) -> None:
    client = make()
    key, asks = {"Idempotency-Key": "a"}, {"Access-Control-Request-Method": "DELETE"}
    for seconds, *call in (
        (1, "POST", "/v1/leads", LEAD, key),
        (0, "POST", "/v1/leads", LEAD, key),
        (1, "PATCH", "/v1/leads/201", '{"notes": "changed"}'),
        (0, "GET", "/v1/leads"),
        (0, "GET", "/v1/leads/201"),
        (0, "OPTIONS", "/v1/leads/201", "", asks),
        (0, "POST", "/v1/leads", "{}"),
        (1, "DELETE", "/v1/leads/201"),
        (0, "DELETE", "/v1/leads/201"),
        (0, "POST", "/v1/leads", LEAD, key),
    ):
        before = client.application.now
        ask(client, *call)
        assert client.application.now - before == timedelta(seconds=seconds), call
    made = ask(client, "POST", "/v1/leads", LEAD).json
    assert made["created_at"] == "2026-11-02T09:00:03.000000Z"


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


def test_a_file_keeps_the_leads(make: Make, tmp_path: Path) -> None:
    first = make(file=tmp_path / "stub.db", leads=280)
    ask(first, "POST", "/v1/leads", LEAD)
    kept = first.application.leads("alice")
    assert (len(kept), kept[0]["id"]) == (211, 281)
    first.application.close()
    second = make(file=tmp_path / "stub.db", leads=9)
    assert second.application.leads("alice") == kept
    assert ask(second, "POST", "/v1/leads", LEAD).json["id"] == 282
    second.post("/stub/reset")
    assert second.application.leads("alice") == kept


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


def test_it_listens_to_this_machine_alone(make: Make) -> None:
    server, _ = listen(make(leads=0).application)
    server.server_close()
    assert server.server_address == ("127.0.0.1", server.server_port)


def test_none_of_it_is_in_the_service(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {f"LEADS_STUB{name}": "1" for name in ("", "_DELAY", "_FAIL", "_FAIL_RATE", "_SEED")}
    for name in settings:
        monkeypatch.setenv(name, "1")
    app = create_app(settings | {"LEADS_DATABASE": url})
    headers = {"X-Stub-Fail": "503", "X-Stub-Delay": "5", "Origin": "https://ui.test"}
    answer = caller(app, "alice").client.get("/v1/leads", headers=headers)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert ask(app.test_client(), "GET", "/v1/leads").status_code == 401
    assert ask(app.test_client(), "POST", "/stub/reset").status_code == 404
    usage = CliRunner().invoke(serve, ["--help"]).stdout
    assert set(re.findall("workers|stub|delay|fail|seed", usage)) == {"workers"}
