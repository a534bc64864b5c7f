"""A SQLite database for one process whose threads use it one at a time, such as a stub's."""

import sqlite3
from pathlib import Path

from peewee import SqliteDatabase

from leads_service.storage.errors import storage_errors


class SingleConnectionDatabase(SqliteDatabase):
    """A database with one connection, in memory unless it has a file, and a state to go back to.

    The caller sees to it that no two threads use it at once.
    """

    def __init__(self, file: Path | None = None):
        super().__init__(str(file or ":memory:"), thread_safe=False, check_same_thread=False)
        self._file = file
        self._saved = sqlite3.connect(":memory:", check_same_thread=False)

    def open(self) -> bool:
        """Open it, for good: in memory, it ends with the connection; return whether it is empty.

        Raises:
            StorageUnavailableError: The file can't be opened, or is no database.

        """
        with storage_errors:
            self.connect()
            return not self.get_tables() and not (self._file and self._file.stat().st_size)

    def save_state(self) -> None:
        """Remember the state of now."""
        self.connection().backup(self._saved)

    def restore_state(self) -> None:
        """Go back to the state that is kept."""
        self._saved.backup(self.connection())

    def close_for_good(self) -> None:
        """Close it, and forget the state that is kept."""
        self._saved.close()
        self.close()
