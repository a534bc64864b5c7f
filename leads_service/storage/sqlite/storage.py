"""The ``Storage`` for SQLite: on a file of this service, or on a host's Peewee database."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from peewee import SQL, PeeweeException, SqliteDatabase, fn

from leads_service._compat.peewee import (
    execute,
    sqlite_connection,
    sqlite_error_name,
    translated_errors,
)
from leads_service.exceptions import (
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.lead import FIELDS
from leads_service.storage import history, queries
from leads_service.storage.base import Page, Position, Result
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.errors import storage_errors
from leads_service.storage.migrations import Migrations
from leads_service.storage.models import TABLES_WITH_ID, Lead
from leads_service.storage.queries import Statement
from leads_service.storage.sqlite import backup, pages
from leads_service.storage.sqlite import migrations as scripts
from leads_service.storage.sqlite.database import (
    DISK_FULL_ERRORS,
    NOT_COMMITTED_ERRORS,
    PRAGMAS,
    Sqlite,
    has_safe_wal_reset,
)
from leads_service.storage.sqlite.locking import Job, retry_while_locked

MIGRATION_TIMEOUT = 600  # seconds to wait for the migrations of another process
BULK_BATCH = 10_000  # leads that ``insert_leads`` has in memory at a time

# Dropping the indexes and creating them again, sorted, is faster than updating them at random
# places ("indexes made anew" in benchmarks/pieces.py): for inserts of this many leads that at least
# double the table, and for moves and deletions of this many that are at least this share of it.
MIN_ROWS_TO_REINDEX = 10_000
MIN_SHARE_TO_REINDEX = 0.1
WITH_MANY_INDEXES = ("leads_lead", "leads_history")

STAGED_COLUMNS = tuple(name for name in FIELDS if name != "id")
INSERT_STAGED = f"INSERT INTO leads_staged VALUES ({', '.join('?' for _ in STAGED_COLUMNS)})"  # noqa: S608  # ours
# In chronological order most index entries are appended next to the previous one.
COPY_STAGED = (
    f"INSERT INTO leads_lead ({', '.join(STAGED_COLUMNS)})"  # noqa: S608  # our own names
    " SELECT * FROM leads_staged ORDER BY created_at, rowid"
)

# https://sqlite.org/autoinc.html
NEXT_LEAD_ID = SQL("coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'leads_lead'), 0) + 1")

# The same table as Peewee's runner creates, which earlier versions of this package used.
CREATE_HISTORY = (
    "CREATE TABLE IF NOT EXISTS leads_migration (id INTEGER NOT NULL PRIMARY KEY,"
    " name VARCHAR(255) NOT NULL, applied DATETIME NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS leads_migration_name ON leads_migration (name)",
)

FIND_HISTORY = "SELECT 1 FROM sqlite_master WHERE name = 'leads_migration'"

WAL_RESET_WARNING = " (has the WAL-reset bug: let no other program write to the file)"


class SqliteStorage(DatabaseStorage):
    """A ``Storage`` on any Peewee SqliteDatabase, such as a host's."""

    database: SqliteDatabase
    is_embedded = True
    migrations = Migrations(scripts, CREATE_HISTORY, FIND_HISTORY)

    def __init__(self, database: SqliteDatabase):
        super().__init__(database)
        self.location = str(database.database)
        self._pages: dict[frozenset[str], Statement] = {}

    # Connections and transactions

    @contextmanager
    def transaction(self, *, is_single: bool = False) -> Iterator[None]:
        """Run the block in a transaction.

        It begins with IMMEDIATE, which waits for the lock. A read transaction that is upgraded to a
        write fails at once, whatever the timeout, if another one has written meanwhile:
        https://www.sqlite.org/isolation.html.
        """
        try:
            with self._transaction():
                yield
        except (PeeweeException, StorageUnavailableError) as error:
            if _reason(error) in DISK_FULL_ERRORS:
                self._on_disk_full()
            raise

    def _transaction(self) -> AbstractContextManager[Any]:
        with storage_errors:
            is_by_hand = (
                self.database.transaction_depth() == 0
                and sqlite_connection(self.database).in_transaction
            )
        # A host may have begun a transaction with SQL of its own, which Peewee does not know of.
        return self.database.savepoint() if is_by_hand else self.database.atomic("IMMEDIATE")

    def was_rolled_back(self, error: Exception) -> bool:
        """Return whether a COMMIT that failed has certainly changed nothing."""
        return _reason(error) in NOT_COMMITTED_ERRORS

    def _on_disk_full(self) -> None:
        """React to a full disk; nothing can be done in general."""

    def no_wait(self) -> AbstractContextManager[None]:
        """Make writes in the block fail at once if the database is locked."""
        return self._pragmas(busy_timeout=0)

    def _secure_delete(self) -> AbstractContextManager[None]:
        """Overwrite content that the block deletes with zeros, also in a host's file."""
        return self._pragmas(secure_delete=1)

    @contextmanager
    def _pragmas(self, **values: int) -> Iterator[None]:
        """Set pragmas of this thread's connection for the block, and restore them after it."""
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

    @property
    def next_lead_id(self) -> Any:
        """The expression for the id of the lead that is inserted next, with AUTOINCREMENT."""
        return NEXT_LEAD_ID

    def page(
        self,
        user_id: int,
        filters: Mapping[str, Any],
        *,
        after: Position | None,
        limit: int,
        max_bytes: int,
    ) -> Page:
        """Return the user's newest leads that pass all filters."""
        values = queries.page_values(filters, after)
        names = frozenset(values)
        if names not in self._pages:
            self._pages[names] = Statement(self.database, pages.select_page(names))
        ((leads,),) = self._pages[names].rows(values | {"user_id": user_id, "limit": limit + 1})
        return pages.page_of(leads, limit, max_bytes)

    def delete_lead(self, user_id: int, lead_id: int) -> None:
        """Delete a lead and its status changes; keep its position."""
        with self._secure_delete():
            super().delete_lead(user_id, lead_id)

    def forget_user(self, user_id: int, *, has_leads: bool = True) -> int:
        """Delete all that the user owns; return how many leads."""
        with self._secure_delete():
            return super().forget_user(user_id, has_leads=has_leads)

    def insert_leads(
        self, leads: Iterable[Mapping[str, Any]], confirm: Callable[[set[int]], None]
    ) -> int:
        """Insert leads, all or none, and return how many; ids ascend with ``created_at``.

        They are staged in a temporary table, so that the write lock is held only for the statement
        that copies them.
        """
        owners: set[int] = set()
        rows = iter(leads)
        count = 0
        with storage_errors, translated_errors:
            connection = sqlite_connection(self.database)
            connection.execute(f"CREATE TEMP TABLE leads_staged ({', '.join(STAGED_COLUMNS)})")
        try:
            while batch := list(islice(rows, BULK_BATCH)):
                owners.update(lead["user_id"] for lead in batch)
                count += len(batch)
                with storage_errors, translated_errors:
                    connection.executemany(
                        INSERT_STAGED, [[lead[name] for name in STAGED_COLUMNS] for lead in batch]
                    )
            with self.writing():
                confirm(owners)
                last = self._last_id()
                # The leads at least double: indexing the old ones again costs less than it saves.
                pays = count >= max(last, MIN_ROWS_TO_REINDEX)
                with self._indexed_afterwards() if pays else nullcontext(), translated_errors:
                    connection.execute(COPY_STAGED)
                    connection.execute(history.ESTIMATE.format("leads_lead", "?"), (last,))
            self._after_bulk_insert()
        finally:
            with suppress(sqlite3.Error):  # do not hide an earlier error
                connection.execute("DROP TABLE leads_staged")
        return count

    def _after_bulk_insert(self) -> None:
        """Clean up after a bulk insert, whose WAL is about as long as the file."""

    def _last_id(self) -> int:
        """Return the highest id of a lead, 0 if there is none."""
        return int(self._rows(Lead.select(fn.MAX(Lead.id)))[0][0] or 0)

    def reindexing(self, count: int) -> AbstractContextManager[None]:
        """Rebuild the indexes after the block, if that pays for writing ``count`` leads."""
        pays = count >= max(MIN_ROWS_TO_REINDEX, self._last_id() * MIN_SHARE_TO_REINDEX)
        return self._indexed_afterwards() if pays else nullcontext()

    @contextmanager
    def _indexed_afterwards(self) -> Iterator[None]:
        """Drop the indexes on leads and their history, and create them again after the block."""
        indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN (?, ?)"
        with storage_errors:
            made = execute(
                self.database, f"{indexes} AND sql IS NOT NULL", WITH_MANY_INDEXES
            ).fetchall()
            for name, _ in made:
                execute(self.database, f'DROP INDEX "{name}"')
        yield
        with storage_errors:
            for _, sql in made:
                execute(self.database, sql)

    # A copy of everything

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that the block reads be of one moment."""
        with storage_errors, translated_errors:
            connection = sqlite_connection(self.database)
            connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.rollback()

    def insert_rows(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows as ``rows`` yields them, in a transaction."""
        names = queries.quoted_columns(table)
        sql = (
            f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608  # our own names
            f" VALUES ({', '.join('?' for _ in names)})"
        )
        with self._indexed_afterwards() if table in WITH_MANY_INDEXES else nullcontext():
            batches = iter(rows)
            while batch := list(islice(batches, BULK_BATCH)):
                with storage_errors, translated_errors:
                    sqlite_connection(self.database).executemany(sql, batch)

    def last_ids(self) -> dict[str, int]:
        """Return the highest id that was ever given out, by table."""
        with storage_errors, translated_errors:
            given = dict(execute(self.database, "SELECT name, seq FROM sqlite_sequence").fetchall())
        return {table: given.get(table, 0) for table in TABLES_WITH_ID}

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Give out only higher ids from now on."""
        # The documented way; the table has no key, so that a row can't be replaced:
        # https://www.sqlite.org/autoinc.html
        for table, last in ids.items():
            with storage_errors:
                execute(self.database, "DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                execute(self.database, "INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last))

    def lock_tables(self, names: Sequence[str]) -> None:
        """Do nothing: no other process can write."""

    # Schema

    def exists(self) -> bool:
        """Return whether the database exists and has this package's tables."""
        return Path(self.location).exists() and super().exists()

    def schema_lock(self) -> AbstractContextManager[None]:
        """Do nothing: no other process can write."""
        return nullcontext()

    # Maintenance

    def status(self) -> Iterator[tuple[str, str]]:
        """Yield facts about the database, as pairs of a heading and a text."""
        file = Path(self.location)
        exists = file.exists()
        size = f"{file.stat().st_size:,} bytes" if exists else "not there yet"
        yield "file", f"{file} ({size})"
        # A file that does not exist is not opened: a host's database would create it.
        pending = self.pending_migrations() if exists else ["everything"]
        yield "schema", f"pending {', '.join(pending)}" if pending else "up to date"
        yield (
            "SQLite",
            f"{sqlite3.sqlite_version}{'' if has_safe_wal_reset() else WAL_RESET_WARNING}",
        )

    def problems(self) -> list[str]:
        """Check the integrity of the whole file; return a line for each problem."""
        file = Path(self.location)
        if not file.exists():
            raise StorageUnusableError(f"there is no store at {file} yet; nothing to check")
        return backup.problems(file)

    def back_up(self, target: Path, *, replace: bool) -> None:
        """Write a snapshot of the database to a file, while others read and write."""
        backup.back_up(Path(self.location), target, replace=replace)

    def distribute(self, *, of_known_users: bool) -> list[str]:
        """Refuse: a file is not distributed."""
        raise StorageUnusableError(
            f"{self.location} is an SQLite file; copy it to a cluster of Citus first, with: "
            "leads-service copy --to postgresql://..."
        )

    def restore(self, source: Path, *, replace: bool) -> Path | None:
        """Refuse: the file has tables of the host's as well, which a backup would replace."""
        raise StorageUnusableError(
            f"{self.location} is its application's; restore it by the application's own means"
        )


