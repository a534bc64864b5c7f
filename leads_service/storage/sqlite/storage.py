"""The storage engine for SQLite: on a file of this service's, or on a host's Peewee database."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from peewee import PeeweeException, SqliteDatabase, fn

from leads_service._compat.peewee import driver_errors
from leads_service.exceptions import (
    CommitOutcomeUnknownError,
    StorageError,
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.lead import FIELDS
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.errors import PROGRAMMING_ERRORS, storage_errors
from leads_service.storage.models import Lead
from leads_service.storage.sqlite import backup, migrations
from leads_service.storage.sqlite.database import PRAGMAS, Sqlite, has_safe_wal_reset
from leads_service.storage.sqlite.locking import retry_while_locked

# No room on the disk, or in a quota.
NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
# Errors of a COMMIT that could not write all that it had to, of which its mark is the last.
BEFORE_COMMIT = ("SQLITE_BUSY", *NO_ROOM)

MIGRATION_TIMEOUT = 600  # seconds that a start waits for another process to end its migrations
# KiB, as a negative number: https://sqlite.org/pragma.html#pragma_cache_size. What it buys is
# "cache for bulk writes" in benchmarks/pieces.py.
BULK_CACHE = -32_000
BULK_BATCH = 10_000  # leads of an import that are in memory at a time

# To drop the indexes and to make them anew is faster for so many leads, if they are as large a
# share of all: an insert writes to all indexes at random places, a move to most of them ("indexes
# made anew" in benchmarks/pieces.py).
MANY = 10_000
SHARE_OF_MOVED = 0.1

STAGED = tuple(name for name in FIELDS if name != "id")
STAGE = f"INSERT INTO leads_staged VALUES ({', '.join('?' for _ in STAGED)})"  # noqa: S608
# In the order of time, most indexes take the next lead beside the last one.
STORE_STAGED = (
    f"INSERT INTO leads_lead ({', '.join(STAGED)})"  # noqa: S608  # our own names
    " SELECT * FROM leads_staged ORDER BY created_at, rowid"
)

WAL_RESET = " (has the WAL-reset bug: let no other program write to the file)"


class SqliteStorage(DatabaseStorage):
    """A ``Storage`` on any Peewee SqliteDatabase, such as a host's, which opens and closes it."""

    database: SqliteDatabase

    def __init__(self, database: SqliteDatabase):
        super().__init__(database)
        self.location = str(database.database)

    # Connections and transactions

    def dispose(self) -> None:
        """Close this thread's connection."""
        self.close()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Connect for the block, and ``dispose`` after it if this thread had no connection."""
        try:
            is_ours = self.connect()
        except StorageUnavailableError as error:
            raise StorageUnusableError(f"cannot use {self.location}: {error}") from error
        try:
            yield
        finally:
            if is_ours:
                self.dispose()

    @contextmanager
    def writing(self, *, bulk: bool = False) -> Iterator[None]:
        """Run the block in a transaction that may write; within another one, as a part of it.

        A transaction that turns from reading to writing fails at once when another one has written,
        whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.
        """
        is_committing = False
        try:
            with (
                self._pragmas(cache_size=BULK_CACHE) if bulk else nullcontext(),
                self._transaction(),
            ):
                yield
                is_committing = True
        except (*PROGRAMMING_ERRORS, CommitOutcomeUnknownError):
            raise
        except (PeeweeException, StorageUnavailableError) as error:
            reason = _reason(error)
            if reason in NO_ROOM:
                self._make_room()
            if is_committing and reason not in BEFORE_COMMIT:
                raise CommitOutcomeUnknownError(str(error)) from error
            if isinstance(error, StorageUnavailableError):
                raise
            raise StorageUnavailableError(str(error)) from error

    def _transaction(self) -> AbstractContextManager[Any]:
        with storage_errors:
            is_by_hand = (
                self.database.transaction_depth() == 0 and self.database.connection().in_transaction
            )
        # A host may have begun a transaction without Peewee.
        return self.database.savepoint() if is_by_hand else self.database.atomic("IMMEDIATE")

    def _make_room(self) -> None:
        """Do what can be done when the disk is full."""

    def no_wait(self) -> AbstractContextManager[None]:
        """Let writes in the block fail at once where they would wait for a lock."""
        return self._pragmas(busy_timeout=0)

    def _erasing(self) -> AbstractContextManager[None]:
        """Overwrite with zeros what is deleted in the block, in a host's file too."""
        return self._pragmas(secure_delete=1)

    @contextmanager
    def _pragmas(self, **values: int) -> Iterator[None]:
        """Set pragmas of this thread's connection for the block."""
        with storage_errors:
            usual = {name: self.database.pragma(name) for name in values}
        try:
            with storage_errors:
                for name, value in values.items():
                    self.database.pragma(name, value)
            yield
        finally:
            with storage_errors:
                for name, value in usual.items():
                    self.database.pragma(name, value)

    # Leads

    def delete_lead(self, user_id: int, lead_id: int) -> None:
        """Erase a lead; its position remains."""
        with self._erasing():
            super().delete_lead(user_id, lead_id)

    def forget_user(self, user_id: int) -> int:
        """Erase a user's leads, their positions and the user's keys; return how many leads."""
        with self._erasing():
            return super().forget_user(user_id)

    def insert_leads(
        self, leads: Iterable[Mapping[str, Any]], confirm: Callable[[set[int]], None]
    ) -> int:
        """Store leads, all or none, and return how many; ids grow with ``created_at``.

        They are put aside first, in a table of this connection's: the write lock is held only for
        what then takes one statement.
        """
        owners: set[int] = set()
        rows = iter(leads)
        count = 0
        with storage_errors, driver_errors:
            connection = self.database.connection()
            connection.execute(f"CREATE TEMP TABLE leads_staged ({', '.join(STAGED)})")
        try:
            while batch := list(islice(rows, BULK_BATCH)):
                owners.update(lead["user_id"] for lead in batch)
                count += len(batch)
                with storage_errors, driver_errors:
                    connection.executemany(
                        STAGE, [[lead[name] for name in STAGED] for lead in batch]
                    )
            with self.writing(bulk=True):
                confirm(owners)
                # There are no more leads than that: it pays to index those again with the new ones.
                pays = count >= max(self._last_id(), MANY)
                with self._indexed_afterwards() if pays else nullcontext(), driver_errors:
                    connection.execute(STORE_STAGED)
            self._after_bulk_insert()
        finally:
            with suppress(sqlite3.Error):  # what failed before matters more
                connection.execute("DROP TABLE leads_staged")
        return count

    def _after_bulk_insert(self) -> None:
        """Do what is due when the log has become as long as the file."""

    def _last_id(self) -> int:
        """Return the highest id of a lead, 0 if there is none."""
        return int(self._rows(Lead.select(fn.MAX(Lead.id)))[0][0] or 0)

    def reindexing(self, count: int) -> AbstractContextManager[None]:
        """Let a block that writes so many leads index all of them anew, where that is faster."""
        pays = count >= max(MANY, self._last_id() * SHARE_OF_MOVED)
        return self._indexed_afterwards() if pays else nullcontext()

    @contextmanager
    def _indexed_afterwards(self) -> Iterator[None]:
        """Drop the indexes on leads and make them anew, sorted, at the end of the block."""
        indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"
        with storage_errors:
            made = self.database.execute_sql(
                f"{indexes} AND sql IS NOT NULL", ("leads_lead",)
            ).fetchall()
            for name, _ in made:
                self.database.execute_sql(f'DROP INDEX "{name}"')
        yield
        with storage_errors:
            for _, sql in made:
                self.database.execute_sql(sql)

    # Schema

    def exists(self) -> bool:
        """Return whether there is a database with our tables."""
        if not Path(self.location).exists():
            return False
        with self._usable(), self.opened():
            return bool(self.database.table_exists("leads_migration"))

    def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations that this took."""
        with self._usable(), self.opened():
            if not self.pending_migrations():
                return []
            with self.writing():
                return migrations.apply_pending(self.database)

    def pending_migrations(self) -> list[str]:
        """Return the names of the migrations that have not been applied."""
        with self._usable(), self.opened():
            return migrations.pending(self.database)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Raise StorageUnusableError for whatever the database can't do in the block."""
        try:
            yield
        except StorageUnusableError:
            raise
        # The last one comes from reading a pragma.
        except (StorageError, PeeweeException, sqlite3.Error) as error:
            raise StorageUnusableError(f"cannot use {self.location}: {error}") from error

    # Maintenance

    def status(self) -> Iterator[tuple[str, str]]:
        """Yield what there is to say about the database, each with its heading."""
        file = Path(self.location)
        exists = file.exists()
        size = f"{file.stat().st_size:,} bytes" if exists else "not there yet"
        yield "file", f"{file} ({size})"
        pending = self.pending_migrations() if exists else ["everything"]  # to open it creates it
        yield "schema", f"pending {', '.join(pending)}" if pending else "up to date"
        yield "SQLite", f"{sqlite3.sqlite_version}{'' if has_safe_wal_reset() else WAL_RESET}"

    def problems(self) -> list[str]:
        """Look for damage in the whole file; return a line for each, none if it is sound."""
        file = Path(self.location)
        if not file.exists():
            raise StorageUnusableError(f"there is no store at {file} yet; nothing to check")
        return backup.problems(file)

    def back_up(self, target: Path, *, replace: bool) -> None:
        """Copy the database as it is at one moment into a file, while others read and write."""
        backup.back_up(Path(self.location), target, replace=replace)

    def restore(self, source: Path, *, replace: bool) -> Path | None:
        """Put a backup in the file's place, migrated if it is an older one."""
        return backup.restore(source, Path(self.location), _migrate_copy, replace=replace)


