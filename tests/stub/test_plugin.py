"""The stub in a client's tests: the fixture, failures on demand, what a browser may see."""

import json
import os
from contextlib import closing
from http.client import HTTPConnection, HTTPMessage
from typing import Any, NamedTuple

import pytest
from werkzeug.test import Client

from leads_service.pytest_plugin import LeadsStub
from leads_service.stub import Stub
from leads_service.stub.faults import Faults, seconds

pytest_plugins = ["pytester"]

LEADS = "/v1/leads"
ALICE = {"Authorization": "Bearer alice-token", "Content-Type": "application/json"}
# Two are slow to start, and the third would shuffle.
WITHOUT = ("-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:randomly")
ORIGIN = {"Origin": "https://ui.test"}
HELPERS = """
import json
import os
from urllib.request import Request, urlopen

import pytest
from leads_service.exceptions import AccountError

TOKENS = {"alice": "alice-token", "bob": "bob-token", "alice-read-only": "alice-read-only"}
URLS = []

def send(stub, path, token, body=None):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(stub.url + path, body, headers)) as answer:
        return json.load(answer)

def create(stub):
    return send(stub, "/v1/leads", stub.tokens["alice"], b'{"company_id": 42}')["id"]
"""


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: HTTPMessage
    body: Any


def ask(stub: LeadsStub, method: str, path: str, headers: Any = ()) -> Answer:
    body = '{"company_id": 42}' if method == "POST" else None
    with closing(HTTPConnection(stub.url.removeprefix("http://"))) as connection:
        connection.request(method, path, body, ALICE | dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, json.loads(answer.read() or "null"))


def passed(pytester: pytest.Pytester, tests: str, count: int, *options: str) -> None:
    """Run tests that all pass and leave nothing open, which would be a warning."""
    pytester.makepyfile(HELPERS + tests)
    result = pytester.runpytest_subprocess("-W", "error", *WITHOUT, *options, timeout=60)
    result.assert_outcomes(passed=count)


@pytest.mark.system
def test_the_fixture(pytester: pytest.Pytester) -> None:
    tests = """
def test_what_it_has(leads_stub):
    assert leads_stub.tokens == TOKENS
    page = send(leads_stub, "/v1/leads?limit=200", leads_stub.tokens["bob"])
    assert page["data"] == leads_stub.leads("bob")
    assert (len(leads_stub.leads("bob")), len(leads_stub.leads("alice"))) == (50, 150)
    with pytest.raises(AccountError, match="nobody"):
        leads_stub.leads("nobody")

@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_begins_anew(leads_stub, turn):
    URLS.append(leads_stub.url)
    assert URLS == [leads_stub.url] * turn
    before = leads_stub.leads("alice")
    assert (create(leads_stub), create(leads_stub)) == (201, 202)
    assert leads_stub.leads("alice")[2:] == before
    leads_stub.reset()
    assert leads_stub.leads("alice") == before
    assert create(leads_stub) == 201
"""
    passed(pytester, tests, 3)


