"""The schema's history: numbered scripts for Peewee's own runner, and what applies them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Error as SqliteError

from peewee import PeeweeException, SqliteDatabase
from playhouse.migrations import Runner

from leads_service.db import StoreError, opened
from leads_service.locking import retry_while_locked
from leads_service.sqlite import Sqlite, close_for_good, writing

SCRIPTS = Path(__file__).parent
PATIENCE = 600  # seconds that a start waits for another process's migrations to end


def migrate(database: SqliteDatabase) -> list[str]:
    """Bring the schema up to date and return the names of the migrations that this took.

    Processes that start together queue up here: the first one migrates, the others then find
    nothing to do. Raises StoreError if the store is newer than this code, is no database, or
    can't be read or written. Closes the database unless it was open.
    """
    if isinstance(database, Sqlite):
        database.create_file()
    with _readable(database), _patience(database), opened(database):
        if isinstance(database, Sqlite):  # ours; in a host's file the host decides
            _use_wal(database)
        if not pending(database):
            return []
        with writing(database):
            return list(_runner(database).up())


def _use_wal(database: Sqlite) -> None:
    """Let readers and the writer not wait for each other; the file keeps the setting."""
    if database.pragma("journal_mode") == "wal":
        return
    # The change needs the file for itself alone, and SQLite does not wait for that.
    retry_while_locked(lambda: database.pragma("journal_mode", "wal"), PATIENCE)
    if database.pragma("journal_mode") != "wal":
        raise StoreError(f"{_name(database)} can't use WAL; keep it on a local disk")
    close_for_good(database)  # it was opened without a log
    database.connect()


def pending(database: SqliteDatabase) -> list[str]:
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


def has_store(database: SqliteDatabase) -> bool:
    """Return whether there is a file with our tables; raises StoreError if it can't be read."""
    if not Path(database.database).exists():
        return False
    with _readable(database), opened(database):
        return database.table_exists("leads_migration")


def _runner(database: SqliteDatabase) -> Runner:
    return Runner(database, str(SCRIPTS), table_name="leads_migration")


def _name(database: SqliteDatabase) -> str:
    return str(database.database)


@contextmanager
def _readable(database: SqliteDatabase) -> Iterator[None]:
    try:
        yield
    except (PeeweeException, SqliteError) as error:  # the second from fetching a pragma
        raise StoreError(f"cannot use {_name(database)}: {error}") from error


@contextmanager
def _patience(database: SqliteDatabase) -> Iterator[None]:
    if not isinstance(database, Sqlite):
        yield
        return
    usual, database.timeout = database.timeout, PATIENCE
    try:
        yield
    finally:
        database.timeout = usual
