"""How the application uses the database: pragmas, the lock, transactions."""

from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from peewee import SqliteDatabase

from leads_service import create_app
from leads_service._compat.peewee import sqlite_connection
from leads_service.state import AppState, state_of
from leads_service.storage.sqlite.database import OpenFiles
from tests.helpers import Caller, connect, own_database_of, sqlite_of


def pragmas(database: SqliteDatabase) -> dict[str, Any]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "wal_autocheckpoint")
    return {name: database.pragma(name) for name in names}


USUAL = {
    "journal_mode": "wal",
    "synchronous": 1,  # normal: Sqlite.commit() flushes
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "wal_autocheckpoint": 0,
}


def test_pragmas(service: AppState, alice: Caller, url: str) -> None:
    assert pragmas(sqlite_of(service)) == USUAL
    alice.client.post("/v1/leads", json={"company_id": 42})  # notes the token's use, in haste
    assert service.accounts.tokens()[0]["last_used_at"] is not None
    assert pragmas(sqlite_of(service)) == USUAL
    with connect(url) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_pragmas_of_another_thread(service: AppState) -> None:
    seen = []

    def look() -> None:
        seen.append(pragmas(sqlite_of(service)))
        sqlite_of(service).close()

    thread = Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [USUAL]


def test_the_busy_timeout(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_BUSY_TIMEOUT": 7})
    assert pragmas(sqlite_of(state_of(app))) == USUAL | {"busy_timeout": 7000}


@pytest.mark.slow
def test_one_writer_waits_and_the_others_leave_room(
    service: AppState, alice: Caller, url: str
) -> None:
    """One thread waits out its patience; the others say soon that the lock is held."""

    def write(number: int) -> None:
        try:
            service.leads.create(alice.id, {"company_id": number})
        finally:
            sqlite_of(service).close()

    with (
        connect(url) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        writes = [pool.submit(write, number) for number in range(1, 5)]
        impatient = list(islice(as_completed(writes), 3))
        other.rollback()
    assert all("locked" in str(done.exception()) for done in impatient)
    assert len(alice.client.get("/v1/leads").get_json()["data"]) == 1
    assert pragmas(sqlite_of(service)) == USUAL
    assert own_database_of(service).timeout == 5


def test_transactions_are_immediate(app: Flask, service: AppState, alice: Caller) -> None:
    statements: list[str] = []
    sqlite_connection(sqlite_of(service)).set_trace_callback(statements.append)
    assert alice.client.post("/v1/leads", json={"company_id": 42}).status_code == 201
    assert alice.client.patch("/v1/leads/1", json={"status": "lost"}).status_code == 200
    assert app.test_cli_runner().invoke(args=["leads", "rescore"]).exit_code == 0
    sqlite_connection(sqlite_of(service)).set_trace_callback(None)
    words = ("BEGIN", "INSERT", "COMMIT", "ROLLBACK", 'UPDATE "leads_lead"')
    writes = [statement for statement in statements if statement.startswith(words)]
    assert [statement.split(" INTO ")[0].split(" SET ")[0] for statement in writes] == [
        *("BEGIN IMMEDIATE", "INSERT", "COMMIT"),
        *("BEGIN IMMEDIATE", 'UPDATE "leads_lead"', "INSERT", "COMMIT"),
        *("BEGIN IMMEDIATE", "COMMIT"),
    ]


def test_no_connection_is_closed_during_a_checkpoint(
    service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite crashed."""
    files = OpenFiles(sqlite_of(service).database, 5)
    closes: list[str] = []

    class Slow:
        """A connection with a checkpoint during which the files are to be closed."""

        def execute(self, sql: str) -> "Slow":
            if not closes:
                closes.append("asked for")
                futures.append(pool.submit(files.close))
                with pytest.raises(TimeoutError):
                    futures[0].result(0.05)
            return self

        def fetchone(self) -> tuple[int, int, int]:
            return 0, 7, 7

        def close(self) -> None:
            closes.append("done")

    monkeypatch.setattr(files, "_connection", Slow())
    futures: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        assert files.checkpoint() == 7
        futures[0].result(20)
    assert closes == ["asked for", "done"]
    assert files.checkpoint() == 0
