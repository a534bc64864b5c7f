"""The engine for SQLite, and everything in the package that is specific to SQLite."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from leads_service.exceptions import ConfigError
from leads_service.storage.sqlite.files import problem_with_database
from leads_service.storage.sqlite.storage import SqliteFileStorage


def open_url(url: str, busy_timeout: float) -> SqliteFileStorage:
    """Return the storage on the file that a URL names; the file need not exist.

    Args:
        url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.
        busy_timeout: For how many seconds a write waits for the write lock.

    Raises:
        ConfigError: The URL does not name a file, or the file can't be written.
    """
    file = _file(url)
    if problem := problem_with_database(file):
        raise ConfigError(f"LEADS_DATABASE: {problem}")
    return SqliteFileStorage(file, busy_timeout=busy_timeout)


def _file(url: str) -> Path:
    with suppress(ValueError):  # not a URL
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/")
        beyond_the_path = parts.netloc or parts.query or parts.fragment
        named = path not in ("", ":memory:") and "\0" not in path
        if parts.scheme == "sqlite" and named and not beyond_the_path:
            return Path(path).resolve()  # SQLite keeps the WAL beside the file, not beside a link
    # Without what it is: that may hold a password.
    raise ConfigError(
        "LEADS_DATABASE must be sqlite:///relative/path or sqlite:////absolute/path, "
        "with %23, %25 and %3F for #, % and ?, or postgresql://user:password@host/database"
    )
