"""What only SQLite speaks: its transactions. Its pragmas stand here and in ``pragmas``."""

import os
from contextlib import AbstractContextManager, suppress
from threading import local
from typing import Any

from peewee import Database, OperationalError, SqliteDatabase

from leads_service.connection import Open, until_free
from leads_service.turn import Flushes, Turn

PRAGMAS = {
    # A lead changes some ten pages, mostly by one line: half the size, half of what is written.
    # Of a database that exists it changes nothing.
    "page_size": 2048,  # bytes
    "synchronous": "normal",  # Sqlite.commit() does what "full" would do, after letting others in
    "foreign_keys": 1,
    "secure_delete": 1,  # what is deleted or replaced is overwritten with zeros in the file
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
        self._turn = Turn()
        self._flushes = Flushes()
        self._is_doubtful = False  # whether the log may have a part that is not on the disk
        self._mine = local()  # what this thread has opened

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises OperationalError if others hold the lock for too long."""
        self._turn.take(self.timeout)
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
            self._turn.let_go()
            raise

    def _begin(self, lock_type: str | None) -> None:
        connection = self.connection()  # this thread's; self.timeout is everybody's
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            with self._turn.waiting():
                until_free(lambda: super(Sqlite, self).begin(lock_type), self.timeout)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")

    def check_file(self) -> None:
        """Let go of a file that was deleted or replaced: what is written to it would be lost.

        Raises OperationalError if there is no other one.
        """
        if self.is_closed() or self._mine.open.is_current():
            return
        self.close()
        if not os.path.exists(self.database):
            raise OperationalError(f"{self.database} is not there any more")

    def commit(self) -> None:
        """Commit, and return when it is on the disk.

        With synchronous=FULL SQLite flushes the write-ahead log with the write lock held, so that
        there can't be more commits than flushes. Here the lock is free by then: the next writer
        goes on meanwhile, and one flush serves all who have written. What is flushed is the same
        file, and a checkpoint flushes it too before it uses it: https://www.sqlite.org/wal.html.
        """
        super().commit()
        number = self._flushes.count()
        self._turn.let_go()
        self._flushes.wait(number, self._flush)

    def _flush(self) -> None:
        try:
            if self._is_doubtful:
                self._write_anew()
            flush(self._mine.open.log())
        except FileNotFoundError:
            if self.pragma("journal_mode") == "wal":
                raise
            # Otherwise there is no log, and SQLite has flushed the file itself.
        except OSError:
            self._is_doubtful = True
            raise

    def _write_anew(self) -> None:
        """Move the whole log into the file: a flush that failed may have lost a part of it.

        The system forgets what it could not write, and the next flush says that all is well.
        """
        (is_busy, _, _) = self.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise OSError("the log could not be moved into the file")
        self._is_doubtful = False

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself: it does when the disk is full or fails."""
        try:
            if self.connection().in_transaction:
                super().rollback()
        finally:
            self._turn.let_go()

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
