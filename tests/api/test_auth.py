"""Who gets in, with what, and how long."""

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import SqliteDatabase

from leads_service.state import AppState
from leads_service.storage.models import Token
from tests.helpers import Caller, Clock, caller, database_of, sqlite_of

REALM = 'Bearer realm="leads"'
CALLS = [
    ("GET", "/v1/leads"),
    ("GET", "/v1/leads?limit=never"),
    ("POST", "/v1/leads"),
    ("PATCH", "/v1/leads/1"),
    ("PATCH", "/v1/leads/none"),
    ("DELETE", "/v1/leads"),
    ("GET", "/v1/nothing"),
    ("OPTIONS", "/v1/nothing"),
    ("GET", "/v1"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_no_token(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method, data="{", content_type="text/plain")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == REALM
    assert answer.json == {
        "code": 401,
        "status": "Unauthorized",
        "message": "A token is needed: send it as 'Authorization: Bearer TOKEN'.",
    }


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_unknown_token(client: FlaskClient, method: str, path: str) -> None:
    headers = {"Authorization": "Bearer leads_" + "x" * 43}
    answer = client.open(path, method=method, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == REALM + ', error="invalid_token"'
    assert answer.get_json()["message"] == "The token is unknown, expired or revoked."


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Basic %",
        "x" * 5000,
        "Bearer " + "x" * 5000,
        "Bearer a=b",
        'Digest a="',
        "Bearer ÿþ",
        "ÿ",
        "Bearer \x00",
    ],
)
def test_malformed_header(client: FlaskClient, header: str) -> None:
    answer = client.get("/v1/leads", environ_overrides={"HTTP_AUTHORIZATION": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith(REALM)


def test_the_scheme_has_no_case_but_the_token_has(alice: Caller, client: FlaskClient) -> None:
    def status(header: str) -> int:
        return client.get("/v1/leads", headers={"Authorization": header}).status_code

    assert status(f"bearer {alice.token}") == 200
    assert status(f"BEARER {alice.token}") == 200
    assert status(f"Bearer {alice.token.swapcase()}") == 401
    assert status(f"Bearer {alice.token}x") == 401
    assert status(alice.token) == 401


def test_read_only_token(app: Flask) -> None:
    reader = caller(app, "reader", read_only=True).client
    assert reader.get("/v1/leads").status_code == 200
    assert reader.head("/v1/leads").status_code == 200
    for answer in (
        reader.post("/v1/leads", json={"company_id": 1}),
        reader.post("/v1/leads", data="{"),
        reader.patch("/v1/leads/1", json={}),
    ):
        assert answer.status_code == 403
        assert answer.get_json()["message"] == "This token is read-only; use one that may write."
    assert reader.get("/v1/leads").get_json()["data"] == []


def test_expiry(app: Flask, clock: Clock) -> None:
    client = caller(app, "alice", lifetime=timedelta(days=1)).client
    clock.move(days=1, microseconds=-1)
    assert client.get("/v1/leads").status_code == 200
    clock.move(microseconds=1)
    assert client.get("/v1/leads").status_code == 401


def test_revocation(alice: Caller, service: AppState) -> None:
    assert alice.client.get("/v1/leads").status_code == 200
    service.accounts.revoke_token(1)
    assert alice.client.get("/v1/leads").status_code == 401


def test_only_a_digest_is_stored(alice: Caller, database_file: Path) -> None:
    alice.client.get("/v1/leads")
    file = database_file
    stored = b"".join(part.read_bytes() for part in file.parent.iterdir())
    assert alice.token[:12].encode() in stored
    assert alice.token[:16].encode() not in stored  # 13 may be met by chance: a date follows


def last_use(service: AppState) -> str | None:
    last: str | None = Token.select(Token.last_used_at).scalar(database_of(service))
    return last


def test_last_use_is_noted_once_a_minute(alice: Caller, service: AppState, clock: Clock) -> None:
    assert last_use(service) is None
    alice.client.get("/v1/leads")
    first = last_use(service)
    assert first == "2026-11-22T22:03:11.123456Z"
    clock.move(seconds=48)
    alice.client.get("/v1/leads")
    assert last_use(service) == first
    clock.move(seconds=1)
    alice.client.get("/v1/leads")
    assert last_use(service) == "2026-11-22T22:04:00.123456Z"


def test_reading_does_not_wait_for_a_writer(
    alice: Caller, service: AppState, database_file: Path
) -> None:
    """The other one holds the lock throughout: waiting for it would end with an error."""
    other = SqliteDatabase(str(database_file))
    with other.atomic("IMMEDIATE"):
        assert alice.client.get("/v1/leads").status_code == 200
    assert last_use(service) is None
    other.close()
    alice.client.get("/v1/leads")
    assert last_use(service) is not None
    assert sqlite_of(service).pragma("busy_timeout") == 5000


def test_options_needs_no_token(client: FlaskClient) -> None:
    answer = client.options("/v1/leads")
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
