"""What only SQLite speaks: its connections, transactions, flushes and pragmas."""

import atexit
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from peewee import Database, OperationalError, SqliteDatabase
from playhouse.pool import PooledSqliteDatabase

from leads_service.exceptions import CommitOutcomeUnknownError
from leads_service.locking import GroupCommit, WriteLock, retry_while_locked

PRAGMAS = {
    # A lead changes some ten pages, mostly by one line: half the size, half of what is written.
    # Of a database that exists it changes nothing.
    "page_size": 2048,  # bytes
    "synchronous": "normal",  # Sqlite.commit() does what "full" would do, after letting others in
    "foreign_keys": 1,
    "wal_autocheckpoint": 0,  # Sqlite.checkpoint() instead
}
CHECKPOINT_INTERVAL = 400  # rows that a process has changed; a lead's are on some ten pages
MAX_IDLE_CONNECTIONS = 16  # twice the threads of a worker of ours
CHUNK = 2**20  # bytes
# Errors of a COMMIT that could not write, of which the mark of the commit is the last.
BEFORE_COMMIT = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR_WRITE")

flush = getattr(os, "fdatasync", os.fsync)  # macOS has the second only


class OpenFiles:
    """The database file and its write-ahead log, as a process has opened them.

    The log's descriptor is opened once: the system tells of a write that failed once for each
    descriptor, and of none that failed before it was opened. No lock of SQLite's is on the log that
    closing the descriptor would drop: those of a WAL database are on the other two files.
    """

    def __init__(self, file: str):
        self._paths = (file, f"{file}-wal")
        self._log: int | None = None
        with suppress(FileNotFoundError):  # a database that is not in WAL mode
            self._log = os.open(self._paths[1], os.O_RDONLY)
        self._identities = self._on_disk()

    def _on_disk(self) -> list[tuple[int, int] | None]:
        return [_identity(path) for path in self._paths]

    def are_current(self) -> bool:
        """Return whether both files still are the ones that were opened."""
        return self._on_disk() == self._identities

    def is_log_removed(self) -> bool:
        """Return whether the log alone is gone, and nobody has made another one yet."""
        file, log = self._identities
        return log is not None and self._on_disk() == [file, None]

    def flush(self) -> None:
        """Wait until the log is on the disk; raises OSError.

        Without a log SQLite has flushed the file itself.
        """
        if self._log is not None:
            flush(self._log)

    def rewrite_log(self) -> None:
        """Write the log's bytes over themselves and flush them; raises OSError.

        A flush that failed leaves pages in the cache that the system takes for written. Written
        again they count as unwritten. To be called with SQLite's write lock held: readers find
        the same bytes at any moment.
        """
        if self._log is None:
            return
        offset = 0
        with open(self._paths[1], "r+b", buffering=0) as log:
            while chunk := os.pread(log.fileno(), CHUNK, offset):
                offset += os.pwrite(log.fileno(), chunk, offset)
        flush(self._log)

    def __del__(self) -> None:
        """Close the log's descriptor; the connections that use it are gone."""
        if self._log is not None:
            os.close(self._log)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Connection(sqlite3.Connection):
    """A connection to a file that exists: SQLite's own way would make one that does not."""

    files: OpenFiles

    def __init__(self, file: str, **options: Any):
        super().__init__(f"{Path(file).as_uri()}?mode=rw", uri=True, **options)
        self._counted = 0

    def new_changes(self) -> int:
        """Return how many rows were changed since the last call."""
        changes = self.total_changes - self._counted
        self._counted += changes
        return changes


