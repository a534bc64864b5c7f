"""Persistence: the ``Storage`` protocol, and an engine for each kind of database.

Each engine has a folder here. Peewee and SQL are used in this package only.
"""

from collections.abc import Callable
from typing import Any

from peewee import Database, DatabaseProxy, PostgresqlDatabase, SqliteDatabase

from leads_service.extras import import_extra
from leads_service.storage import sqlite
from leads_service.storage.base import Storage
from leads_service.storage.sqlite.storage import SqliteStorage

# A URL, or a Peewee database that belongs to the caller.
DatabaseLike = str | Database | DatabaseProxy


def open_storage(database: DatabaseLike, *, busy_timeout: float = 5) -> Storage:
    """Return the storage on a database, without connecting to it.

    Args:
        database: A URL, or a Peewee database that belongs to the caller.
        busy_timeout: For how many seconds a write waits for the write lock. Only for a URL; a
            caller's database has its own timeout.

    Raises:
        ConfigError: The URL does not name a database, or it names one that can't be written.
        TypeError: ``database`` is neither a URL nor a database that an engine supports.
    """
    if isinstance(database, str):
        # Such as postgresql+psycopg://, which the engine refuses without quoting it.
        is_postgres = database.lower().startswith("postgres")
        open_url = _postgresql().open_url if is_postgres else sqlite.open_url
        storage: Storage = open_url(database, busy_timeout)
        return storage
    if isinstance(database, DatabaseProxy):
        database = database.obj
    for kind, engine in DATABASES.items():
        if isinstance(database, kind) and not database.deferred:
            return engine(database)
    raise TypeError(
        "database must be a Peewee SqliteDatabase that knows its file, a PostgresqlDatabase, "
        f"or a URL such as sqlite:////var/lib/crm/leads.db, not {database!r}"
    )


def _postgresql() -> Any:
    """Return the engine for PostgreSQL, whose driver is an extra."""
    return import_extra("leads_service.storage.postgresql", "postgresql")


# The engines by the class of a caller's Peewee database.
DATABASES: dict[type[Database], Callable[[Any], Storage]] = {
    SqliteDatabase: SqliteStorage,
    PostgresqlDatabase: lambda database: _postgresql().PostgresqlStorage(database),
}
