"""What only SQLite speaks: its transactions. Its pragmas stand here and in ``pragmas``."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock, local
from time import monotonic, sleep
from typing import Any

from peewee import Database, OperationalError, SqliteDatabase

IMPATIENCE = 0.1  # seconds, about a hundred times what a small write takes
LOCK_PAUSE = 0.0002  # seconds between two tries for a lock, about what a small write holds it
PRAGMAS = {
    # A lead changes some ten pages, mostly by one line: half the size, half of what is written.
    # Of a database that exists it changes nothing.
    "page_size": 2048,  # bytes
    "synchronous": "normal",  # Sqlite.commit() does what "full" would do, after letting others in
    "foreign_keys": 1,
    "wal_autocheckpoint": 8000,  # pages; a checkpoint flushes twice
}

flush = getattr(os, "fdatasync", os.fsync)  # macOS has the second only


class Sqlite(SqliteDatabase):
    """A SQLite database whose write transactions wait for each other with short pauses.

    SQLite's own waiting pauses for up to 100 ms at a time, with which the unlucky one of 16
    clients waited for ten times as long as the others.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._patient = Lock()
        self._opened = local()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises OperationalError if others hold the lock for too long.

        One thread of the process waits for the whole timeout, the others for a tenth of a second:
        were all of them to wait, nobody would be left to read.
        """
        connection = self.connection()  # this thread's; self.timeout is everybody's
        connection.execute("PRAGMA busy_timeout = 0")
        patient = self._patient.acquire(blocking=False)
        patience = self.timeout if patient else min(self.timeout, IMPATIENCE)
        try:
            until_free(lambda: super(Sqlite, self).begin(lock_type), patience)
        finally:
            if patient:
                self._patient.release()
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def commit(self) -> None:
        """Commit, and return when it is on the disk.

        With synchronous=FULL SQLite flushes the write-ahead log with the write lock held, so that
        there can't be more commits than flushes. Here the lock is free by then: the next writer
        goes on meanwhile, and one flush serves all who have written. What is flushed is the same
        file, and a checkpoint flushes it too before it uses it: https://www.sqlite.org/wal.html.
        """
        super().commit()
        if "log" not in vars(self._opened):
            # As long as this thread's connection is open, the file stays the same.
            self._opened.log = Log(os.open(f"{self.database}-wal", os.O_RDONLY))
        flush(self._opened.log.descriptor)

    def close(self) -> bool:
        """Close this thread's connection; return whether it was open."""
        vars(self._opened).clear()
        return super().close()

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself: it does when the disk is full or fails."""
        if self.connection().in_transaction:
            super().rollback()


class Log:
    """A write-ahead log that is open until nobody holds this any more.

    No lock of SQLite's is on it that closing it would drop: those of a WAL database are on the
    other two files.
    """

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def __del__(self) -> None:
        """Close it."""
        os.close(self.descriptor)


def until_free(action: Callable[[], object], patience: float) -> None:
    """Try ``action`` until it meets no lock, for ``patience`` seconds."""
    deadline = monotonic() + patience
    while True:
        try:
            action()
        except OperationalError as error:
            if "locked" not in str(error) or monotonic() >= deadline:
                raise
            sleep(LOCK_PAUSE)
        else:
            return


def writing(database: Database) -> AbstractContextManager[Any]:
    """Return a transaction that is to write, or a part of the one that is open already.

    A transaction that turns from reading to writing fails at once when another one has written,
    whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.
    """
    transaction: AbstractContextManager[Any] = database.atomic("IMMEDIATE")
    return transaction
