"""GET and DELETE /v1/leads/{id}."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from peewee import SqliteDatabase

from leads_service import init_app
from leads_service.state import AppState
from leads_service.storage.models import DeletedLead, Lead
from tests.helpers import (
    Caller,
    Clock,
    alone_and_embedded,
    caller,
    database_of,
    json_object,
    sqlite_of,
)

NO_SUCH_LEAD = {"code": 404, "status": "Not Found", "message": "There is no such lead."}
HUSH = b"<hush>"


@pytest.fixture
def lead(alice: Caller) -> dict[str, Any]:
    return json_object(alice.client.post("/v1/leads", json={"company_id": 42, "notes": "Met"}))


def numbers(who: Caller, query: str = "") -> list[int]:
    return [lead["id"] for lead in who.client.get(f"/v1/leads?{query}").get_json()["data"]]


@alone_and_embedded
def test_get(alice: Caller) -> None:
    made = alice.client.post("/v1/leads", json={"company_id": 42, "notes": "Grüße, 東京"})
    answer = alice.client.get(made.headers["Location"])
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert answer.json == made.json
    assert [answer.get_json()] == alice.client.get("/v1/leads").get_json()["data"]
    changed = alice.client.patch("/v1/leads/1", json={"status": "lost"}).get_json()
    assert alice.client.get("/v1/leads/1").json == changed


@alone_and_embedded
def test_head(alice: Caller, lead: dict[str, Any]) -> None:
    answer, same = alice.client.head("/v1/leads/1"), alice.client.get("/v1/leads/1")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["ETag"] == same.headers["ETag"]
    assert answer.content_length == len(same.data)


@alone_and_embedded
def test_delete(alice: Caller, lead: dict[str, Any]) -> None:
    alice.client.post("/v1/leads", json={"company_id": 43})
    answer = alice.client.delete("/v1/leads/1")
    assert (answer.status_code, answer.data) == (204, b"")
    assert not {"Content-Type", "Content-Length", "ETag"} & set(answer.headers.keys())
    assert answer.headers["X-Request-ID"]
    for method in ("GET", "PATCH", "DELETE"):
        answer = alice.client.open("/v1/leads/1", method=method, json={})
        assert (answer.status_code, answer.get_json()) == (404, NO_SUCH_LEAD)
    assert numbers(alice) == [2]


@alone_and_embedded
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("lead_id", ["2", str(2**63 - 1), str(2**63), "9" * 5000, "0", "01", "x"])
def test_unknown_id(alice: Caller, lead: dict[str, Any], method: str, lead_id: str) -> None:
    answer = alice.client.open(f"/v1/leads/{lead_id}", method=method)
    assert answer.status_code == 404
    if lead_id[0] in "29":
        assert answer.json == NO_SUCH_LEAD
    assert numbers(alice) == [1]


@alone_and_embedded
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/leads/1", "/v1/leads/99"])
def test_there_are_no_parameters(
    alice: Caller, lead: dict[str, Any], method: str, path: str
) -> None:
    answer = alice.client.open(f"{path}?fields=id&a=1&a=2", method=method)
    assert answer.status_code == 422
    unknown = ["Unknown field."]
    assert answer.get_json()["errors"] == {"query": {"a": unknown, "fields": unknown}}
    assert numbers(alice) == [1]


@alone_and_embedded
def test_a_read_only_token_gets_but_does_not_delete(
    app: Flask, alice: Caller, lead: dict[str, Any]
) -> None:
    secret = app.extensions["leads_service"].accounts.create_token("alice", read_only=True)
    reader = app.test_client()
    reader.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    assert reader.get("/v1/leads/1").json == lead
    assert reader.delete("/v1/leads/1").status_code == 403
    assert reader.delete("/v1/leads/99").status_code == 403
    assert numbers(alice) == [1]


@alone_and_embedded
def test_an_id_is_never_used_again(alice: Caller, lead: dict[str, Any]) -> None:
    for lead_id in (1, 2):
        assert alice.client.delete(f"/v1/leads/{lead_id}").status_code == 204
        made = alice.client.post("/v1/leads", json={"company_id": 1})
        assert made.get_json()["id"] == lead_id + 1


@alone_and_embedded
@pytest.mark.parametrize("pause", [0, 1])
@pytest.mark.parametrize("query", ["", "status=new&", "min_score=5&", "created_after=2026-01-01&"])
def test_a_walk_goes_on_from_where_a_deleted_lead_stood(
    alice: Caller, clock: Clock, pause: int, query: str
) -> None:
    for number in range(6):
        clock.move(seconds=pause)
        alice.client.post("/v1/leads", json={"company_id": number + 1})
    first = alice.client.get(f"/v1/leads?{query}limit=2").get_json()
    assert first["next_cursor"] == 5
    for lead_id in (5, 3, 6):
        alice.client.delete(f"/v1/leads/{lead_id}")
    clock.move(seconds=1)
    alice.client.post("/v1/leads", json={"company_id": 9})
    assert numbers(alice, f"{query}limit=2&cursor=5") == [4, 2]
    alice.client.delete("/v1/leads/2")
    assert numbers(alice, f"{query}limit=2&cursor=2") == [1]
    assert numbers(alice, query) == [7, 4, 1]


@alone_and_embedded
def test_another_users_deleted_lead_is_no_cursor(
    alice: Caller, bob: Caller, lead: dict[str, Any]
) -> None:
    alice.client.delete("/v1/leads/1")
    headers = {"X-Request-ID": "same"}
    theirs = bob.client.get("/v1/leads?cursor=1", headers=headers)
    nobodys = bob.client.get("/v1/leads?cursor=2", headers=headers)
    assert theirs.status_code == 422
    assert theirs.data == nobodys.data
    assert alice.client.get("/v1/leads?cursor=1").get_json()["data"] == []


@alone_and_embedded
def test_what_remains_is_where_it_stood(
    alice: Caller, service: AppState, lead: dict[str, Any]
) -> None:
    alice.client.patch("/v1/leads/1", json={"status": "lost"})
    alice.client.delete("/v1/leads/1")
    database = database_of(service)
    with database.connection_context():
        assert Lead.select().count(database) == 0
        (row,) = DeletedLead.select().tuples().execute(database)
    assert row == (alice.id, 1, lead["created_at"])


def fill(who: Caller) -> None:
    """Leave one lead, and on its page and others what was deleted and replaced beside it."""
    text = HUSH.decode()
    for notes in (text, "kept", text * 50, text * 1000):
        who.client.post("/v1/leads", json={"company_id": 1, "notes": notes})
    who.client.patch("/v1/leads/3", json={"notes": text * 500})


def erase(who: Caller) -> None:
    for lead_id in (1, 3, 4):
        assert who.client.delete(f"/v1/leads/{lead_id}").status_code == 204
    assert numbers(who) == [2]


def content(service: AppState) -> bytes:
    """Return the bytes of the file, with all that was in the log, which is emptied."""
    sqlite_of(service).close()
    path = Path(sqlite_of(service).database)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.mark.usefixtures("of_sqlite")
def test_nothing_of_it_is_left_in_the_file(alice: Caller, service: AppState) -> None:
    fill(alice)
    assert HUSH in content(service)
    erase(alice)
    assert b"kept" in content(service)
    assert HUSH not in content(service)


def test_nothing_of_it_is_left_in_a_hosts_file(tmp_path: Path) -> None:
    """Even if the host has set that what it deletes itself may stay."""
    database = SqliteDatabase(str(tmp_path / "host.db"), pragmas={"secure_delete": 0})
    host = Flask("host")
    init_app(host, database=database)
    database.connect()
    alice = caller(host, "alice")
    for _ in range(2):
        alice.client.post("/v1/leads", json={"company_id": 1, "notes": HUSH.decode() * 500})
    alice.client.delete("/v1/leads/1")
    assert alice.client.delete("/v1/leads/99").status_code == 404
    assert database.pragma("secure_delete") == 0, "the host's setting is the host's"
    assert content(host.extensions["leads_service"]).count(HUSH) == 500
    alice.client.delete("/v1/leads/2")
    assert HUSH not in content(host.extensions["leads_service"])