class Sqlite(PooledSqliteDatabase):
    """A SQLite database for many threads and processes.

    Connections belong to the database, not to threads, which take one for each request and give it
    back: a connection that a thread keeps is closed while the interpreter takes the thread apart,
    and closing it there crashed the process (https://github.com/python/cpython/issues/119585).
    """

    def __init__(self, file: str, *, busy_timeout: float = 5, **options: Any):
        """``busy_timeout``: for how many seconds a transaction that is to write waits to begin."""
        self._files: OpenFiles | None = None  # of this process's connections
        super().__init__(
            file, max_connections=None, factory=Connection, check_same_thread=False, **options
        )
        self.timeout = busy_timeout  # the argument of this name is how long to wait for the pool
        self._write_lock = WriteLock()
        self._group_commit = GroupCommit()
        self._uncopied = 0  # rows that were changed since the last checkpoint of this process
        _databases.add(self)

    def create_file(self) -> None:
        """Make the file, for its owner alone, if there is none."""
        with suppress(OSError):  # that it is there, or can't be made, is for SQLite to see
            os.close(os.open(self.database, os.O_CREAT | os.O_EXCL, 0o600))

    # Connections

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection for this thread; return whether it had none.

        One whose file was deleted or replaced is closed: what is written to it would be lost.
        """
        if reuse_if_open and not self.is_closed() and self._is_stale_here():
            self.close()
        return super().connect(reuse_if_open)  # type: ignore[no-any-return]

    def _is_stale_here(self) -> bool:
        connection = self.connection()
        return not connection.in_transaction and not self._is_current(connection)

    def _is_current(self, connection: Connection) -> bool:
        return connection.files is self._files and connection.files.are_current()

    def _connect(self) -> Connection:
        connection: Connection = super()._connect()
        if not hasattr(connection, "files"):  # a new one
            try:
                # SQLite opens the log at the first read.
                connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
                if self._files is None or not self._files.are_current():
                    self._files = OpenFiles(self.database)
                connection.files = self._files
            except BaseException:
                super()._close(connection, close_conn=True)
                raise
        return connection

    def _is_closed(self, connection: Connection) -> bool:
        if self._is_current(connection):
            return False
        self._retire(connection)
        return True

    def _can_reuse(self, connection: Connection) -> bool:
        return (
            len(self._connections) < MAX_IDLE_CONNECTIONS
            and self._is_current(connection)
            and super()._can_reuse(connection)
        )

    def close_idle(self) -> None:
        """Close the connections that no thread has; those in use, when they are given back."""
        super().close_idle()
        self._files = None

    def _close_raw(self, connection: Connection) -> None:
        self._retire(connection)

    def _retire(self, connection: Connection) -> None:
        """Close a connection for good, saving what a log that was removed holds, if it can be.

        While nobody has made another log, what is in the old one can still go into the file.
        """
        with suppress(sqlite3.Error):
            if hasattr(connection, "files") and connection.files.is_log_removed():
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        connection.close()

    # Transactions

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction.

        Raises OperationalError if others hold the lock for too long, or if the disk has failed to
        take what was committed before, and still does.
        """
        self._write_lock.acquire(self.timeout)
        try:
            try:
                self._begin(lock_type)
            except OperationalError as error:
                if "readonly" not in str(error):
                    raise
                self.manual_close()  # it was opened when the file could not be written
                self._begin(lock_type)
            self._maintain_log()
        except BaseException:
            self.rollback()
            raise

    def _begin(self, lock_type: str | None) -> None:
        connection = self.connection()  # this thread's; self.timeout is everybody's
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            with self._write_lock.waiting_for_file():
                retry_while_locked(lambda: super(Sqlite, self).begin(lock_type), self.timeout)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def _maintain_log(self) -> None:
        """See to the log while no process can write to it: this thread holds SQLite's lock."""
        if self._group_commit.has_failed:
            try:
                self.connection().files.rewrite_log()
            except OSError as error:
                raise OperationalError(f"the log can't be flushed: {error}") from error
            self._group_commit.recovered()
        if self._uncopied >= CHECKPOINT_INTERVAL:
            self._copy_log()

    def _copy_log(self) -> None:
        """Copy the log's pages into the file, on a connection beside the one that has the lock.

        With the lock held, no process can begin the log anew meanwhile. SQLite 3.7.0 to 3.51.2
        may corrupt the file if one does: https://www.sqlite.org/wal.html#walresetbug.
        Pages that a reader still needs as they were stay for the next time.
        """
        with closing(Connection(self.database, timeout=0)) as beside:
            beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._uncopied = 0

    def checkpoint(self) -> None:
        """Copy the log's pages into the file, so that the log can begin anew."""
        with writing(self):
            self._copy_log()

    def commit(self) -> None:
        """Commit, and return when it is on the disk.

        With synchronous=FULL SQLite flushes the write-ahead log with the write lock held, so that
        there can't be more commits than flushes. Here the lock is free by then: the next writer
        goes on meanwhile, and one flush serves all who have written. What is flushed is the same
        file, and a checkpoint flushes it too before it uses it: https://www.sqlite.org/wal.html.

        Raises CommitOutcomeUnknownError if it is not known whether it is.
        """
        connection = self.connection()
        super().commit()
        self._uncopied += connection.new_changes()
        number = self._group_commit.count()
        self._write_lock.release()
        self._group_commit.wait(number, connection.files.flush)
        if not connection.files.are_current():
            raise CommitOutcomeUnknownError(f"{self.database} or its log was taken away")

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself: it does when the disk is full or fails."""
        try:
            if not self.is_closed() and self.connection().in_transaction:
                super().rollback()
        finally:
            self._write_lock.release()


_databases: WeakSet[Sqlite] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is idle, so that the last process to end leaves one file without a log."""
    for database in list(_databases):
        close_for_good(database)


