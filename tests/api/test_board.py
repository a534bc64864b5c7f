"""The views of the board, and its sessions, without a browser."""

import re
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leads_service.state import AppState
from tests.helpers import Caller, Clock

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.test"},
    {"Origin": "null"},
    {"Origin": "https://localhost.evil.test"},
]
OWN = [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}]
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/leads", {"company_id": 1}),
    ("PATCH", "/v1/leads/1", {"notes": "x"}),
    ("DELETE", "/v1/leads/1", None),
]


def sign_in(app: Flask, token: str) -> FlaskClient:
    client = app.test_client()
    answer = client.post("/board/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 204
    return client


@pytest.fixture
def browser(app: Flask, alice: Caller) -> FlaskClient:
    """Return a client with a session, and no token, whose user has a lead."""
    assert alice.client.post("/v1/leads", json={"company_id": 7}).status_code == 201
    return sign_in(app, alice.token)


def test_the_cookies(app: Flask, alice: Caller) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    for scheme, flags in (("http", {""}), ("https", {True})):
        answer = app.test_client().post(f"{scheme}://localhost/board/session", headers=headers)
        cookies = [
            SimpleCookie(text)["leads_session"] for text in answer.headers.getlist("Set-Cookie")
        ]
        assert [cookie["path"] for cookie in cookies] == ["/board", "/v1"]
        assert {cookie["httponly"] for cookie in cookies} == {True}
        assert {cookie["samesite"] for cookie in cookies} == {"Strict"}
        assert {cookie["secure"] for cookie in cookies} == flags
        assert {cookie.value for cookie in cookies}.isdisjoint({alice.token, ""})


@pytest.mark.parametrize("headers", OWN)
def test_a_session_may_do_what_its_token_may(browser: FlaskClient, headers: dict[str, str]) -> None:
    assert browser.get("/v1/leads").get_json()["data"][0]["company_id"] == 7
    assert browser.get("/board/session").get_json() == {"signed_in": True, "read_only": False}
    for method, path, body in WRITES:
        assert browser.open(path, method=method, json=body, headers=headers).status_code < 300


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_origin_can_not_act_on_a_session(
    browser: FlaskClient, alice: Caller, headers: dict[str, str]
) -> None:
    before = alice.client.get("/v1/leads").data
    for method, path, body in [*WRITES, ("GET", "/v1/leads", None)]:
        answer = browser.open(path, method=method, json=body, headers=headers)
        assert answer.status_code == 401
    assert browser.get("/board/summary", headers=headers).status_code == 401
    assert browser.delete("/board/session", headers=headers).status_code == 204
    assert alice.client.get("/v1/leads").data == before
    assert browser.get("/v1/leads").status_code == 401  # it was told to forget its cookies


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_write_has_to_say_where_it_comes_from(
    browser: FlaskClient, method: str, path: str, body: Any
) -> None:
    assert browser.open(path, method=method, json=body).status_code == 401


def test_a_session_is_as_read_only_as_its_token(
    app: Flask, alice: Caller, service: AppState
) -> None:
    token = service.accounts.create_token("alice", read_only=True)
    browser = sign_in(app, token)
    assert browser.get("/board/session").get_json() == {"signed_in": True, "read_only": True}
    assert browser.get("/v1/leads").status_code == 200
    for method, path, body in WRITES:
        assert browser.open(path, method=method, json=body, headers=OWN[0]).status_code == 403


def test_a_session_ends_twelve_hours_after_its_last_use(browser: FlaskClient, clock: Clock) -> None:
    for _ in range(2):
        clock.move(hours=11, minutes=59)
        assert browser.get("/v1/leads").status_code == 200
    clock.move(hours=12)
    assert browser.get("/v1/leads").status_code == 401
    assert browser.get("/board/session").get_json() == {"signed_in": False}


def test_a_session_ends_with_its_token(
    browser: FlaskClient, app: Flask, alice: Caller, service: AppState
) -> None:
    first, second = service.accounts.tokens("alice")
    assert (second["label"], second["parent"]) == ("a browser's session", first["id"])
    service.accounts.revoke_token(first["id"])
    assert browser.get("/v1/leads").status_code == 401
    assert service.accounts.tokens("alice") == []


def test_a_session_does_not_outlive_its_token(
    app: Flask, alice: Caller, service: AppState, clock: Clock
) -> None:
    browser = sign_in(app, service.accounts.create_token("alice", lifetime=timedelta(hours=1)))
    clock.move(hours=1)
    assert browser.get("/v1/leads").status_code == 401


def test_signing_out(browser: FlaskClient, service: AppState) -> None:
    cookie = browser.get_cookie("leads_session", path="/v1")
    assert cookie is not None
    assert browser.delete("/board/session", headers=OWN[0]).status_code == 204
    assert browser.get_cookie("leads_session", path="/v1") is None
    browser.set_cookie("leads_session", cookie.value, path="/v1")
    assert browser.get("/v1/leads").status_code == 401
    assert len(service.accounts.tokens("alice")) == 1


def test_a_token_is_no_session(browser: FlaskClient, alice: Caller, service: AppState) -> None:
    browser.set_cookie("leads_session", alice.token, path="/board")
    browser.delete("/board/session", headers=OWN[0])
    assert alice.client.get("/v1/leads").status_code == 200


def test_old_sessions_are_swept(app: Flask, alice: Caller, service: AppState, clock: Clock) -> None:
    for _ in range(3):
        sign_in(app, alice.token)
    clock.move(hours=13)
    sign_in(app, alice.token)
    assert len(service.accounts.tokens("alice")) == 2


@pytest.mark.parametrize("token", ["", "leads_wrong"])
def test_signing_in_with_a_wrong_token(app: Flask, token: str) -> None:
    answer = app.test_client().post("/board/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def test_a_session_makes_another_one_of_the_same_token(app: Flask, browser: FlaskClient) -> None:
    assert browser.post("/board/session", headers=OWN[0]).status_code == 422


def test_cards(browser: FlaskClient, alice: Caller, bob: Caller, clock: Clock) -> None:
    clock.move(hours=3)
    changed = alice.client.patch("/v1/leads/1", json={"status": "contacted"}).get_json()
    alice.client.post("/v1/leads", json={"company_id": 8})
    bob.client.post("/v1/leads", json={"company_id": 9})
    page = browser.get("/board/cards").get_json()
    assert [lead["company_id"] for lead in page["data"]] == [8, 7]
    new, old = page["data"]
    assert (new["since"], old["since"]) == (new["created_at"], changed["updated_at"])
    assert browser.get("/board/cards?status=lost").get_json()["data"] == []
    assert browser.get("/board/cards?cursor=99").status_code == 404
    assert browser.get("/board/cards?status=none").status_code == 422
    summary = dict.fromkeys(("new", "contacted", "qualified", "converted", "lost"), 0)
    assert browser.get("/board/summary").get_json() == summary | {"new": 1, "contacted": 1}
    assert browser.get("/board/summary?company_id=8").get_json() == summary | {"new": 1}
    assert browser.get("/board/leads/1/history").get_json()["data"] == [
        {
            "changed_at": changed["updated_at"],
            "from_status": "new",
            "to_status": "contacted",
            "is_estimate": False,
        }
    ]
    assert browser.get("/board/leads/3/history").status_code == 404


def test_the_page(client: FlaskClient) -> None:
    answer = client.get("/board")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", answer.text)
    for path in re.findall(r'(?:src|href)="(/.*?)"', answer.text):
        assert client.get(path).status_code == 200
    assert client.get("/board/static/none.js").status_code == 404
    assert client.get("/board/static/..%2f__init__.py").status_code == 404
