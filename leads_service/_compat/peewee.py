"""What Peewee lacks: translated errors of fetching, the driver's error, some types."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import peewee
from peewee import Database, PeeweeException

# Translate the driver's errors in the block into Peewee's. Peewee's methods do so for connecting
# and executing, but not while rows are fetched. Its own extensions import this wrapper:
# https://github.com/coleifer/peewee/blob/master/playhouse/apsw_ext.py
translated_errors: AbstractContextManager[None] = peewee.__exception_wrapper__  # type: ignore[attr-defined]


class Cursor(Protocol):
    """A DB-API cursor, as far as it is used; https://peps.python.org/pep-0249/#cursor-objects."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement has changed."""

    def fetchone(self) -> Any:
        """Return the next row, None at the end."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...


class _Executor(Protocol):
    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Cursor: ...


def execute(database: Database, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
    """Run a statement; raises PeeweeException.

    Peewee's stubs leave ``Database.execute_sql()`` without types.
    """
    executor: _Executor = database
    return executor.execute_sql(sql, parameters)


def sqlite_connection(database: Database) -> sqlite3.Connection:
    """Return this thread's connection; opens one if there is none.

    Peewee's stubs leave ``Database.connection()`` without types.
    """

    class Connected(Protocol):
        def connection(self) -> sqlite3.Connection: ...

    connected: Connected = database
    return connected.connection()


def sqlite_error_name(error: PeeweeException) -> str:
    """Return SQLite's name of an error, such as SQLITE_BUSY; empty if it is not SQLite's.

    Peewee keeps the driver's error as ``orig``, which is not documented. Its text changes between
    versions of SQLite, its name does not: https://www.sqlite.org/rescode.html.
    """
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "")
