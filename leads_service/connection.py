"""A connection that is closed when its thread ends."""

import os
import sqlite3
from contextlib import suppress
from typing import Any


class Open:
    """A thread's connection, closed when the thread ends: sqlite3 would leave that to chance.

    With it goes the write-ahead log, which stays the same file as long as the connection is open.
    No lock of SQLite's is on it that closing it would drop: those of a WAL database are on the
    other two files.
    """

    def __init__(self, connection: Any, log: str):
        self._connection = connection
        self._path = log
        self._log: int | None = None

    def log(self) -> int:
        """Return the log's file descriptor."""
        if self._log is None:
            self._log = os.open(self._path, os.O_RDONLY)
        return self._log

    def __del__(self) -> None:
        """Close both."""
        if self._log is not None:
            os.close(self._log)
        with suppress(sqlite3.ProgrammingError):  # from a thread that is not the connection's
            self._connection.close()
