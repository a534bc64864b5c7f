"""What only SQLite speaks: its connections, transactions, flushes and pragmas."""

import atexit
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

from peewee import OperationalError, PeeweeException

from leads_service._compat.peewee import PoolableDatabase, sqlite_error_name
from leads_service.exceptions import CommitOutcomeUnknownError
from leads_service.storage.sqlite.locking import GroupCommit, WriteLock, retry_while_locked

logger = logging.getLogger(__name__)

PRAGMAS = {
    # A lead changes some ten pages, mostly by one line: half the size, half of what is written.
    # Of a database that exists it changes nothing.
    "page_size": 2048,  # bytes
    "synchronous": "normal",  # Sqlite.commit() does what "full" would do, after letting others in
    "foreign_keys": 1,
    "secure_delete": 1,  # what is deleted or replaced is overwritten with zeros in the file
    "wal_autocheckpoint": 0,  # Sqlite.checkpoint() instead
}
CHECKPOINT_INTERVAL = 400  # rows that a process has changed; a lead's are on some ten pages
MAX_LOG = 8000  # pages; of a longer log, which a reader has kept from beginning anew,
CHECKPOINT_AGAIN = 20  # rows later another try is made
MAX_IDLE_CONNECTIONS = 16  # twice the threads of a worker of ours
CHUNK = 2**20  # bytes

# Versions without the WAL-reset bug.
SAFE_IN_SERIES: dict[tuple[int, ...], tuple[int, ...]] = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}

flush = getattr(os, "fdatasync", os.fsync)  # macOS has the second only


class OpenFiles:
    """The database file and its write-ahead log, as a process has opened them.

    The log's descriptor is opened once: the system tells of a write that failed once for each
    descriptor, and of none that failed before it was opened. No lock of SQLite's is on the log that
    closing the descriptor would drop: those of a WAL database are on the other two files.

    A connection of their own serves what no thread's connection can do: a checkpoint while the
    thread has the write lock, and saving a log that was removed.
    """

    def __init__(self, file: str, timeout: float):
        """Open them; wait for ``timeout`` seconds where another process has them for itself."""
        self._file, self._log_file, self._index_file = file, f"{file}-wal", f"{file}-shm"
        self._log: int | None = None
        self._connection = Connection(file, timeout=timeout, check_same_thread=False)
        try:
            self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the log
        except sqlite3.Error:
            self._connection.close()
            raise
        with suppress(FileNotFoundError):  # a database that is not in WAL mode
            self._log = os.open(self._log_file, os.O_RDONLY)
            _flush_folder(file)  # the log may be new: its name has to be on the disk as well
        self._file_identity = _identity(file)
        self._log_identity = _identity(self._log_file)
        self._index_identity = _identity(self._index_file)

    def are_current(self) -> bool:
        """Return whether the files still are the ones that were opened.

        Those that lock another index (-shm) don't see each other's locks.
        """
        return (
            self.is_file_current()
            and _identity(self._log_file) == self._log_identity
            and _identity(self._index_file) == self._index_identity
        )

    def is_file_current(self) -> bool:
        """Return whether the database file still is the one that was opened."""
        return _identity(self._file) == self._file_identity

    def checkpoint(self) -> int:
        """Copy the log's pages into the file, but those that a reader still needs as they were.

        Return how many pages the log has.
        """
        result = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(result[1])

    def close(self) -> None:
        """Close the connection, saving what a log holds that was removed, itself or its index.

        While nobody has made another one, what is in the log can still go into the file.
        """
        are_unchanged = _identity(self._log_file) in (None, self._log_identity) and _identity(
            self._index_file
        ) in (None, self._index_identity)
        if self._log is not None and self.is_file_current() and are_unchanged:
            with suppress(sqlite3.Error):
                self.checkpoint()
        self._connection.close()

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
        with open(self._log_file, "r+b", buffering=0) as log:
            while chunk := os.pread(log.fileno(), CHUNK, offset):
                offset += os.pwrite(log.fileno(), chunk, offset)
        flush(self._log)

    def __del__(self) -> None:
        """Close the log's descriptor: no connection that may want to flush it is left."""
        if self._log is not None:
            os.close(self._log)


