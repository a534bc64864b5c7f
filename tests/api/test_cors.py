"""Web pages of other origins: which may call, and what they get to see."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from leads_service import create_app
from leads_service.stub import Stub
from tests.helpers import Caller, with_trusted_hosts

ORIGIN = "https://app.example.com"
ORIGINS = f"http://localhost:3000, {ORIGIN}"
ALLOW = "Access-Control-Allow-"
PATHS = ["/v1/leads", "/v1/leads/1", "/v1/lead", "/v1", "/v1/leads/x", "/leads", "/healthz"]
METHODS = ["GET", "PUT", "PATCH", "DELETE", "patch", "QUERY", "\xe9"]


@pytest.fixture
def app(url: str) -> Flask:
    return create_app({"LEADS_DATABASE": url, "LEADS_CORS_ORIGINS": ORIGINS})


def preflight(
    client: FlaskClient, path: str, method: str = "PATCH", origin: str = ORIGIN, headers: str = ""
) -> TestResponse:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return client.options(path, headers=asked)


def names(answer: TestResponse, header: str) -> set[str]:
    return set(answer.headers.get(header, "").split(", "))


def has_cors(answer: TestResponse) -> bool:
    return any(name.startswith("Access-Control-") for name, _ in answer.headers)


@pytest.mark.parametrize("origin", ["http://localhost:3000", ORIGIN])
def test_what_a_page_gets_to_see(alice: Caller, origin: str) -> None:
    answer = alice.client.post("/v1/leads", json={"company_id": 1}, headers={"Origin": origin})
    assert answer.status_code == 201
    assert answer.headers[f"{ALLOW}Origin"] == origin
    exposed = {"ETag", "Idempotency-Replayed", "Link", "Location", "Retry-After", "X-Request-ID"}
    assert names(answer, "Access-Control-Expose-Headers") == exposed
    assert f"{ALLOW}Methods" not in answer.headers
    assert f"{ALLOW}Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"
    index = alice.client.get("/", headers={"Origin": origin})
    assert names(index, "Vary") == {"Accept", "Origin"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_a_browser_may_ask_for_anything(client: FlaskClient, path: str, method: str) -> None:
    wanted = "authorization, content-type, idempotency-key, if-match"
    answer = preflight(client, path, method, headers=wanted)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers[f"{ALLOW}Origin"] == ORIGIN
    assert names(answer, f"{ALLOW}Headers") == set(wanted.split(", "))
    assert names(answer, f"{ALLOW}Methods") >= {"GET", "POST", "PATCH", "DELETE"}
    if method.isascii():
        assert method in names(answer, f"{ALLOW}Methods")
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.headers["X-Request-ID"]


def test_a_browser_need_not_ask_for_headers(client: FlaskClient) -> None:
    answer = preflight(client, "/v1/leads")
    assert answer.status_code == 200
    assert "PATCH" in names(answer, f"{ALLOW}Methods")


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/v1/leads", False, 401),
        ("GET", "/v1/lead", False, 401),
        ("GET", "/v1/lead", True, 404),
        ("PUT", "/v1/leads", True, 405),
        ("PATCH", "/v1/leads/9", True, 404),
        ("GET", "/v1/leads?x=1", True, 422),
        ("POST", "/v1/leads", True, 415),
        ("GET", "/leads", False, 404),
    ],
)
def test_a_page_sees_what_is_wrong(
    alice: Caller, client: FlaskClient, method: str, path: str, token: bool, status: int
) -> None:
    sender = alice.client if token else client
    body: dict[str, str] | None = {} if method == "PATCH" else None
    answer = sender.open(path, method=method, headers={"Origin": ORIGIN}, json=body)
    assert answer.status_code == answer.get_json()["code"] == status
    assert answer.headers[f"{ALLOW}Origin"] == ORIGIN
    assert "X-Request-ID" in names(answer, "Access-Control-Expose-Headers")


def test_a_page_sees_a_mistake_of_ours(url: str, alice: Caller) -> None:
    settings = {"LEADS_DATABASE": url, "LEADS_CORS_ORIGINS": ORIGIN}
    client = create_app(settings | {"LEADS_SCORER": "tests.scorers:raises"}).test_client()
    headers = {"Authorization": f"Bearer {alice.token}", "Origin": ORIGIN}
    answer = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert answer.status_code == 500
    assert answer.headers[f"{ALLOW}Origin"] == ORIGIN


OTHERS = ["https://evil.example.com", f"{ORIGIN}.evil.com", f"{ORIGIN}:444", "null", "*", ""]


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins(alice: Caller, client: FlaskClient, origin: str) -> None:
    """They are told nothing; the browser keeps the answers from them."""
    answers = [alice.client.get("/v1/leads", headers={"Origin": origin})]
    answers += [preflight(client, path, origin=origin) for path in ("/v1/leads", "/v1/lead")]
    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert not any(has_cors(answer) for answer in answers)
    assert all(answer.headers["Vary"] == "Origin" for answer in answers)


def test_options_that_are_no_preflight(client: FlaskClient) -> None:
    for headers in ({}, {"Origin": ORIGIN}, {"Access-Control-Request-Method": "GET"}):
        answers = [client.options(path, headers=headers) for path in ("/v1/leads", "/v1/lead")]
        assert [answer.status_code for answer in answers] == [200, 401]
        assert {"GET", "POST"} < set(answers[0].allow)


def test_without_origins_nothing_is_allowed(url: str) -> None:
    client = create_app({"LEADS_DATABASE": url}).test_client()
    for path, status in (("/v1/leads", 200), ("/v1/lead", 401), ("/leads", 404)):
        answer = preflight(client, path)
        assert answer.status_code == status
        assert not has_cors(answer)
        assert "Vary" not in answer.headers


@with_trusted_hosts
def test_a_host_that_is_not_trusted(app: Flask, client: FlaskClient) -> None:
    app.config["TRUSTED_HOSTS"] = ["crm.test"]
    for path in ("/v1/leads", "/v1/lead"):
        assert preflight(client, path).status_code == 400


def test_the_stub_lets_any_origin_in() -> None:
    stub = Stub(log_level="error", leads=0)
    client = stub.app.test_client()
    for path in PATHS:
        answer = preflight(client, path, "DELETE", origin="http://localhost:5173")
        assert answer.status_code == 200
        assert answer.headers[f"{ALLOW}Origin"] == "http://localhost:5173"
        assert "DELETE" in names(answer, f"{ALLOW}Methods")
    stub.close()
