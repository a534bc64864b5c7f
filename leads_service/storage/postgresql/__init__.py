"""The engine for PostgreSQL, and everything in the package that is specific to PostgreSQL."""

import psycopg

from leads_service.exceptions import ConfigError
from leads_service.storage.postgresql.database import has_special_characters
from leads_service.storage.postgresql.storage import PostgresqlStorage, PostgresqlUrlStorage

__all__ = ["PostgresqlStorage", "open_url"]


def open_url(url: str, busy_timeout: float) -> PostgresqlUrlStorage:
    """Return the storage on the database that a URL names.

    Args:
        url: ``postgresql://user:password@host:port/database?option=value``, as libpq takes it.
        busy_timeout: For how many seconds a write waits for a lock.

    Raises:
        ConfigError: The URL is not valid.
    """
    try:
        if not has_special_characters(url):
            return PostgresqlUrlStorage(url, busy_timeout=busy_timeout)
    except psycopg.ProgrammingError:
        pass  # its message may quote the URL, and with it the password
    raise ConfigError(
        "LEADS_DATABASE must be postgresql://user:password@host:5432/database, with the "
        "options of libpq behind a question mark and %XX for special characters"
    )
