"""Statements that are prepared without psycopg's cursors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from leads_service.storage import open_storage
from leads_service.storage.postgresql import PostgresqlStorage, prepared
from leads_service.storage.postgresql.database import Connection
from tests.storage.engines import postgres_url
from tests.storage.test_conformance import insert, new


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with Connection.connect(
        postgres_url(tmp_path), autocommit=True, prepare_threshold=None
    ) as connection:
        yield connection


def prepared_on(connection: psycopg.Connection[Any]) -> int:
    """Return how many statements the server has prepared."""
    row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert row is not None
    return int(row[0])


def test_a_query_is_prepared_once(connection: Connection) -> None:
    for value in ("a", "b"):
        assert connection.fetch(b"SELECT $1::text, 2", [value]) == [(value, 2)]
    assert prepared_on(connection) == 1


def test_values_of_other_types_are_other_statements(connection: Connection) -> None:
    values = [None, 1, "1", 2**62, True, None, "x"]
    assert [connection.fetch(b"SELECT $1", [value])[0][0] for value in values] == [
        None,
        1,
        "1",
        2**62,
        True,
        None,
        "x",
    ]


def test_a_command_has_no_rows(connection: Connection) -> None:
    assert connection.fetch(b"SET LOCAL jit = off", []) == []


def test_an_error_leaves_what_was_prepared(connection: Connection) -> None:
    connection.fetch(b"SELECT 1 / $1::int", [1])
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
        connection.fetch(b"SELECT 1 / $1::int", [0])
    with pytest.raises(psycopg.errors.SyntaxError):
        connection.fetch(b"SELEKT", [])
    assert connection.fetch(b"SELECT 1 / $1::int", [1]) == [(1,)]
    assert prepared_on(connection) == 1


def test_there_are_not_more_and_more(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MAX_PREPARED", 3)
    for number in [*range(8), 0, 7]:
        assert connection.fetch(b"SELECT %d" % number, []) == [(number,)]
        assert prepared_on(connection) <= 3


def test_they_outlive_a_rollback(tmp_path: Path) -> None:
    """Psycopg ends those that it has prepared, and with them all others."""
    storage = open_storage(postgres_url(tmp_path))
    assert isinstance(storage, PostgresqlStorage)
    storage.migrate()

    def fail() -> None:
        storage.insert_lead(new(), of_known_user=False)
        raise LookupError

    with storage.opened():
        lead = insert(storage)
        with pytest.raises(LookupError):
            storage.transact(fail)
        assert storage.lead(1, lead["id"]) == lead
        insert(storage)
        assert storage.count(1, {}) == 2