class SqliteFileStorage(SqliteStorage):
    """A ``Storage`` on a file of this service's, for many threads and processes."""

    database: Sqlite

    def __init__(self, file: Path, *, busy_timeout: float = 5):
        """Take the file, which need not exist, and for how many seconds a write waits to begin."""
        super().__init__(Sqlite(str(file), pragmas=PRAGMAS, busy_timeout=busy_timeout))

    def dispose(self) -> None:
        """Close this thread's connection, and all that are idle."""
        with storage_errors:
            self.database.close_for_good()

    def migrate(self) -> list[str]:
        """Create the file if there is none, and bring its schema up to date."""
        self.database.create_file()
        usual, self.database.timeout = self.database.timeout, MIGRATION_TIMEOUT
        try:
            with self._usable(), self.opened():
                self._use_wal()
                return super().migrate()
        finally:
            self.database.timeout = usual

    def _use_wal(self) -> None:
        """Let readers and the writer not wait for each other; the file keeps the setting."""
        if self.database.pragma("journal_mode") == "wal":
            return
        # The change needs the file for itself alone, and SQLite does not wait for that.
        retry_while_locked(lambda: self.database.pragma("journal_mode", "wal"), MIGRATION_TIMEOUT)
        if self.database.pragma("journal_mode") != "wal":
            raise StorageUnusableError(f"{self.location} can't use WAL; keep it on a local disk")
        self.dispose()  # it was opened without a log
        self.connect()

    def _make_room(self) -> None:
        """Let the next transaction copy the log into the file, so that the log can begin anew."""
        self.database.checkpoint_next()

    def _after_bulk_insert(self) -> None:
        """Copy the log into the file."""
        with storage_errors:
            self.database.checkpoint()


def _reason(error: BaseException | None) -> str:
    """Return the name of the SQLite error that has led to an error, empty if none has."""
    while error is not None:
        if name := getattr(error, "sqlite_errorname", ""):
            return str(name)
        error = error.__cause__ or error.__context__
    return ""


def _migrate_copy(copy: Path, backup_name: Path) -> None:
    """Migrate a copy of a backup; raises StorageUnusableError if it is none."""
    storage = SqliteFileStorage(copy)
    with storage.opened():
        if not storage.database.table_exists("leads_lead"):
            raise StorageUnusableError(f"{backup_name} is no backup of leads")
        storage.migrate()
