"""The engines' schemas promise the same: columns, types, keys, indexes, and what they refuse."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from leads_service.storage import open_storage
from tests.helpers import NOW, insert
from tests.storage.test_schema import FORBIDDEN, ROWS, TIMESTAMPS

# What the engines call the same; SQLite has no type for truth values.
TYPES = {"smallint": "INTEGER", "bigint": "INTEGER", "text": "TEXT", "boolean": "INTEGER"}
# SQLite's own: the rowid of the keys, in whose place PostgreSQL has the primary key.
ONLY_SQLITE = {("leads_idempotency", "id", "INTEGER", False)}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    storage = open_storage(f"sqlite:///{tmp_path / 'leads.db'}")
    storage.migrate()
    storage.dispose()
    with closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = 1")
        yield connection


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


def rows(connection: Any, sql: str) -> set[Any]:
    return set(connection.execute(sql).fetchall())


def test_columns(sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]) -> None:
    theirs = rows(
        sqlite,
        'SELECT t.name, c.name, c.type, NOT (c."notnull" OR c.pk)'
        " FROM pragma_table_list t, pragma_table_info(t.name) c"
        " WHERE t.name GLOB 'leads_*' AND t.name <> 'leads_migration'",
    )
    ours = rows(
        postgresql,
        "SELECT table_name, column_name, data_type, is_nullable = 'YES'"
        " FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'leads_migration'",
    )
    translated = {(table, name, TYPES[kind], is_null) for table, name, kind, is_null in ours}
    assert translated == theirs - ONLY_SQLITE


def test_indexes_and_keys(sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]) -> None:
    """The same columns in the same order, whether by an index, a primary key or UNIQUE."""
    theirs = rows(
        sqlite,
        "SELECT t.name, group_concat(i.name, ' '), l.\"unique\" FROM pragma_table_list t,"
        " pragma_index_list(t.name) l, pragma_index_info(l.name) i"
        " WHERE t.name GLOB 'leads_*' AND t.name <> 'leads_migration' GROUP BY t.name, l.name",
    )
    ours = rows(
        postgresql,
        "SELECT indrelid::regclass::text, string_agg(attname, ' ' ORDER BY place), indisunique"
        " FROM pg_index, unnest(indkey) WITH ORDINALITY AS of (number, place), pg_attribute"
        " WHERE attrelid = indrelid AND attnum = number"
        " AND starts_with(indrelid::regclass::text, 'leads_')"
        " AND indrelid <> 'leads_migration'::regclass GROUP BY indexrelid, indrelid, indisunique",
    )
    # SQLite's INTEGER PRIMARY KEY is no index.
    rowids = {("leads_user", "id", 1), ("leads_token", "id", 1), ("leads_lead", "user_id id", 1)}
    # SQLite's writers take turns, and delete everybody's expired keys.
    swept = {("leads_idempotency", "created_at", 0)}
    assert {(*index[:2], int(index[2])) for index in ours} == {
        *theirs - swept,
        *rowids,
        ("leads_idempotency", "user_id created_at", 0),
        ("leads_lead", "id", 0),  # what a primary key that begins with the owner does not serve
    }


def test_foreign_keys(sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]) -> None:
    theirs = rows(
        sqlite,
        'SELECT t.name, f."from", f."table", f.on_delete FROM pragma_table_list t,'
        " pragma_foreign_key_list(t.name) f",
    )
    ours = rows(
        postgresql,
        "SELECT conrelid::regclass::text, attname, confrelid::regclass::text,"
        " CASE confdeltype WHEN 'c' THEN 'CASCADE' END"
        " FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]"
        " WHERE contype = 'f'",
    )
    assert ours == theirs


BOOLEANS = ("read_only", "is_estimate")
KEY = {"user_id": 1, "key": "k", "digest": "0" * 64, "lead_id": 1, "created_at": NOW}
CHANGE = {
    "user_id": 1,
    "lead_id": 1,
    "changed_at": NOW,
    "from_status": "new",
    "to_status": "lost",
    "is_estimate": 0,
    "seconds": 1,
    "reached_before": 1,
    "reached": 17,
    "company_id": 1,
    "lead_created_at": NOW,
}
TABLES = ROWS | {
    "leads_history": CHANGE,
    "leads_idempotency": KEY,
    "leads_deleted": {"user_id": 1, "id": 1, "created_at": NOW},
}
REFUSED = FORBIDDEN | {
    "leads_history": {
        "user_id": [None],
        "lead_id": [None],
        "changed_at": [*TIMESTAMPS, None],
        "from_status": ["", "won", None],
        "to_status": ["", "won", None],
        "is_estimate": [None],
        "seconds": [-1],
        "reached_before": [0, 32, None],
        "reached": [0, 32, None],
        "company_id": [0, None],
        "lead_created_at": [*TIMESTAMPS, None],
    },
    "leads_idempotency": {
        "user_id": [None],
        "key": ["", "x" * 256, None],
        "digest": ["", "0" * 63, None],
        "lead_id": [None],
        "created_at": [*TIMESTAMPS, None],
    },
    "leads_deleted": {"user_id": [None], "id": [None], "created_at": [*TIMESTAMPS, None]},
}


def is_comparable(column: str, value: object, usual: object) -> bool:
    """Return whether the value is of the column's type: PostgreSQL converts others, if it can."""
    if column in BOOLEANS:  # which have a type of their own there
        return value is None
    return value is None or isinstance(value, str if usual is None else type(usual))


@pytest.mark.parametrize("table", TABLES)
def test_what_both_refuse(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any], table: str
) -> None:
    alice = {"id": 1, "name": "alice", "created_at": NOW}
    insert(sqlite, "leads_user", alice)
    insert_into(postgresql, "leads_user", alice)
    row = TABLES[table]
    for column, values in REFUSED[table].items():
        for value in values:
            if not is_comparable(column, value, row[column]):
                continue
            with pytest.raises(sqlite3.IntegrityError):
                insert(sqlite, table, row | {column: value})
            with pytest.raises(psycopg.Error) as error:
                insert_into(postgresql, table, row | {column: value})
            assert not isinstance(error.value, psycopg.OperationalError), (column, value)
    insert(sqlite, table, row)
    insert_into(postgresql, table, row)


def insert_into(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    row = row | {name: bool(row[name]) for name in BOOLEANS if row.get(name) is not None}
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("%s" for _ in row)
    sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  # tests' own names
    connection.execute(sql.encode(), list(row.values()))