def close_for_good(database: SqliteDatabase) -> None:
    """Close this thread's connection, and all that are idle: before a fork, and at the end."""
    database.close()
    if isinstance(database, Sqlite):
        database.close_idle()


@contextmanager
def writing(database: Database) -> Iterator[None]:
    """Run the block in a transaction that is to write, or as a part of the one that is open.

    A transaction that turns from reading to writing fails at once when another one has written,
    whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.

    Raises OperationalError if nothing was stored, CommitOutcomeUnknownError if that can't be told.
    """
    transaction: AbstractContextManager[Any]
    if database.transaction_depth() == 0 and database.connection().in_transaction:
        transaction = database.savepoint()  # in a transaction that a host began by hand
    else:
        transaction = database.atomic("IMMEDIATE")
    is_committing = False
    try:
        with transaction:
            yield
            is_committing = True
    except OperationalError as error:
        if (
            is_committing
            and getattr(error.__context__, "sqlite_errorname", "") not in BEFORE_COMMIT
        ):
            raise CommitOutcomeUnknownError(str(error)) from error
        raise


@contextmanager
def no_wait(database: SqliteDatabase) -> Iterator[None]:
    """Let writes in the block fail at once (OperationalError) where they would wait for a lock."""
    with _pragmas(database, busy_timeout=0):
        yield


@contextmanager
def bulk_write(database: SqliteDatabase) -> Iterator[None]:
    """Give a write that changes a great part of the database 32 MB to do it in, instead of 2."""
    with _pragmas(database, cache_size=-32_000):
        yield


@contextmanager
def indexed_afterwards(database: SqliteDatabase, table: str) -> Iterator[None]:
    """Drop the table's indexes and make them anew at the end of the block, in a transaction.

    Sorted, a million rows go into seven indexes in 6 seconds; one by one it takes them 20.
    """
    indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"
    made = database.execute_sql(f"{indexes} AND sql IS NOT NULL", (table,)).fetchall()
    for name, _ in made:
        database.execute_sql(f'DROP INDEX "{name}"')
    yield
    for _, sql in made:
        database.execute_sql(sql)


@contextmanager
def _pragmas(database: SqliteDatabase, **values: int) -> Iterator[None]:
    usual = {name: database.pragma(name) for name in values}
    try:
        for name, value in values.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