def _flush_folder(file: str) -> None:
    folder = os.open(os.path.dirname(file) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(path: str) -> tuple[int, ...] | None:
    """Return a file's inode and device; None if there is none."""
    try:
        return os.stat(path)[1:3]
    except OSError:
        return None


def _is_writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


class Connection(sqlite3.Connection):
    """A connection to a file that exists: SQLite's own way would make one that does not.

    A file that can't be written is opened for reading. The connection can't write even when the
    file can be written again, and ``BEGIN IMMEDIATE`` begins a transaction that only reads.
    """

    files: OpenFiles

    def __init__(self, file: str, **options: Any):
        could_write = _is_writable(file)
        super().__init__(f"{Path(file).as_uri()}?mode=rw", uri=True, **options)
        self.can_write = could_write and _is_writable(file)  # it may have changed meanwhile
        self._counted = 0

    def new_changes(self) -> int:
        """Return how many rows were changed since the last call."""
        changes = self.total_changes - self._counted
        self._counted += changes
        return changes


class Sqlite(PoolableDatabase):
    """A SQLite database for many threads and processes.

    Connections belong to the database, not to threads, which take one for each request and give it
    back: a connection that a thread keeps is closed while the interpreter takes the thread apart,
    and closing it there crashed the process (https://github.com/python/cpython/issues/119585).
    """

    connection: Callable[[], Connection]

    def __init__(self, file: str, *, busy_timeout: float = 5, **options: Any):
        """``busy_timeout``: for how many seconds a transaction that is to write waits to begin."""
        self._pool_lock = Lock()
        self._idle: list[Connection] = []
        self._files: OpenFiles | None = None  # those of new connections
        super().__init__(
            file, timeout=busy_timeout, factory=Connection, check_same_thread=False, **options
        )
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

        Raises:
            OperationalError: The thread has one, or none can be opened.
        """
        if reuse_if_open and not self.is_closed():
            connection = self.connection()
            if connection.in_transaction or self._is_current(connection):
                return False
            self.close()
        return bool(super().connect(reuse_if_open))

    def take_connection(self) -> Connection:
        """Return an idle connection, or a new one."""
        with self._pool_lock:
            if self._idle:
                connection: Connection = self._idle.pop()
                if self._is_current(connection):
                    return connection
                connection.close()
                self._leave_files()
            if self._files is not None and not self._files.are_current():
                self._leave_files()
            if self._files is None:
                self._files = OpenFiles(self.database, self.timeout)
            connection = self.new_connection()
            connection.files = self._files
            return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for later, or close it."""
        with self._pool_lock:
            if connection.in_transaction:
                connection.rollback()
            if connection.files is self._files and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
            else:
                connection.close()

    def close_for_good(self) -> None:
        """Close this thread's connection and those that are idle.

        Those that other threads have are closed when they are given back.
        """
        with self._pool_lock:
            self._leave_files()
        self.close()

    def _leave_files(self) -> None:
        """Let no connection to the files be used any longer than it is already."""
        if self._files is not None:
            self._files.close()
            self._files = None
        while self._idle:
            self._idle.pop().close()

    def _is_current(self, connection: Connection) -> bool:
        """Return whether what is read over a connection is what is there.

        A log that was removed matters to writes, which look for it. Reads need not.
        """
        return connection.files is self._files and connection.files.is_file_current()

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
                connection = self.connection()
                can_write = connection.can_write and connection.files.are_current()
            except OperationalError as error:
                if not sqlite_error_name(error).startswith("SQLITE_READONLY"):
                    raise
                can_write = False  # the log or its index could not be written when it was opened
            if not can_write:
                self.close_for_good()
                self._begin(lock_type)
            if self._group_commit.has_failed:
                self._rewrite_log()
            if self._uncopied >= CHECKPOINT_INTERVAL:
                self._copy_log()
                # SQLite begins the log anew for a transaction that finds all of it copied.
                super().rollback()
                self._begin(lock_type)
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

    def _rewrite_log(self) -> None:
        """Bring all of the log to the disk after a flush that failed; raises OperationalError."""
        try:
            self.connection().files.rewrite_log()
        except OSError as error:
            raise OperationalError(f"the log can't be flushed: {error}") from error
        self._group_commit.recovered()

    def _copy_log(self) -> None:
        """Copy the log's pages into the file, with SQLite's write lock held.

        So no process can begin the log anew meanwhile. SQLite 3.7.0 to 3.51.2 may corrupt the file
        if one does: https://www.sqlite.org/wal.html#walresetbug.
        """
        self._uncopied = 0
        try:
            pages = self.connection().files.checkpoint()
        except sqlite3.Error as error:  # the log goes on growing; what is stored is stored
            logger.warning("the checkpoint failed, to be tried again: %s", error)
        else:
            if pages > MAX_LOG:
                self._uncopied = CHECKPOINT_INTERVAL - CHECKPOINT_AGAIN

    def checkpoint(self) -> None:
        """Copy the log's pages into the file, so that the log can begin anew."""
        with self.atomic("IMMEDIATE"):
            self._copy_log()

    def checkpoint_next(self) -> None:
        """Let the next transaction begin with a checkpoint: the log may begin anew for it."""
        self._uncopied = CHECKPOINT_INTERVAL

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
        with suppress(PeeweeException, sqlite3.Error):  # it ends in the middle of something
            database.close_for_good()


def has_safe_wal_reset(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Return whether SQLite of this version is free of https://www.sqlite.org/wal.html#walresetbug.

    3.51.3 and later are, and of older series 3.44.6 and 3.50.7; STRICT tables need 3.37 at least.
    """
    return version >= SAFE_IN_SERIES.get(version[:2], (3, 51, 3))
