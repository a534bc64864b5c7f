"""Waiting for SQLite's lock on the file, and the connections that threads take by turns."""

import sqlite3
from collections.abc import Callable

import pytest

from leads_service._compat.peewee import sqlite_connection
from leads_service.state import AppState
from leads_service.storage.sqlite.locking import retry_while_locked
from tests.helpers import Caller, sqlite_of


def failing(*errors: str) -> tuple[list[str], Callable[[], None]]:
    """Return an action that fails with these errors of SQLite in turn, and those that are left."""
    left = list(errors)

    def act() -> None:
        if left:
            error = sqlite3.OperationalError()
            error.sqlite_errorname = left.pop(0)
            raise error

    return left, act


def test_an_action_is_tried_until_it_meets_no_lock() -> None:
    left, act = failing("SQLITE_BUSY", "SQLITE_BUSY")
    retry_while_locked(act, timeout=30)
    assert left == []


def test_an_action_is_tried_once_at_least_and_not_beyond_the_timeout() -> None:
    left, act = failing("SQLITE_BUSY", "SQLITE_BUSY")
    with pytest.raises(sqlite3.OperationalError):
        retry_while_locked(act, timeout=0)
    assert len(left) == 1


def test_another_error_is_none_to_wait_out() -> None:
    left, act = failing("SQLITE_IOERR", "SQLITE_BUSY")
    with pytest.raises(sqlite3.OperationalError):
        retry_while_locked(act, timeout=30)
    assert len(left) == 1


def test_a_write_begins_without_the_busy_handler_of_sqlite(
    service: AppState, alice: Caller
) -> None:
    """That one sleeps for up to 100 ms at a time; everything else that may wait keeps it."""
    storage = service.storage
    statements: list[str] = []
    with storage.opened():
        sqlite_connection(sqlite_of(service)).set_trace_callback(statements.append)
        with storage.writing():
            storage.rename_user(alice.id, "carol")
        sqlite_connection(sqlite_of(service)).set_trace_callback(None)
    assert statements[:3] == [
        "PRAGMA busy_timeout = 0",
        "BEGIN IMMEDIATE",
        "PRAGMA busy_timeout = 5000",
    ]


def test_requests_share_a_connection(service: AppState, alice: Caller) -> None:
    """To open one takes longer than to answer from it."""
    storage = service.storage
    seen = set()
    for _ in range(3):
        alice.client.get("/v1/leads")
        storage.connect()
        seen.add(sqlite_connection(sqlite_of(service)))
        storage.close()
    assert len(seen) == 1


def test_a_new_store_has_small_pages(service: AppState) -> None:
    """Half the size of SQLite's own, half of what a lead writes to the log."""
    with service.storage.opened():
        assert sqlite_of(service).pragma("page_size") == 2048
