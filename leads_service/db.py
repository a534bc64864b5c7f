"""The store: opening a database, migrating it, and running statements on it.

What only SQLite speaks stands here and in the migrations, nowhere else.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from peewee import Database, Node, OperationalError, PeeweeException, SqliteDatabase, Value
from playhouse.migrations import Runner

from leads_service.config import ConfigError

MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATION_WAIT = 600  # seconds that a start waits for another process's migrations to end
MAX_INTEGER = 2**63 - 1  # SQLite's largest, https://www.sqlite.org/datatype3.html

PRAGMAS = {
    "journal_mode": "wal",  # readers and the writer do not wait for each other
    "synchronous": "full",  # a commit returns when it is on the disk
    "foreign_keys": 1,
}


class StoreError(Exception):
    """A store that can't be used as it is; the message is one line that names the remedy."""


def open_database(url: str, *, busy_timeout: float = 5) -> SqliteDatabase:
    """Return the SQLite database that ``url`` names; nothing is read or written yet.

    ``busy_timeout`` is how many seconds a write waits for another one to end. Raises ConfigError
    for a URL that names no SQLite file, or one whose folder is missing or can't be written.
    """
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.scheme != "sqlite" or parts.netloc or path in ("", ":memory:"):
        raise ConfigError(
            "LEADS_DATABASE must be sqlite:///relative/path or sqlite:////absolute/path, "
            f"not {url!r}"
        )
    file = Path(path).absolute()
    if not file.parent.is_dir():
        raise ConfigError(f"LEADS_DATABASE: the folder {file.parent} does not exist; create it")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigError(f"LEADS_DATABASE: {file} can't be written; check its owner and mode")
    # A transaction that turns from reading to writing fails at once when another one has written,
    # whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.
    return SqliteDatabase(str(file), pragmas=PRAGMAS, timeout=busy_timeout, lock_type="IMMEDIATE")


def migrate(database: Database) -> list[str]:
    """Bring the schema up to date and return the names of the migrations that this took.

    Processes that start together queue up here: the first one migrates, the others then find
    nothing to do. Raises StoreError if the store is newer than this code, is no database, or
    can't be read or written.
    """
    with _readable(database):
        if not pending(database):
            return []
        with _patience(database), database.atomic():
            return list(_runner(database).up())


def pending(database: Database) -> list[str]:
    """Return the names of the migrations that have not been applied to the store.

    Raises StoreError if it has had one applied that this code does not know.
    """
    with _readable(database):
        status = _runner(database).status()
    if unknown := [migration.name for migration in status if migration.path is None]:
        raise StoreError(
            f"{_name(database)} has had the migration {unknown[-1]}, which this version of "
            "leads-service does not know; install the version that made it, or a newer one"
        )
    return [migration.name for migration in status if migration.applied is None]


def touch(database: Database) -> None:
    """Read something from the store; raises PeeweeException if it can't be reached."""
    database.execute_sql("SELECT name FROM leads_migration LIMIT 1").fetchone()


def _runner(database: Database) -> Runner:
    return Runner(database, str(MIGRATIONS), table_name="leads_migration")


def _name(database: Database) -> str:
    return str(database.database)


@contextmanager
def _readable(database: Database) -> Iterator[None]:
    try:
        yield
    except PeeweeException as error:
        raise StoreError(f"cannot use {_name(database)}: {error}") from error


@contextmanager
def _patience(database: Database) -> Iterator[None]:
    if not isinstance(database, SqliteDatabase):
        yield
        return
    usual, database.timeout = database.timeout, MIGRATION_WAIT
    try:
        yield
    finally:
        database.timeout = usual


def parameter(name: str) -> Value:
    """Return a placeholder in a query for ``Statement``; its value is given at each run."""
    return Value(name, converter=False)


class Statement:
    """A query that is compiled once and run many times.

    Every value in the query has to be a ``parameter``. Peewee takes about 100 µs to build and
    compile a page's query, several times as long as SQLite needs to answer it.
    """

    def __init__(self, database: Database, query: Node):
        self._database = database
        self._sql, self._names = database.get_sql_context().sql(query).query()

    def run(self, values: Mapping[str, Any]) -> Any:
        """Run it with ``values`` by parameter name and return the database's own cursor."""
        return self._database.execute_sql(self._sql, [values[name] for name in self._names])


def write_if_idle(database: Database, statement: Statement, values: Mapping[str, Any]) -> bool:
    """Run a write that may be lost, waiting neither for a lock nor for the disk; say if it ran."""
    try:
        with _haste(database):
            statement.run(values)
    except OperationalError:
        return False
    return True


@contextmanager
def _haste(database: Database) -> Iterator[None]:
    if not isinstance(database, SqliteDatabase):
        yield
        return
    haste = {"busy_timeout": 0, "synchronous": "normal", "wal_autocheckpoint": 0}
    usual = {name: database.pragma(name) for name in haste}
    try:
        for name, value in haste.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
