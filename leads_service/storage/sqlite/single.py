"""A SQLite database with a single connection, for the stub and for generating the document."""

import sqlite3
from pathlib import Path

from peewee import SqliteDatabase

from leads_service._compat.peewee import sqlite_connection
from leads_service.exceptions import StorageUnusableError
from leads_service.storage.errors import storage_errors
from leads_service.storage.sqlite.files import problem_with_database


class SingleConnectionDatabase(SqliteDatabase):
    """A database with one connection, and a snapshot to which it can be reset.

    It is not thread-safe: the caller serializes its use.
    """

    def __init__(self, file: Path | None = None):
        """Create a database on a file; in memory if ``file`` is None."""
        super().__init__(str(file or ":memory:"), thread_safe=False, check_same_thread=False)
        self._file = file
        self._saved = sqlite3.connect(":memory:", check_same_thread=False)

    def open(self) -> bool:
        """Open the connection, which stays open until ``close_for_good``.

        Returns:
            Whether the database is empty.

        Raises:
            StorageUnavailableError: The file can't be opened, or is not a database.
            StorageUnusableError: There can't be a database of this name.
        """
        if self._file is not None and (problem := problem_with_database(self._file)):
            raise StorageUnusableError(problem)
        with storage_errors:
            self.connect()
            return not self.get_tables() and not (self._file and self._file.stat().st_size)

    def save_state(self) -> None:
        """Save a snapshot of the database in memory; it replaces the previous one."""
        sqlite_connection(self).backup(self._saved)

    def restore_state(self) -> None:
        """Reset the database to the snapshot."""
        self._saved.backup(sqlite_connection(self))

    def close_for_good(self) -> None:
        """Close the connection and discard the snapshot."""
        self._saved.close()
        self.close()
