"""The store: opening a database, and waiting or not waiting for it.

What only SQLite speaks stands here and in the migrations, nowhere else.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import unquote, urlsplit

from peewee import Database, OperationalError, SqliteDatabase

from leads_service.config import ConfigError

LOCK_PAUSE = 0.0005  # seconds between two tries for a lock, about what a small write takes

PRAGMAS = {
    "synchronous": "normal",  # Sqlite.commit() does what "full" would do, after letting others in
    "foreign_keys": 1,
    "wal_autocheckpoint": 4000,  # pages; a lead changes about ten, and a checkpoint flushes twice
}

flush = getattr(os, "fdatasync", os.fsync)  # macOS has the second only


class StoreError(Exception):
    """A store that can't be used as it is; the message is one line that names the remedy."""


class Sqlite(SqliteDatabase):
    """A SQLite database whose write transactions wait for each other with short pauses.

    SQLite's own waiting pauses for up to 100 ms at a time, with which the unlucky one of 16
    clients waited for ten times as long as the others.
    """

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises OperationalError if others hold the lock for too long."""
        connection = self.connection()  # this thread's; self.timeout is everybody's
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            until_free(lambda: super(Sqlite, self).begin(lock_type), self.timeout)
        finally:
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


def open_database(url: str, *, busy_timeout: float = 5) -> Sqlite:
    """Return the SQLite database that ``url`` names; nothing is read or written yet.

    ``busy_timeout`` is how many seconds a write waits for another one to end. Raises ConfigError
    for a URL that names no SQLite file, or one whose folder is missing or can't be written.
    """
    file = _file(url)
    if not file.parent.is_dir():
        raise ConfigError(f"LEADS_DATABASE: the folder {file.parent} does not exist; create it")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigError(f"LEADS_DATABASE: {file} can't be written; check its owner and mode")
    # A transaction that turns from reading to writing fails at once when another one has written,
    # whatever the timeout: https://www.sqlite.org/isolation.html. IMMEDIATE waits its turn.
    return Sqlite(str(file), pragmas=PRAGMAS, timeout=busy_timeout, lock_type="IMMEDIATE")


def _file(url: str) -> Path:
    with suppress(ValueError):  # an address that is none
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/")
        beyond_the_path = parts.netloc or parts.query or parts.fragment
        named = path not in ("", ":memory:") and "\0" not in path
        if parts.scheme == "sqlite" and named and not beyond_the_path:
            return Path(path).absolute()
    raise ConfigError(
        "LEADS_DATABASE must be sqlite:///relative/path or sqlite:////absolute/path, "
        f"with %23, %25 and %3F for #, % and ?, not {url!r}"
    )


def touch(database: Database) -> None:
    """Read something from the store; raises PeeweeException if it can't be reached."""
    database.execute_sql("SELECT name FROM leads_migration LIMIT 1").fetchone()


@contextmanager
def in_haste(database: Database) -> Iterator[None]:
    """Let writes in the block wait neither for a lock (OperationalError) nor for the disk."""
    if not isinstance(database, SqliteDatabase):
        yield
        return
    haste = {"busy_timeout": 0, "wal_autocheckpoint": 0}
    usual = {name: database.pragma(name) for name in haste}
    try:
        for name, value in haste.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
