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
    "synchronous": "full",  # a commit returns when it is on the disk
    "foreign_keys": 1,
}


class StoreError(Exception):
    """A store that can't be used as it is; the message is one line that names the remedy."""


class Sqlite(SqliteDatabase):
    """A SQLite database whose write transactions wait for each other with short pauses.

    SQLite's own waiting pauses for up to 100 ms at a time, with which the unlucky one of 16
    clients waited for ten times as long as the others.
    """

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises OperationalError if others hold the lock for too long."""
        self.pragma("busy_timeout", 0)  # this thread's connection; self.timeout is everybody's
        try:
            until_free(lambda: super(Sqlite, self).begin(lock_type), self.timeout)
        finally:
            self.pragma("busy_timeout", int(self.timeout * 1000))


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
    haste = {"busy_timeout": 0, "synchronous": "normal", "wal_autocheckpoint": 0}
    usual = {name: database.pragma(name) for name in haste}
    try:
        for name, value in haste.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
