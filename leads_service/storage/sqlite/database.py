"""A Peewee database on a SQLite file: connection pool, transactions, fsync, checkpoints.

Terms: SQLite appends commits to the write-ahead log (WAL, ``-wal``), whose index (``-shm``) is
shared memory. A checkpoint copies the WAL's pages into the database file; the next write
transaction may then overwrite the WAL from its start. https://www.sqlite.org/wal.html
"""

import atexit
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, RLock
from time import sleep
from typing import Any
from weakref import WeakSet

from peewee import OperationalError, PeeweeException, SqliteDatabase

from leads_service._compat.peewee import PoolableDatabase, sqlite_error_name, translated_errors
from leads_service.exceptions import CommitOutcomeUnknownError
from leads_service.storage.sqlite.locking import (
    POLL_INTERVAL,
    Job,
    JobQueue,
    WriteLock,
    retry_while_locked,
)

logger = logging.getLogger(__name__)

PRAGMAS = {
    # A write logs each page that it changes as a whole: "page_size" in benchmarks/pieces.py. It has
    # no effect on an existing database.
    "page_size": 2048,  # bytes
    "synchronous": "normal",  # no fsync by SQLite at a commit: Sqlite.commit() does it
    "foreign_keys": 1,
    "secure_delete": 1,  # overwrite deleted content with zeros
    "wal_autocheckpoint": 0,  # Sqlite.checkpoint() instead
}
CHECKPOINT_INTERVAL = 400  # rows changed by a process; a lead's are on about ten pages
# A reader can keep the WAL from being reset. If it is longer than this, the next checkpoint follows
# sooner.
MAX_WAL_PAGES = 8000
CHECKPOINT_RETRY_INTERVAL = 20  # rows changed by a process
# For how long a transaction waits for those who may join it: about as long as they take for that.
COMMIT_DELAY = 0.0001  # seconds
MAX_IDLE_CONNECTIONS = 16  # twice config.THREADS
CHUNK_SIZE = 2**20  # bytes

# The first version without the WAL-reset bug in each older series that has a fix.
SAFE_IN_SERIES: dict[tuple[int, ...], tuple[int, ...]] = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}

# The disk, or a quota, is full.
DISK_FULL_ERRORS = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
# With these errors a COMMIT has not written the commit record, which is the last part of it.
NOT_COMMITTED_ERRORS = ("SQLITE_BUSY", *DISK_FULL_ERRORS)

flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class OpenFiles:
    """The database file, its WAL and its index, as this process has opened them.

    The WAL has one file descriptor for fsync, which stays open: the kernel reports a failed write
    once per descriptor, and only to descriptors that were open when it failed. Closing a
    descriptor drops the process's POSIX locks on the file, but SQLite has none on the WAL: in WAL
    mode it locks the database file and the index.

    A separate connection makes the checkpoints, which a connection within a transaction can't do,
    and saves the content of a WAL that somebody has deleted.
    """

    def __init__(self, file: str, timeout: float):
        """Open the files.

        Args:
            file: The path of the database file.
            timeout: For how many seconds to wait for a process that has locked them exclusively.

        Raises:
            sqlite3.Error: They can't be opened.
        """
        self._file, self._log_file, self._index_file = file, f"{file}-wal", f"{file}-shm"
        self._log: int | None = None
        # SQLite crashes if a thread closes a connection that another one is using.
        self._lock = RLock()
        self._is_closed = False
        self._connection = Connection(file, timeout=timeout, check_same_thread=False)
        try:
            self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the WAL
        except sqlite3.Error:
            self._connection.close()
            raise
        with suppress(FileNotFoundError):  # the database is not in WAL mode
            self._log = os.open(self._log_file, os.O_RDONLY)
            _flush_folder(file)  # a new WAL's directory entry has to be durable as well
        self._file_identity = _identity(file)
        self._log_identity = _identity(self._log_file)
        self._index_identity = _identity(self._index_file)

    def are_current(self) -> bool:
        """Return whether the paths still refer to the files that were opened.

        The index matters too: SQLite's locks are on it, so processes with different indexes do not
        see each other's locks.
        """
        return (
            self.is_file_current()
            and _identity(self._log_file) == self._log_identity
            and _identity(self._index_file) == self._index_identity
        )

    def is_file_current(self) -> bool:
        """Return whether the path still refers to the database file that was opened."""
        return _identity(self._file) == self._file_identity

    def checkpoint(self) -> int:
        """Make a passive checkpoint, which skips pages that a reader still needs as they were.

        Returns:
            How many pages the WAL has; 0 if the connection has been closed.

        Raises:
            sqlite3.Error: The checkpoint failed.
        """
        with self._lock:
            if self._is_closed:
                return 0
            result = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(result[1])

    def close(self) -> None:
        """Close the connection.

        If somebody has deleted the WAL or the index, and nobody has created a new one, commits in
        the deleted WAL can still be saved, and are: by a checkpoint.
        """
        are_unchanged = _identity(self._log_file) in (None, self._log_identity) and _identity(
            self._index_file
        ) in (None, self._index_identity)
        with self._lock:
            if self._log is not None and self.is_file_current() and are_unchanged:
                with suppress(sqlite3.Error):
                    self.checkpoint()
            self._connection.close()
            self._is_closed = True

    def flush(self) -> None:
        """Wait until the WAL is on the disk; do nothing without one (SQLite flushes the file then).

        Raises:
            OSError: The flush failed.
        """
        if self._log is not None:
            flush(self._log)

    def rewrite_log(self) -> None:
        """Rewrite the WAL in place with its own content, and flush it.

        A failed fsync leaves pages in the page cache that the kernel considers clean. Rewriting
        marks them dirty, so that the next fsync writes them. The caller holds SQLite's write lock;
        readers see the same bytes at any moment.

        Raises:
            OSError: The WAL can't be read, written or flushed.
        """
        if self._log is None:
            return
        offset = 0
        with open(self._log_file, "r+b", buffering=0) as log:
            while chunk := os.pread(log.fileno(), CHUNK_SIZE, offset):
                offset += os.pwrite(log.fileno(), chunk, offset)
        flush(self._log)

    def __del__(self) -> None:
        """Close the WAL's descriptor: no connection that could still need it is left."""
        if self._log is not None:
            os.close(self._log)