@pytest.mark.system
def test_without_the_extra(pytester: pytest.Pytester) -> None:
    """A test that asks for the fixture is told what to install; others run as ever."""
    pytester.makeconftest("import sys\nsys.modules['flask_swagger_ui'] = None")
    pytester.makepyfile("def test_it(leads_stub): pass\ndef test_other(): pass")
    result = pytester.runpytest_subprocess(*WITHOUT, timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        "leads_stub: flask_swagger_ui is not installed; run: pip install 'leads-service[[]server]'"
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.system
def test_a_stub_for_each_worker(pytester: pytest.Pytester) -> None:
    """Through a pipe they meet while both are up."""
    os.mkfifo(pytester.path / "pipe")
    tests = """
def test_workers(leads_stub):
    assert create(leads_stub) == 201
    if os.environ["PYTEST_XDIST_WORKER"] == "gw0":
        with open("pipe", "w") as pipe:
            pipe.write(leads_stub.url)
    else:
        with open("pipe") as pipe:
            assert pipe.read() not in ("", leads_stub.url)
"""
    passed(pytester, tests, 2, "-n", "2", "--dist", "each")


@pytest.mark.parametrize(
    ("status", "retry_after"), [(503, "1"), (429, "1"), (500, None), (418, None)]
)
def test_a_failure_that_is_asked_for(
    leads_stub: LeadsStub, status: int, retry_after: str | None
) -> None:
    before = leads_stub.leads("alice")
    answer = ask(leads_stub, "POST", LEADS, {"X-Stub-Fail": str(status)})
    assert (answer.status, answer.headers["Retry-After"]) == (status, retry_after)
    assert answer.body["code"] == status
    assert answer.body["message"] == "The stub was asked for this by X-Stub-Fail."
    assert leads_stub.leads("alice") == before
    created = ask(leads_stub, "POST", LEADS).body
    assert (created["id"], created["created_at"]) == (201, "2026-11-02T09:00:00.000000Z")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("X-Stub-Fail", value) for value in ("200", "999", "abc", "")),
        *(("X-Stub-Delay", value) for value in ("5", "-1s", "61s", "1h", "")),
    ],
)
def test_what_cannot_be_asked_for(leads_stub: LeadsStub, header: str, value: str) -> None:
    answer = ask(leads_stub, "POST", LEADS, {header: value})
    assert answer.status == 400
    message = answer.body.pop("message")
    assert message.startswith(f"{header}: {value!r} is no ")
    assert answer.body == {"code": 400, "status": "Bad Request"}
    assert ask(leads_stub, "POST", LEADS).body["id"] == 201


def test_delays() -> None:
    texts = ("0s", "300ms", "1.5s", "60s", "60000ms")
    assert [seconds(text) for text in texts] == [0.0, 0.3, 1.5, 60.0, 60.0]
    faults = Faults(delay=0.25)
    for method, header, expected in (
        ("GET", {}, 0.25),
        ("GET", {"HTTP_X_STUB_DELAY": "2s"}, 2.0),
        ("GET", {"HTTP_X_STUB_DELAY": "1h"}, 0.0),
        ("OPTIONS", {"HTTP_X_STUB_DELAY": "2s"}, 0.0),
    ):
        assert faults.delay_of({"REQUEST_METHOD": method} | header) == expected


@pytest.mark.slow
def test_rates_of_failures() -> None:
    runs = []
    for rate in (0.5, 0.5, 1):
        with closing(Stub(faults=Faults(fail_rate=rate, seed=1), log_level="error")) as stub:
            client = Client(stub)
            for _ in range(2):
                runs.append([client.get(LEADS, headers=ALICE).status_code for _ in range(50)])
                assert client.get("/healthz").status_code == 200
                assert client.get("/openapi.json").status_code == 200
                assert client.post("/stub/reset").status_code == 204
    assert set(runs[0]) == {200, 503}
    assert runs[0] == runs[1] == runs[2] == runs[3]
    assert set(runs[4]) == set(runs[5]) == {503}


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (200, LEADS, {}),
        (401, LEADS, {"Authorization": "Bearer nobody"}),
        (404, "/nowhere", {}),
        (422, f"{LEADS}?limit=x", {}),
        (503, LEADS, {"X-Stub-Fail": "503"}),
    ],
)
def test_a_browser_sees_the_answer(
    leads_stub: LeadsStub, status: int, path: str, headers: dict[str, str]
) -> None:
    answer = ask(leads_stub, "GET", path, ORIGIN | headers)
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://ui.test")
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Link", "Location", "X-Request-ID"} <= set(exposed)


@pytest.mark.parametrize("fault", [{}, {"X-Stub-Fail": "503"}, {"X-Stub-Fail": "abc"}])
def test_a_preflight_neither_fails_nor_needs_a_token(
    leads_stub: LeadsStub, fault: dict[str, str]
) -> None:
    preflight = ORIGIN | {
        "Authorization": "",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = ask(leads_stub, "OPTIONS", f"{LEADS}/1", preflight | fault)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://ui.test")
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].split(", ")
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type"} <= set(allowed)