class SqliteFileStorage(SqliteStorage):
    """A ``Storage`` on a file of this service, for many threads and processes."""

    database: Sqlite

    def __init__(self, file: Path, *, busy_timeout: float = 5):
        """Create the storage without opening the file.

        Args:
            file: The file, which need not exist.
            busy_timeout: For how many seconds a write waits for the write lock.
        """
        super().__init__(Sqlite(str(file), pragmas=PRAGMAS, busy_timeout=busy_timeout))

    def transact(self, work: Callable[[], Result], *, is_single: bool = False) -> Result:
        """Run a function in a write transaction, with those of other threads that wait.

        One of them, the leader, runs what all wait to do: group commit ("group commit" in
        ``benchmarks/pieces.py``). If that fails, each runs its own.
        """
        with storage_errors:
            is_open = sqlite_connection(self.database).in_transaction
        if is_open:
            return super().transact(work)
        job = Job(work)
        with storage_errors:
            has_to_lead = self.database.await_turn(job)
        if has_to_lead:
            self._run_as_leader(job)
        if job.error is not None:
            raise job.error
        result: Result = job.result
        return result

    def _run_as_leader(self, job: Job) -> None:
        """Run this thread's job with all that wait; if that fails, alone."""
        jobs = self.database.jobs
        try:
            while not job.is_done:
                group: list[Job] = []
                try:
                    self.database.delay_commit()
                    with self.writing():
                        group = jobs.take(job)
                        self._run_jobs(group)
                except Exception:
                    if job.is_done or len(group) <= 1:
                        raise
                else:
                    if not job.is_done:  # a rollback has failed; it is repeated with the request
                        raise StorageUnavailableError("the last transaction could not be ended")
        finally:
            jobs.hand_over()

    def _run_jobs(self, group: Sequence[Job]) -> None:
        """Run jobs in the transaction that is open.

        Raises:
            Exception: What one of them has raised that was alone, or has written something: the
                transaction has to be rolled back.
        """
        connection = sqlite_connection(self.database)
        for job in group:
            changes = connection.total_changes
            try:
                job.run()
            except (PeeweeException, StorageUnavailableError):
                raise
            except Exception as error:
                if len(group) == 1 or connection.total_changes != changes:
                    raise
                job.error = error

    def dispose(self) -> None:
        """Close this thread's connection and all idle ones."""
        with storage_errors:
            self.database.close_for_good()

    def migrate(self) -> list[str]:
        """Create the file if there is none; apply the pending migrations; return their names."""
        self.database.create_file()
        usual, self.database.timeout = self.database.timeout, MIGRATION_TIMEOUT
        try:
            with self.unusable(), self.opened():
                self._use_wal()
                return super().migrate()
        finally:
            self.database.timeout = usual

    def _use_wal(self) -> None:
        """Switch the file to WAL mode, in which readers and the writer do not block each other.

        Raises:
            StorageUnusableError: The file system does not support it.
        """
        if self.database.pragma("journal_mode") == "wal":
            return
        connection = sqlite_connection(self.database)
        # The switch needs exclusive access, for which SQLite's busy handler does not wait.
        with translated_errors:
            retry_while_locked(
                lambda: connection.execute("PRAGMA journal_mode = wal"), MIGRATION_TIMEOUT
            )
        if self.database.pragma("journal_mode") != "wal":
            raise StorageUnusableError(f"{self.location} can't use WAL; keep it on a local disk")
        self.dispose()  # the file was opened without a WAL
        self.connect()

    def restore(self, source: Path, *, replace: bool) -> Path | None:
        """Replace the file by a backup, migrated to this version's schema."""
        return backup.restore(source, Path(self.location), _migrate_copy, replace=replace)

    def _on_disk_full(self) -> None:
        """Make the next transaction checkpoint: a reset WAL needs no further space."""
        self.database.checkpoint_next()

    def _after_bulk_insert(self) -> None:
        """Checkpoint the WAL."""
        with storage_errors:
            self.database.checkpoint()


def _reason(error: Exception) -> str:
    """Return SQLite's name of the error that is the cause of another one, or is it."""
    return sqlite_error_name(error if isinstance(error, PeeweeException) else error.__cause__)


def _migrate_copy(copy: Path, backup_name: Path) -> None:
    """Migrate a copy of a backup.

    Args:
        copy: The copy.
        backup_name: The backup, for the message.

    Raises:
        StorageUnusableError: It is not a database of this package, or can't be migrated.
    """
    storage = SqliteFileStorage(copy)
    with storage.opened():
        if not storage.database.table_exists("leads_lead"):
            raise StorageUnusableError(f"{backup_name} is no backup of leads")
        storage.migrate()
