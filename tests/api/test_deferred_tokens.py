"""A create by a token that was used in the same minute: the insert checks the token."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from leads_service import accounts
from leads_service.api.responses import OUTCOME_UNKNOWN_MESSAGE
from leads_service.exceptions import CommitOutcomeUnknownError, StorageUnavailableError
from leads_service.state import AppState, state_of
from tests.helpers import Caller, Clock, caller

LEAD = {"company_id": 42}

Ask = Callable[[Caller], TestResponse]


def create(by: Caller, **headers: str) -> TestResponse:
    return by.client.post("/v1/leads", json=LEAD, headers=headers)


def have_remembered(by: Caller) -> None:
    """Let a process know that the token has been used in this minute."""
    for _ in range(2):  # the first use is noted, the second one sees that
        assert create(by).status_code == 201


@pytest.fixture
def known(alice: Caller) -> Caller:
    have_remembered(alice)
    return alice


def reads_of_tokens(caplog: pytest.LogCaptureFixture, by: Caller) -> int:
    """Return how many queries of their own a create needs for tokens."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        assert create(by).status_code == 201
    queries = [record.msg[0] for record in caplog.records if record.name == "peewee"]
    return sum("leads_token" in sql and sql.startswith("SELECT") for sql in queries)


def test_no_query_of_its_own(
    known: Caller, caplog: pytest.LogCaptureFixture, engine_name: str
) -> None:
    expected = {"sqlite": 1, "postgresql": 0, "citus": 1}
    assert reads_of_tokens(caplog, known) == expected[engine_name]


def test_in_the_next_minute_it_is_read_and_its_use_noted(
    known: Caller, service: AppState, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.move(minutes=1)
    assert reads_of_tokens(caplog, known) == 1
    (token,) = service.accounts.tokens()
    assert token["last_used_at"] == "2026-11-22T22:04:11.123456Z"


REQUESTS: dict[str, Ask] = {
    "a create": create,
    "with a key": lambda by: create(by, **{"Idempotency-Key": "key"}),
    "with a key that is not valid": lambda by: create(by, **{"Idempotency-Key": "ä"}),
    "with a lead that is not valid": lambda by: by.client.post("/v1/leads", json={}),
    "with what is no JSON": lambda by: by.client.post("/v1/leads", data="{"),
    "a list": lambda by: by.client.get("/v1/leads"),
    "an update": lambda by: by.client.patch(lead_of(by), json={"status": "lost"}),
    "a deletion": lambda by: by.client.delete(lead_of(by)),
}


def lead_of(by: Caller) -> str:
    return f"/v1/leads/{first_of(by)['id']}"


def first_of(by: Caller) -> dict[str, Any]:
    page = state_of(by.client.application).leads.page(by.id, {}, limit=100)
    first: dict[str, Any] = json.loads(page.data)[-1]
    return first


@pytest.mark.parametrize("name", REQUESTS)
def test_revocation_takes_effect_at_once(
    known: Caller, service: AppState, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = service.leads.count(known.id), first_of(known)
    service.accounts.revoke_token(1)
    capsys.readouterr()
    for _ in range(2):
        answer = REQUESTS[name](known)
        assert answer.status_code == 401
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge == 'Bearer realm="leads", error="invalid_token"'
        assert answer.get_json() == {
            "code": 401,
            "status": "Unauthorized",
            "message": "The token is unknown, expired or revoked.",
        }
        assert json.loads(capsys.readouterr().err)["user_id"] is None
    assert (service.leads.count(known.id), first_of(known)) == before


def test_so_does_the_removal_of_the_user(known: Caller, service: AppState) -> None:
    service.accounts.remove_user("alice", erase=True)
    assert create(known).status_code == 401
    assert service.leads.count(known.id) == 0


def test_a_token_that_is_made_again(known: Caller, service: AppState) -> None:
    service.accounts.revoke_token(1)
    assert create(known).status_code == 401
    service.accounts.create_token("alice", token=known.token)
    assert create(known).status_code == 201


def test_expiry_within_the_minute(app: Flask, clock: Clock) -> None:
    by = caller(app, "alice", lifetime=timedelta(seconds=30))
    have_remembered(by)
    clock.move(seconds=29)
    assert create(by).status_code == 201
    clock.move(seconds=1)
    assert create(by).status_code == 401


def test_a_read_only_token(app: Flask, service: AppState) -> None:
    reader = caller(app, "alice", read_only=True)
    for _ in range(3):
        assert create(reader).status_code == 403
    service.accounts.revoke_token(1)
    assert create(reader).status_code == 401


def test_the_others_of_a_user_go_on(known: Caller, app: Flask, service: AppState) -> None:
    bob = caller(app, "bob")
    have_remembered(bob)
    service.accounts.revoke_token(1)
    assert create(known).status_code == 401
    for _ in range(2):
        assert create(bob).status_code == 201


@pytest.fixture
def unreachable(service: AppState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no token be checked."""

    def fail(*_: Any) -> NoReturn:
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(service.storage, "has_token", fail)


@pytest.mark.usefixtures("unreachable")
def test_no_answer_without_a_check(
    known: Caller, engine_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    answer = REQUESTS["with a lead that is not valid"](known)
    if engine_name == "sqlite":
        assert answer.status_code == 422
        return
    assert answer.status_code == 503
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["message"], line["user_id"]) == ("request", None)


@pytest.mark.usefixtures("unreachable")
def test_a_lead_that_may_have_been_stored(
    known: Caller, service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said so, though then the token can't be checked either."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise CommitOutcomeUnknownError("the connection broke")

    monkeypatch.setattr(service.storage, "insert_lead", fail)
    answer = create(known)
    assert answer.status_code == 503
    assert answer.get_json()["message"] == OUTCOME_UNKNOWN_MESSAGE


def test_not_more_and_more_tokens_are_remembered(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accounts, "MAX_RECENT", 1)
    both = [caller(app, name) for name in ("alice", "bob")]
    for by in both:
        have_remembered(by)
    assert reads_of_tokens(caplog, both[0]) == 1
