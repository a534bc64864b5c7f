"""One shape for all errors, and nothing inside it that is nobody's business."""

import io
import json
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import SqliteDatabase

from leads_service import create_app
from tests.helpers import Caller, Clock

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"company_id": 1', b'{"company_id": NaN}', b'{"company_id": -Infinity}']
    + [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"{'company_id': 1}", b"\xff", b"\x00"]
    + ['{"company_id": 1}'.encode(code) for code in ("utf-16", "utf-32", "utf-8-sig")]
    + ['{"company_id": 1, "notes": "é"}'.encode("latin-1")],
    ids=lambda body: str(body)[:30],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/leads"), ("PATCH", "/v1/leads/1")])
def test_no_json(alice: Caller, method: str, path: str, body: bytes) -> None:
    answer = alice.client.open(path, method=method, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json == {
        "code": 400,
        "status": "Bad Request",
        "message": "The body is not valid JSON in UTF-8.",
    }


@pytest.mark.parametrize("kind", [None, "text/plain", "application/vnd.api+json", "json", "\xff"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/leads"), ("PATCH", "/v1/leads/1")])
def test_wrong_content_type(alice: Caller, method: str, path: str, kind: str | None) -> None:
    answer = alice.client.open(path, method=method, data=b'{"company_id": 1}', content_type=kind)
    assert answer.status_code == 415
    assert answer.get_json()["message"] == "Send the body as Content-Type: application/json."


def test_content_type_may_name_the_charset(alice: Caller) -> None:
    kind = "Application/JSON; charset=utf-8"
    answer = alice.client.post("/v1/leads", data=b'{"company_id": 1}', content_type=kind)
    assert answer.status_code == 201


def test_body_size(alice: Caller) -> None:
    def post(size: int) -> int:
        body = b'{"company_id": 1}'.ljust(size)
        return alice.client.post(
            "/v1/leads", data=body, content_type="application/json"
        ).status_code

    assert post(256 * 1024) == 201
    assert post(256 * 1024 + 1) == 413


def test_a_field_name_that_is_no_text(alice: Caller) -> None:
    for call in (alice.client.post, alice.client.patch):
        path = "/v1/leads" if call == alice.client.post else "/v1/leads/1"
        answer = call(path, data='{"company_id": 1, "\\ud800": 1}', content_type="application/json")
        assert answer.status_code == 422
        assert answer.get_json()["errors"]["json"]["\ud800"] == ["Unknown field."]


@pytest.mark.parametrize("size", [256 * 1024 + 1, 300_000])
def test_body_size_without_a_length(alice: Caller, size: int) -> None:
    body = b'{"company_id": 1}'.ljust(256 * 1024) + b"x" * (size - 256 * 1024)
    answer = alice.client.post(
        "/v1/leads",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert answer.status_code == 413
    assert answer.get_json()["message"] == "The body is larger than 256 KiB."
    assert alice.client.get("/v1/leads").get_json()["data"] == []


def test_a_body_that_is_cut_off(alice: Caller) -> None:
    answer = alice.client.post(
        "/v1/leads",
        input_stream=io.BytesIO(b'{"company_id": 1}'),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100"},
    )
    assert answer.status_code == 400


def test_parameters_where_there_are_none(alice: Caller) -> None:
    for answer in (
        alice.client.post("/v1/leads?statsu=new", json={"company_id": 1}),
        alice.client.patch("/v1/leads/1?statsu=new", json={}),
    ):
        assert answer.status_code == 422
        assert answer.get_json()["errors"] == {"query": {"statsu": ["Unknown field."]}}


def test_slashes_too_many_are_another_path(alice: Caller) -> None:
    for path in ("/v1//leads", "//v1/leads", "/v1/leads/"):
        assert alice.client.get(path).status_code == 404


def test_unknown_path(alice: Caller, client: FlaskClient) -> None:
    for answer in (alice.client.get("/v1/nothing"), client.get("/no"), client.get("/v1x")):
        assert answer.status_code == 404
        assert answer.get_json()["status"] == "Not Found"


def test_wrong_method(alice: Caller, client: FlaskClient) -> None:
    answer = alice.client.put("/v1/leads/1")
    assert answer.status_code == 405
    assert answer.get_json()["code"] == 405
    allowed = {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}
    assert set(answer.headers["Allow"].split(", ")) == allowed
    assert alice.client.delete("/v1/leads").status_code == 405
    assert client.post("/healthz").status_code == 405


def test_locked_store(
    url: str, database_file: Path, clock: Clock, alice: Caller, log: pytest.LogCaptureFixture
) -> None:
    hasty = create_app({"LEADS_DATABASE": url, "LEADS_BUSY_TIMEOUT": 0}, clock=clock).test_client()
    hasty.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {alice.token}"
    other = SqliteDatabase(str(database_file))
    with other.atomic("IMMEDIATE"):
        answer = hasty.post("/v1/leads", json={"company_id": 1})
        assert hasty.get("/v1/leads").status_code == 200
    other.close()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json == {
        "code": 503,
        "status": "Service Unavailable",
        "message": "The store can't be reached or is busy; nothing was stored. Try again.",
    }
    assert "database is locked" in log.text
    assert hasty.post("/v1/leads", json={"company_id": 1}).get_json()["id"] == 1


def test_missing_store(app: Flask, database_file: Path, client: FlaskClient) -> None:
    app.extensions["leads_service"].storage.dispose()
    file = database_file
    file.write_bytes(b"This is no database, and it is long enough to be taken for one." * 100)
    for path in ("/v1/leads", "/healthz"):
        answer = client.get(path, headers={"Authorization": "Bearer x"})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("scorer", ["raises", "text", "too_much", "a_bool"])
def test_broken_scorer(url: str, alice: Caller, scorer: str, log: pytest.LogCaptureFixture) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    settings = {"LEADS_DATABASE": url, "LEADS_SCORER": f"tests.scorers:{scorer}"}
    client = create_app(settings).test_client()
    headers = {"Authorization": f"Bearer {alice.token}", "X-Request-ID": "abc-1"}
    for answer in (
        client.post("/v1/leads", json={"company_id": 2}, headers=headers),
        client.patch("/v1/leads/1", json={"status": "lost"}, headers=headers),
    ):
        assert answer.status_code == 500
        assert answer.json == {
            "code": 500,
            "status": "Internal Server Error",
            "message": "Something went wrong here; it was logged as abc-1.",
        }
    assert "ScorerError" in log.text
    assert alice.client.get("/v1/leads").get_json()["data"] == [lead]


@pytest.mark.parametrize("given", ["abc-1", "A.b_c:9", "x" * 128])
def test_the_callers_request_id(client: FlaskClient, given: str) -> None:
    for path in ("/v1/leads", "/healthz", "/nothing", "/openapi.json"):
        answer = client.get(path, headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é", '"', "<script>", "a-leads_x"])
def test_no_sane_request_id(client: FlaskClient, given: str) -> None:
    answer = client.get("/v1/leads", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_log_line(alice: Caller, capsys: pytest.CaptureFixture[str]) -> None:
    answer = alice.client.post("/v1/leads", json={"company_id": 1, "notes": "secret"})
    line = json.loads(capsys.readouterr().err)
    assert re.fullmatch(TIME, line.pop("time"))
    assert line.pop("ms") >= 0
    assert line == {
        "level": "info",
        "message": "request",
        "request_id": answer.headers["X-Request-ID"],
        "method": "POST",
        "route": "/v1/leads",
        "status": 201,
        "user_id": alice.id,
        "bytes": len(answer.data),
    }


def bearing(caller: Caller, request_id: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.token}", "X-Request-ID": request_id}


def let_people_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


def test_log_line_for_people(
    alice: Caller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_people_watch(monkeypatch)
    answer = alice.client.post("/v1/leads", json={"company_id": 1, "notes": "secret"})
    line = capsys.readouterr().err
    form = (
        r"\S+ \S+ info request POST /v1/leads 201 request_id=(\w+) ms=[\d.]+ user_id=1 bytes=%d\n"
    )
    match = re.fullmatch(form % len(answer.data), line)
    assert match is not None
    assert match[1] == answer.headers["X-Request-ID"]


def test_log_line_for_people_of_a_path_that_is_none(
    client: FlaskClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_people_watch(monkeypatch)
    client.get("/nothing?secret=1")
    line = capsys.readouterr().err
    form = r"\S+ \S+ info request GET /nothing 404 request_id=\w+ ms=[\d.]+ bytes=\d+\n"
    assert re.fullmatch(form, line)


def test_what_fails_cannot_pass_for_a_line_of_the_log(
    url: str, alice: Caller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_people_watch(monkeypatch)
    settings = {"LEADS_DATABASE": url, "LEADS_SCORER": "tests.scorers:raises_in_lines"}
    client = create_app(settings).test_client()
    client.post("/v1/leads", json={"company_id": 1}, headers=bearing(alice))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [lines[0], lines[-1]]
    assert " error request " in lines[0]
    assert " info request POST /v1/leads 500 " in lines[-1]
    assert r"    ValueError: no \x1b[31m" in lines
    assert "    third line" in lines


PATHS = {
    "/nothing": "/nothing",
    "/v1/leads/0": "/v1/leads/0",
    "/a%20404%0d%0a%00%1b[31m%7f": "/a%20404%0D%0A%00%1B%5B31m%7F",
    "/%c2%9b31m%e2%80%ae%ff": "/%C2%9B31m%E2%80%AE%EF%BF%BD",
    "/" + "x" * 300: "/" + "x" * 196 + "...",
    f"/v1/leads/leads_{'Az09_-7' * 6}x": "/v1/leads/[token]",
    f"/v1/leads_{'x' * 40}/y": "/v1/[token]/y",
    "/" + "x" * 180 + f"leads_{'x' * 43}": "/" + "x" * 180 + "[token]",
    "/leads_service/statistics": "/leads_service/statistics",
}


@pytest.mark.parametrize("path", PATHS)
def test_log_line_of_a_path_that_is_none(
    alice: Caller, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    alice.client.get(f"{path}?secret=1")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    line = json.loads(text)
    assert (line["route"], line["path"]) == (None, PATHS[path])
    assert "secret" not in text


def test_log_line_of_a_method_that_is_none(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.open("/healthz", method="G\x9b31m\x1b[0mET")
    text = capsys.readouterr().err
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["method"] == "G%C2%9B31m%1B%5B0mET"


def test_log_line_of_a_mistake(url: str, alice: Caller, capsys: pytest.CaptureFixture[str]) -> None:
    client = create_app(
        {"LEADS_DATABASE": url, "LEADS_SCORER": "tests.scorers:raises"}
    ).test_client()
    client.post("/v1/leads", json={"company_id": 1}, headers=bearing(alice, "abc-1"))
    mistake, request = map(json.loads, capsys.readouterr().err.splitlines())
    assert (mistake["level"], mistake["request_id"]) == ("error", "abc-1")
    assert "secret internals" in mistake["exception"]
    assert (request["status"], request["request_id"]) == (500, "abc-1")


def test_no_log_lines(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    create_app({"LEADS_DATABASE": url, "LEADS_LOG_LEVEL": "warning"}).test_client().get("/healthz")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lead_id", ["0", "01", "-1", "+1", "1.0", "abc", "%D9%A1", "1/", "1%00"])
def test_no_id_at_all(alice: Caller, lead_id: str) -> None:
    answer = alice.client.patch(f"/v1/leads/{lead_id}", json={"status": "lost"})
    assert answer.status_code == 404
    assert answer.get_json()["code"] == 404


def test_the_line_of_a_request_is_written_without_a_log_record(
    alice: Caller, log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """To make a record, pass it to handlers and take it apart is most of what a line would take."""
    alice.client.get("/v1/leads")
    assert log.records == []
    assert json.loads(capsys.readouterr().err)["route"] == "/v1/leads"
