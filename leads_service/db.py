"""The store: where it is, and whether it can be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from peewee import PeeweeException, SqliteDatabase

from leads_service.config import ConfigError
from leads_service.sqlite import PRAGMAS, Sqlite, close_for_good


class StoreError(Exception):
    """A store that can't be used as it is; the message is one line that names the remedy."""


def open_database(url: str, *, busy_timeout: float = 5) -> Sqlite:
    """Return the SQLite database that ``url`` names; nothing is read or written yet.

    ``busy_timeout`` is how many seconds a write waits for another one to end. Raises ConfigError
    for a URL that names no SQLite file, or one whose folder is missing or can't be written.
    """
    file = _file(url)
    try:
        if not file.parent.is_dir():
            raise ConfigError(f"LEADS_DATABASE: the folder {file.parent} does not exist; create it")
        usable = not file.exists() or file.is_file()
        if not usable or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise ConfigError(f"LEADS_DATABASE: {file} can't be written; check its owner and mode")
    except OSError as error:
        raise ConfigError(f"LEADS_DATABASE: {file} can't be used: {error.strerror}") from error
    return Sqlite(str(file), pragmas=PRAGMAS, busy_timeout=busy_timeout)


def _file(url: str) -> Path:
    with suppress(ValueError):  # an address that is none
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/")
        beyond_the_path = parts.netloc or parts.query or parts.fragment
        named = path not in ("", ":memory:") and "\0" not in path
        if parts.scheme == "sqlite" and named and not beyond_the_path:
            return Path(path).resolve()  # SQLite keeps its log beside the file, not beside a link
    raise ConfigError(
        "LEADS_DATABASE must be sqlite:///relative/path or sqlite:////absolute/path, "
        f"with %23, %25 and %3F for #, % and ?, not {url!r}"
    )


def connect(database: SqliteDatabase) -> bool:
    """Open the database unless it is open; return whether it was not.

    Raises StoreError for a file that is no database.
    """
    try:
        return bool(database.connect(reuse_if_open=True))
    except PeeweeException as error:
        raise StoreError(f"cannot use {database.database}: {error}") from error


@contextmanager
def opened(database: SqliteDatabase) -> Iterator[None]:
    """Close the database for good at the end of the block, if it was not open at its beginning."""
    ours = connect(database)
    try:
        yield
    finally:
        if ours:
            close_for_good(database)


def touch(database: SqliteDatabase) -> None:
    """Read something from the database; raises PeeweeException if it can't be reached."""
    ours = database.connect(reuse_if_open=True)
    try:
        database.execute_sql("SELECT name FROM leads_migration LIMIT 1").fetchone()
    finally:
        if ours:
            database.close()
