"""The schema's history: numbered scripts, and what applies them.

Each defines ``up(migrator, db)``; what has been applied stands in ``leads_migration``. Peewee has a
runner that does the same since its 4.4, and hosts have older ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from sqlite3 import Error as SqliteError

from peewee import PeeweeException, SqliteDatabase
from playhouse.migrate import SchemaMigrator

from leads_service.db import StoreError, opened
from leads_service.locking import retry_while_locked
from leads_service.models import timestamp, utc_now
from leads_service.sqlite import Sqlite, close_for_good, writing

SCRIPTS = sorted(file.stem for file in Path(__file__).parent.glob("[0-9]*.py"))
PATIENCE = 600  # seconds that a start waits for another process's migrations to end
# As Peewee's runner made it for the stores that are older than this one.
CREATE_HISTORY = (
    "CREATE TABLE IF NOT EXISTS leads_migration (id INTEGER NOT NULL PRIMARY KEY,"
    " name VARCHAR(255) NOT NULL, applied DATETIME NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS leads_migration_name ON leads_migration (name)",
)


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
            return _apply_pending(database)


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
        applied = _applied(database)
    if unknown := sorted(applied.difference(SCRIPTS)):
        raise StoreError(
            f"{_name(database)} has had the migration {unknown[-1]}, which this version of "
            "leads-service does not know; install the version that made it, or a newer one"
        )
    return [name for name in SCRIPTS if name not in applied]


def has_store(database: SqliteDatabase) -> bool:
    """Return whether there is a file with our tables; raises StoreError if it can't be read."""
    if not Path(database.database).exists():
        return False
    with _readable(database), opened(database):
        return database.table_exists("leads_migration")


def _applied(database: SqliteDatabase) -> set[str]:
    if not database.table_exists("leads_migration"):
        return set()
    return {name for (name,) in database.execute_sql("SELECT name FROM leads_migration")}


def _apply_pending(database: SqliteDatabase) -> list[str]:
    """Apply what another process has not applied meanwhile, and return its names."""
    for statement in CREATE_HISTORY:
        database.execute_sql(statement)
    names = pending(database)
    for name in names:
        migration = import_module(f"{__name__}.{name}")
        migration.up(SchemaMigrator.from_database(database), database)
        database.execute_sql(
            "INSERT INTO leads_migration (name, applied) VALUES (?, ?)",
            (name, timestamp(utc_now())),
        )
    return names


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
