"""What only SQLite speaks: its transactions, its pragmas, its indexes.

Nothing else of it stands anywhere but in the migrations.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
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
        # Our connection is open, so the file stays. No lock of SQLite's is on it that closing
        # a second descriptor would drop: those of a WAL database are on the other two files.
        log = os.open(f"{self.database}-wal", os.O_RDONLY)
        try:
            flush(log)
        finally:
            os.close(log)

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself: it does when the disk is full or fails."""
        if self.connection().in_transaction:
            super().rollback()


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


@contextmanager
def in_haste(database: Database) -> Iterator[None]:
    """Let writes in the block wait neither for a lock (OperationalError) nor for the disk."""
    with _pragmas(database, busy_timeout=0, wal_autocheckpoint=0):
        yield


@contextmanager
def in_bulk(database: Database) -> Iterator[None]:
    """Give a write that changes a great part of the store 32 MB to do it in, instead of 2."""
    with _pragmas(database, cache_size=-32_000):
        yield


@contextmanager
def indexed_afterwards(database: Database, table: str) -> Iterator[None]:
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
def _pragmas(database: Database, **values: int) -> Iterator[None]:
    if not isinstance(database, SqliteDatabase):
        yield
        return
    usual = {name: database.pragma(name) for name in values}
    try:
        for name, value in values.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