def _flush_folder(file: str) -> None:
    folder = os.open(os.path.dirname(file) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(path: str) -> tuple[int, ...] | None:
    """Return a file's inode and device; None if there is no such file."""
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


class Sqlite(PoolableDatabase, SqliteDatabase):
    """A SQLite database for many threads and processes.

    Connections are pooled: a thread takes one for each request and returns it, since to open one
    takes longer than that ("connection pool" in ``benchmarks/pieces.py``). A connection kept in a
    thread-local is closed while the interpreter destroys the thread, and closing it there crashed
    the process (https://github.com/python/cpython/issues/119585).
    """

    connection: Callable[[], Connection]

    def __init__(self, file: str, *, busy_timeout: float = 5, **options: Any):
        """Create the database; the file is not opened yet.

        Args:
            file: The path of the database file.
            busy_timeout: For how many seconds a write transaction waits for the write lock.
            options: Further ones of ``SqliteDatabase``.
        """
        self._pool_lock = Lock()
        self._idle: list[Connection] = []
        self._lent: WeakSet[Connection] = WeakSet()  # a thread may end without giving it back
        self._files: OpenFiles | None = None  # of the pool's connections; replaced if deleted
        super().__init__(
            file, timeout=busy_timeout, factory=Connection, check_same_thread=False, **options
        )
        self.write_lock = WriteLock()
        self._has_failed = False  # whether a flush has, since the log was last rewritten
        self.jobs = JobQueue()
        self._rows_since_checkpoint = 0  # rows changed since this process's last checkpoint
        _databases.add(self)

    def create_file(self) -> None:
        """Create the file, readable by its owner only, if there is none."""
        with suppress(OSError):  # SQLite reports a file that can't be created
            os.close(os.open(self.database, os.O_CREAT | os.O_EXCL, 0o600))

    # Connections

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection from the pool for this thread.

        Args:
            reuse_if_open: Whether the thread may have one already.

        Returns:
            Whether the thread had none.

        Raises:
            OperationalError: The thread has one already, or the file can't be opened.
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
            connection = self._pop_idle() or self._open()
            self._lent.add(connection)
            return connection

    def _pop_idle(self) -> Connection | None:
        if not self._idle:
            return None
        connection = self._idle.pop()
        if self._is_current(connection):
            return connection
        connection.close()
        self._discard_files()
        return None

    def _open(self) -> Connection:
        if self._files is not None and not self._files.are_current():
            self._discard_files()
        if self._files is None:
            self._files = OpenFiles(self.database, self.timeout)
        connection: Connection = self.new_connection()
        connection.files = self._files
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for later, or close it."""
        with self._pool_lock:
            self._lent.discard(connection)
            if connection.in_transaction:
                connection.rollback()
            if connection.files is self._files and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
            else:
                connection.close()

    def close_for_good(self) -> None:
        """Close this thread's connection and the idle ones.

        Those of other threads are closed when they are returned to the pool.
        """
        with self._pool_lock:
            self._discard_files()
        self.close()

    def _discard_files(self) -> None:
        """Close the idle connections; those in use are closed when they are returned."""
        if self._files is not None:
            self._files.close()
            self._files = None
        while self._idle:
            self._idle.pop().close()

    def _is_current(self, connection: Connection) -> bool:
        """Return whether a connection reads the file that the path refers to now.

        A deleted WAL matters to writes only, and those check for it.
        """
        return connection.files is self._files and connection.files.is_file_current()

    # Transactions

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction, with the process's write lock held.

        If due, it makes a checkpoint first.

        Args:
            lock_type: ``IMMEDIATE`` to take SQLite's write lock now.

        Raises:
            OperationalError: The lock is held by others for too long, or earlier commits could not
                be flushed to the disk and still can't.
        """
        self.write_lock.acquire(self.timeout)
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
            if self._has_failed:
                self._rewrite_log()
            if self._rows_since_checkpoint >= CHECKPOINT_INTERVAL:
                self._checkpoint_locked()
                # SQLite resets a fully checkpointed WAL only at the start of a write transaction.
                super().rollback()
                self._begin(lock_type)
        except BaseException:
            self.rollback()
            raise

    def _begin(self, lock_type: str | None) -> None:
        connection = self.connection()
        statement = f"BEGIN {lock_type or 'DEFERRED'}"
        # By pragma, for this thread's connection: self.timeout is shared by all threads.
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            # Not by Peewee, which takes longer to translate an error than SQLite to find the lock.
            with self.write_lock.waiting_for_file(), translated_errors:
                retry_while_locked(lambda: connection.execute(statement), self.timeout)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def _rewrite_log(self) -> None:
        """Rewrite and flush the WAL after a flush that failed.

        Raises:
            OperationalError: It still can't be flushed.
        """
        try:
            self.connection().files.rewrite_log()
        except OSError as error:
            raise OperationalError(f"the log can't be flushed: {error}") from error
        self._has_failed = False

    def _checkpoint_locked(self) -> None:
        """Make a checkpoint. The caller holds SQLite's write lock, so nobody can reset the WAL.

        SQLite 3.7.0 to 3.51.2 may corrupt the file if the WAL is reset during a checkpoint:
        https://www.sqlite.org/wal.html#walresetbug.

        Raises:
            OperationalError: It failed, and the WAL can't be flushed.
        """
        self._rows_since_checkpoint = 0
        try:
            pages = self.connection().files.checkpoint()
        except sqlite3.Error as error:  # nothing is lost; the WAL keeps growing
            logger.warning("the checkpoint failed, to be tried again: %s", error)
            # It may have been the fsync of the WAL, after which the next one tells nothing.
            self._has_failed = True
            self._rewrite_log()
        else:
            if pages > MAX_WAL_PAGES:
                self._rows_since_checkpoint = CHECKPOINT_INTERVAL - CHECKPOINT_RETRY_INTERVAL

    def checkpoint(self) -> None:
        """Copy the WAL's pages into the file, so that the next write can reset the WAL.

        Raises:
            OperationalError: The write lock can't be acquired.
        """
        with self.atomic("IMMEDIATE"):
            self._checkpoint_locked()

    def checkpoint_next(self) -> None:
        """Make the next write transaction begin with a checkpoint, so that the WAL can be reset."""
        self._rows_since_checkpoint = CHECKPOINT_INTERVAL

    def commit(self) -> None:
        """Commit, and return when the commit is durable.

        With ``synchronous=FULL`` SQLite flushes the WAL while it holds the lock on the file. Here
        other processes go on meanwhile. It is as safe: the same file is flushed, and a checkpoint
        flushes the WAL before it copies from it (https://www.sqlite.org/wal.html).

        Raises:
            CommitOutcomeUnknownError: The flush failed, or the file or WAL was deleted meanwhile.
        """
        connection = self.connection()
        try:
            super().commit()
            self._rows_since_checkpoint += connection.new_changes()
            self._flush(connection.files)
        except BaseException as error:
            if sqlite_error_name(error) not in NOT_COMMITTED_ERRORS:
                self.jobs.end(CommitOutcomeUnknownError(str(error)))
            self.rollback()  # Peewee 4 does not after an interruption
            raise
        self.jobs.end()
        self.write_lock.release()

    def _flush(self, files: OpenFiles) -> None:
        try:
            files.flush()
        except OSError as error:
            self._has_failed = True
            raise CommitOutcomeUnknownError(f"the log could not be flushed: {error}") from error
        if not files.are_current():
            raise CommitOutcomeUnknownError(f"{self.database} or its log was taken away")

    def delay_commit(self) -> None:
        """Let other threads add their jobs, if some are on their way: commit delay.

        A thread with a connection may be about to write. Without a pause most of them would still
        wait for the GIL ("commit delay" in ``benchmarks/pieces.py``).
        """
        if len(self._lent) > 1 + len(self.jobs):
            sleep(COMMIT_DELAY)

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so already, such as after an I/O error."""
        try:
            if not self.is_closed() and self.connection().in_transaction:
                super().rollback()
        finally:
            if self.write_lock.is_held():  # otherwise the present jobs are another thread's
                self.jobs.roll_back()
                self.write_lock.release()

    def await_turn(self, job: Job) -> bool:
        """Let a job wait until it is done, or until this thread has to lead.

        Returns:
            Whether it has to lead: to run the jobs that wait, and then to call ``hand_over``.

        Raises:
            OperationalError: The lock is held by others for too long; the job was not run.
        """
        self.jobs.put(job)
        if job.has_to_lead:
            return True
        try:
            self.write_lock.wait_for(job.turn, self.timeout)
        except BaseException as error:
            while not (job.is_done or job.has_to_lead):
                if self.jobs.withdraw(job):
                    raise
                job.turn.acquire(timeout=POLL_INTERVAL)  # another thread is running it
            if not isinstance(error, OperationalError):  # such as a KeyboardInterrupt
                if job.has_to_lead:
                    self.jobs.hand_over()
                raise
        return job.has_to_lead


_databases: WeakSet[Sqlite] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Close all databases: the last process to close one checkpoints and deletes the WAL."""
    for database in list(_databases):
        with suppress(PeeweeException, sqlite3.Error):  # a transaction may be open
            database.close_for_good()


def has_safe_wal_reset(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Return whether a version of SQLite is free of the WAL-reset bug.

    These are 3.51.3 and later, and of older series 3.44.6 and 3.50.7 and later:
    https://www.sqlite.org/wal.html#walresetbug.
    """
    return version >= SAFE_IN_SERIES.get(version[:2], (3, 51, 3))
