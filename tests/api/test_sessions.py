"""A browser's session: what its cookie opens, and to whose pages."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leads_service.state import AppState
from tests.helpers import Caller, Clock, caller, create, leads

HOST = "http://localhost"  # what a test client asks
OWN = {"Sec-Fetch-Site": "same-origin"}
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
    {"Sec-Fetch-Site": "Same-Origin, cross-site"},
    {"Origin": "https://elsewhere.test"},
    {"Origin": "http://localhost.elsewhere.test"},
    {"Origin": "http://localhost:8001"},
    {"Origin": "null"},
]
WRITES = [
    ("POST", "/v1/leads", {"company_id": 7}),
    ("PATCH", "/v1/leads/1", {"notes": "changed"}),
    ("DELETE", "/v1/leads/1", None),
]
foreign = pytest.mark.parametrize("headers", FOREIGN, ids=lambda it: " ".join(it.values()))
on_one_engine = pytest.mark.usefixtures("of_sqlite")  # none of it depends on which
writes = pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=str)


def sign_in(app: Flask, token: str) -> FlaskClient:
    """Return a client that has a session's cookies and nothing else."""
    client = app.test_client()
    answer = client.post("/board/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 201, 204}, answer.get_data(as_text=True)
    return client


@pytest.fixture
def visitor(app: Flask, alice: Caller) -> FlaskClient:
    create(alice, 42)
    return sign_in(app, alice.token)


def test_it_opens_what_the_token_does(visitor: FlaskClient, alice: Caller) -> None:
    assert visitor.get("/v1/leads", headers=OWN).get_json()["data"] == leads(alice)
    answers = [
        visitor.open(path, method=method, json=body, headers=OWN) for method, path, body in WRITES
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 204]


def test_a_browser_that_says_no_more_than_origin(visitor: FlaskClient) -> None:
    headers = {"Origin": HOST}
    assert visitor.patch("/v1/leads/1", json={"notes": "x"}, headers=headers).status_code == 200


@on_one_engine
@foreign
@writes
def test_pages_elsewhere_write_nothing(
    visitor: FlaskClient,
    alice: Caller,
    headers: dict[str, str],
    method: str,
    path: str,
    body: dict[str, object] | None,
) -> None:
    before = leads(alice)
    answer = visitor.open(path, method=method, json=body, headers=headers)
    assert answer.status_code == 401
    assert leads(alice) == before


@on_one_engine
@foreign
@pytest.mark.parametrize("path", ["/v1/leads", "/v1/leads/1"])
def test_pages_elsewhere_read_nothing(
    visitor: FlaskClient, headers: dict[str, str], path: str
) -> None:
    assert visitor.get(path, headers=headers).status_code == 401


@writes
def test_who_does_not_say_where_the_page_is_from_writes_nothing(
    visitor: FlaskClient, method: str, path: str, body: dict[str, object] | None
) -> None:
    assert visitor.open(path, method=method, json=body).status_code == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_json_only(visitor: FlaskClient, alice: Caller, kind: str) -> None:
    """A form of another page can send only these without asking first."""
    answer = visitor.post(
        "/v1/leads", data='{"company_id": 7}', headers=OWN | {"Content-Type": kind}
    )
    assert answer.status_code in {415, 422}
    assert len(leads(alice)) == 1


@on_one_engine
@foreign
def test_pages_elsewhere_sign_nobody_out(
    visitor: FlaskClient, service: AppState, headers: dict[str, str]
) -> None:
    before = len(service.accounts.tokens("alice"))
    visitor.delete("/board/session", headers=headers)
    assert len(service.accounts.tokens("alice")) == before


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookies(app: Flask, alice: Caller, secure: bool) -> None:
    answer = app.test_client().post(
        "/board/session",
        headers={"Authorization": f"Bearer {alice.token}"},
        base_url=f"http{'s' if secure else ''}://localhost",
    )
    cookies = answer.headers.getlist("Set-Cookie")
    assert sorted(part for cookie in cookies for part in cookie.split("; ") if "Path" in part) == [
        "Path=/board",
        "Path=/v1",
    ]
    for cookie in cookies:
        attributes = cookie.split("; ")[1:]
        assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
        assert ("Secure" in attributes) == secure
        assert not any(attribute.startswith("Domain") for attribute in attributes)
        assert alice.token not in cookie


def test_a_bearer_token_goes_before_the_cookie(visitor: FlaskClient, bob: Caller) -> None:
    headers = OWN | {"Authorization": f"Bearer {bob.token}"}
    assert visitor.get("/v1/leads", headers=headers).get_json()["data"] == []
    headers = OWN | {"Authorization": "Bearer leads_wrong"}
    assert visitor.get("/v1/leads", headers=headers).status_code == 401


def test_it_may_do_no_more_than_its_token(app: Flask, alice: Caller, service: AppState) -> None:
    create(alice, 42)
    client = sign_in(app, service.accounts.create_token("alice", read_only=True))
    assert client.get("/v1/leads/1", headers=OWN).status_code == 200
    assert client.patch("/v1/leads/1", json={"notes": "x"}, headers=OWN).status_code == 403


def test_it_ends_with_its_token(visitor: FlaskClient, service: AppState) -> None:
    assert visitor.get("/v1/leads", headers=OWN).status_code == 200
    (token, _) = service.accounts.tokens("alice")
    service.accounts.revoke_token(token["id"])
    assert visitor.get("/v1/leads", headers=OWN).status_code == 401
    assert service.accounts.tokens("alice") == []


def test_it_can_be_revoked_alone(visitor: FlaskClient, alice: Caller, service: AppState) -> None:
    (_, session) = service.accounts.tokens("alice")
    service.accounts.revoke_token(session["id"])
    assert visitor.get("/v1/leads", headers=OWN).status_code == 401
    assert len(leads(alice)) == 1


def test_it_ends_twelve_hours_after_its_last_use(visitor: FlaskClient, clock: Clock) -> None:
    for _ in range(3):
        clock.move(hours=11.9)
        assert visitor.get("/v1/leads", headers=OWN).status_code == 200
    clock.move(hours=12.1)
    assert visitor.get("/v1/leads", headers=OWN).status_code == 401


def test_it_does_not_outlive_its_token(
    app: Flask, alice: Caller, service: AppState, clock: Clock
) -> None:
    token = service.accounts.create_token("alice", lifetime=timedelta(hours=1))
    client = sign_in(app, token)
    clock.move(hours=0.9)
    assert client.get("/v1/leads", headers=OWN).status_code == 200
    clock.move(hours=0.2)
    assert client.get("/v1/leads", headers=OWN).status_code == 401


def test_signing_out_ends_it(visitor: FlaskClient, app: Flask, service: AppState) -> None:
    cookie = visitor.get_cookie("leads_session", path="/v1")
    assert cookie is not None
    answer = visitor.delete("/board/session", headers=OWN)
    assert answer.status_code == 204
    assert len(answer.headers.getlist("Set-Cookie")) == 2
    thief = app.test_client()
    thief.set_cookie("leads_session", cookie.value, path="/v1")
    assert thief.get("/v1/leads", headers=OWN).status_code == 401
    assert len(service.accounts.tokens("alice")) == 1


def test_no_session_makes_another_one(visitor: FlaskClient, service: AppState) -> None:
    """Otherwise one could outlive its end."""
    before = len(service.accounts.tokens("alice"))
    assert visitor.post("/board/session", headers=OWN).status_code in {401, 422}
    assert len(service.accounts.tokens("alice")) == before


def test_a_wrong_token_makes_none(app: Flask, alice: Caller) -> None:
    answer = app.test_client().post(
        "/board/session", headers={"Authorization": "Bearer leads_wrong"}
    )
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def test_only_the_digest_is_stored(visitor: FlaskClient, service: AppState) -> None:
    cookie = visitor.get_cookie("leads_session", path="/v1")
    assert cookie is not None
    assert all(cookie.value not in str(token) for token in service.accounts.tokens())


def test_it_is_not_for_anything_else(app: Flask, alice: Caller) -> None:
    bob = caller(app, "robert")
    create(bob, 7)
    client = sign_in(app, alice.token)
    assert client.get("/v1/leads/1", headers=OWN).status_code == 404


@pytest.mark.parametrize(
    "data", ["/board/summary", "/board/cards?status=new", "/board/leads/1/history"]
)
def test_what_the_board_asks_needs_it_too(app: Flask, visitor: FlaskClient, data: str) -> None:
    assert visitor.get(data, headers=OWN).status_code == 200
    assert app.test_client().get(data).status_code == 401
    for headers in FOREIGN:
        assert visitor.get(data, headers=headers).status_code == 401
