"""What Peewee lacks: translated errors of fetching, the driver's error, some types."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import peewee
from peewee import Database

# Translate the driver's errors in the block into Peewee's. Peewee's methods do so for connecting
# and executing, but not while rows are fetched. Its own extensions import this wrapper:
# https://github.com/coleifer/peewee/blob/master/playhouse/apsw_ext.py
translated_errors: AbstractContextManager[None] = peewee.__exception_wrapper__  # type: ignore[attr-defined]  # private


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


class Executor(Protocol):
    """A Peewee database, as far as it runs statements; its stubs leave that without types."""

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Cursor:
        """Run a statement; raises PeeweeException."""


def execute(database: Database, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
    """Run a statement; raises PeeweeException."""
    executor: Executor = database
    return executor.execute_sql(sql, parameters)


class _Connected(Protocol):
    def connection(self) -> Any: ...


def connection_of(database: Database) -> Any:
    """Return this thread's connection of the driver; opens one if there is none.

    Peewee's stubs leave ``Database.connection()`` without types.
    """
    connected: _Connected = database
    return connected.connection()


def sqlite_connection(database: Database) -> sqlite3.Connection:
    """Return this thread's connection to SQLite; opens one if there is none."""
    connection: sqlite3.Connection = connection_of(database)
    return connection


def sqlite_error_name(error: BaseException | None) -> str:
    """Return SQLite's name of an error, such as SQLITE_BUSY; empty if it is not SQLite's.

    Peewee keeps the driver's error as ``orig``, which is not documented. Its text changes between
    versions of SQLite, its name does not: https://www.sqlite.org/rescode.html.
    """
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "")


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error; empty if the driver gave none, as when a connection breaks.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


class PoolableDatabase(Database):
    """A database whose subclass says where a thread's connection comes from and goes to.

    It stands before the class of the engine's database among the bases of that subclass.

    Peewee calls two methods for that, of which it documents only the first, and which its own
    ``playhouse.pool`` overrides: https://docs.peewee-orm.com/en/latest/peewee/playhouse.html#pool.
    """

    def take_connection(self) -> Any:
        """Return a connection for this thread; raises the driver's error."""
        return self.new_connection()

    def give_back(self, connection: Any) -> None:
        """Take this thread's connection back."""
        connection.close()

    def new_connection(self) -> Any:
        """Return a connection that Peewee has opened and set up; raises the driver's error."""
        connect: Callable[[], Any] = super()._connect  # type: ignore[misc]  # private
        return connect()

    def _connect(self) -> Any:
        return self.take_connection()

    def _close(self, connection: Any) -> None:
        self.give_back(connection)
