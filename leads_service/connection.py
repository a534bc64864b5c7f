"""A connection that is closed when its thread ends, and waiting for a lock with it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from peewee import OperationalError

LOCK_PAUSE = 0.0002  # seconds between two tries for a lock, about what a small write holds it


class Open:
    """A thread's connection, closed when the thread ends: sqlite3 would leave that to chance.

    With it goes the write-ahead log, which stays the same file as long as the connection is open.
    No lock of SQLite's is on it that closing it would drop: those of a WAL database are on the
    other two files.
    """

    def __init__(self, connection: Any, file: str):
        self._connection = connection
        self._file = file
        self._identity = _identity(file)
        self._log: int | None = None

    def is_current(self) -> bool:
        """Say whether the file still is the one that was opened."""
        return _identity(self._file) == self._identity

    def log(self) -> int:
        """Return the log's file descriptor."""
        if self._log is None:
            self._log = os.open(f"{self._file}-wal", os.O_RDONLY)
        return self._log

    def __del__(self) -> None:
        """Close both."""
        if self._log is not None:
            os.close(self._log)
        with suppress(sqlite3.ProgrammingError):  # from a thread that is not the connection's
            self._connection.close()


def _identity(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
