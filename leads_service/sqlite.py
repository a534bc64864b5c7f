"""What only SQLite speaks: its transactions. Its pragmas stand here and in ``pragmas``."""

import os
from contextlib import AbstractContextManager, suppress
from threading import Lock, local
from time import monotonic
from typing import Any

from peewee import Database, OperationalError, SqliteDatabase

from leads_service.connection import Open, until_free

IMPATIENCE = 1.0  # seconds; a small write takes a thousandth, a checkpoint some tenths
GLANCE = 0.1  # seconds between two looks at how long it has been
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
        self._turn = Lock()  # held by the thread of this process that writes, or is about to
        self._locked_since: float | None = None  # by another process, while a thread of ours waits
        self._mine = local()  # this thread's: what is open, and whether it has the turn

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises OperationalError if others hold the lock for too long.

        One thread of the process waits for other processes, for the whole timeout, and the others
        for that one. When it has waited for a second, they give up: were all of them to wait,
        nobody would be left to read.
        """
        self._take_turn()
        try:
            self.check_file()
            try:
                self._begin(lock_type)
            except OperationalError as error:
                if "readonly" not in str(error):
                    raise
                self.close()  # a file that could not be written when it was opened: perhaps it can
                self._begin(lock_type)
        except BaseException:
            self._let_others()
            raise

    def _begin(self, lock_type: str | None) -> None:
        connection = self.connection()  # this thread's; self.timeout is everybody's
        connection.execute("PRAGMA busy_timeout = 0")
        self._locked_since = self._locked_since or monotonic()
        try:
            until_free(lambda: super(Sqlite, self).begin(lock_type), self.timeout)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")
        self._locked_since = None

    def _take_turn(self) -> None:
        deadline = monotonic() + self.timeout
        while not self._turn.acquire(timeout=min(GLANCE, self.timeout)):
            now = monotonic()
            if now >= deadline or (self._locked_since and now - self._locked_since > IMPATIENCE):
                raise OperationalError("database is locked")
        self._mine.turn = True

    def check_file(self) -> None:
        """Raise OperationalError if this thread's connection is to a file that is not there now.

        It was deleted, or another one was put in its place; what is written to it would be lost.
        """
        if self.is_closed() or self._mine.open.is_current():
            return
        self.close()
        raise OperationalError(f"{self.database} was taken away or replaced")

    def commit(self) -> None:
        """Commit, and return when it is on the disk.

        With synchronous=FULL SQLite flushes the write-ahead log with the write lock held, so that
        there can't be more commits than flushes. Here the lock is free by then: the next writer
        goes on meanwhile, and one flush serves all who have written. What is flushed is the same
        file, and a checkpoint flushes it too before it uses it: https://www.sqlite.org/wal.html.
        """
        super().commit()
        self._let_others()
        try:
            flush(self._mine.open.log())
        except FileNotFoundError:
            if self.pragma("journal_mode") == "wal":
                raise
            # Otherwise there is no log, and SQLite has flushed the file itself.

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself: it does when the disk is full or fails."""
        try:
            if self.connection().in_transaction:
                super().rollback()
        finally:
            self._let_others()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open a connection for this thread; return whether it had none."""
        # For its owner alone. That it is there, or can't be made, is for SQLite to see.
        with suppress(OSError):
            os.close(os.open(self.database, os.O_CREAT | os.O_EXCL, 0o600))
        new = super().connect(reuse_if_open)
        if new:
            self._mine.open = Open(self.connection(), self.database)
        return new

    def close(self) -> bool:
        """Close this thread's connection; return whether it was open."""
        vars(self._mine).pop("open", None)
        return super().close()

    def _let_others(self) -> None:
        if vars(self._mine).pop("turn", False):
            self._turn.release()


def writing(database: Database) -> AbstractContextManager[Any]:
    """Return a transaction that is to write, or a part of the one that is open already.

    A transaction that turns from reading to writing fails at once when another one has written,
    whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.
    """
    transaction: AbstractContextManager[Any]
    if database.transaction_depth() == 0 and database.connection().in_transaction:
        transaction = database.savepoint()  # in a transaction that a host began by hand
    else:
        transaction = database.atomic("IMMEDIATE")
    return transaction
