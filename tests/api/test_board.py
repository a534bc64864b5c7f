"""The views of the board, and its sessions, without a browser."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leads_service.state import AppState
from tests.helpers import Caller, Clock

OWN = {"Sec-Fetch-Site": "same-origin"}


def sign_in(app: Flask, token: str) -> FlaskClient:
    client = app.test_client()
    answer = client.post("/board/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 204
    return client


@pytest.fixture
def visitor(app: Flask, alice: Caller) -> FlaskClient:
    """Return a client with a session, and no token, whose user has a lead."""
    assert alice.client.post("/v1/leads", json={"company_id": 7}).status_code == 201
    return sign_in(app, alice.token)


def test_a_token_is_no_session(visitor: FlaskClient, alice: Caller, service: AppState) -> None:
    visitor.set_cookie("leads_session", alice.token, path="/board")
    visitor.delete("/board/session", headers=OWN)
    assert alice.client.get("/v1/leads").status_code == 200


def test_old_sessions_are_swept(app: Flask, alice: Caller, service: AppState, clock: Clock) -> None:
    for _ in range(3):
        sign_in(app, alice.token)
    clock.move(hours=13)
    sign_in(app, alice.token)
    assert len(service.accounts.tokens("alice")) == 2


def test_cards(visitor: FlaskClient, alice: Caller, bob: Caller, clock: Clock) -> None:
    clock.move(hours=3)
    changed = alice.client.patch("/v1/leads/1", json={"status": "contacted"}).get_json()
    alice.client.post("/v1/leads", json={"company_id": 8})
    bob.client.post("/v1/leads", json={"company_id": 9})
    page = visitor.get("/board/cards").get_json()
    assert [lead["company_id"] for lead in page["data"]] == [8, 7]
    new, old = page["data"]
    assert (new["since"], old["since"]) == (new["created_at"], changed["updated_at"])
    assert visitor.get("/board/cards?status=lost").get_json()["data"] == []
    assert visitor.get("/board/cards?cursor=99").status_code == 404
    assert visitor.get("/board/cards?status=none").status_code == 422
    summary = dict.fromkeys(("new", "contacted", "qualified", "converted", "lost"), 0)
    assert visitor.get("/board/summary").get_json() == summary | {"new": 1, "contacted": 1}
    assert visitor.get("/board/summary?company_id=8").get_json() == summary | {"new": 1}
    assert visitor.get("/board/leads/1/history").get_json()["data"] == [
        {
            "changed_at": changed["updated_at"],
            "from_status": "new",
            "to_status": "contacted",
            "is_estimate": False,
        }
    ]
    assert visitor.get("/board/leads/3/history").status_code == 404


def test_the_page(client: FlaskClient) -> None:
    answer = client.get("/board")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", answer.text)
    assert [client.get(f"/board{path}/").status_code for path in ("", "/progress")] == [200, 200]
    for path in re.findall(r'(?:src|href)="(/.*?)"', answer.text):
        assert client.get(path).status_code == 200
    for name in ("none.js", "x" * 300, "__init__.py"):
        assert client.get(f"/board/static/{name}").status_code == 404
    assert client.get("/board/static/..%2f__init__.py").status_code == 404


def test_the_summary_has_all_pages(visitor: FlaskClient) -> None:
    for query in ("", "?cursor=1", "?limit=1&cursor=99"):
        assert visitor.get(f"/board/summary{query}", headers=OWN).get_json()["new"] == 1


def test_an_ended_session_is_not_revived_by_another_one(
    app: Flask, visitor: FlaskClient, alice: Caller, bob: Caller, clock: Clock
) -> None:
    cookie = visitor.get_cookie("leads_session", path="/board")
    assert cookie is not None
    clock.move(hours=13)
    other = sign_in(app, bob.token)
    for scheme in ("Foo", "Basic", "Bearer"):
        headers = OWN | {"Authorization": f"{scheme} {cookie.value}"}
        assert other.post("/board/session", headers=headers).status_code in (401, 422)


def test_figures(visitor: FlaskClient, alice: Caller, bob: Caller, clock: Clock) -> None:
    alice.client.patch("/v1/leads/1", json={"status": "converted"})
    bob.client.post("/v1/leads", json={"company_id": 7})
    clock.move(seconds=1)  # what happens at the end of a span is not in it
    for query in ("", "?span=1y", "?span=all&company_id=7"):
        figures = visitor.get(f"/board/figures{query}").get_json()
        steps = figures["funnel"]["steps"]
        assert [step["leads"] for step in steps] == [1, 1, 1, 1]
        assert figures["outcome"]["conversion_rate"] == 1
    assert visitor.get("/board/figures?company_id=8").get_json()["weeks"] == []
    refused = visitor.get("/board/figures?span=1h")
    assert refused.status_code == 422
    assert "90d" in refused.get_json()["errors"]["query"]["span"][0]
    assert visitor.get("/board/figures?company_id=x").get_json()["errors"]["query"].keys() == {
        "company_id"
    }
