"""SQLite's settings and indexes, changed for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from peewee import SqliteDatabase


@contextmanager
def in_haste(database: SqliteDatabase) -> Iterator[None]:
    """Let writes in the block wait neither for a lock (OperationalError) nor for the disk."""
    with _pragmas(database, busy_timeout=0, wal_autocheckpoint=0):
        yield


@contextmanager
def in_bulk(database: SqliteDatabase) -> Iterator[None]:
    """Give a write that changes a great part of the store 32 MB to do it in, instead of 2."""
    with _pragmas(database, cache_size=-32_000):
        yield


@contextmanager
def erasing(database: SqliteDatabase) -> Iterator[None]:
    """Overwrite with zeros what is deleted in the block, in a host's file too."""
    with _pragmas(database, secure_delete=1):
        yield


@contextmanager
def indexed_afterwards(database: SqliteDatabase, table: str) -> Iterator[None]:
    """Drop the table's indexes and make them anew at the end of the block, in a transaction.

    Sorted, a million rows go into seven indexes in 6 seconds; one by one it takes them 20.
    """
    indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"
    made = database.execute_sql(f"{indexes} AND sql IS NOT NULL", (table,)).fetchall()
    for name, _ in made:
        database.execute_sql(f'DROP INDEX "{name}"')
    yield
    for _, sql in made:
        database.execute_sql(sql)


@contextmanager
def _pragmas(database: SqliteDatabase, **values: int) -> Iterator[None]:
    usual = {name: database.pragma(name) for name in values}
    try:
        for name, value in values.items():
            database.pragma(name, value)
        yield
    finally:
        for name, value in usual.items():
            database.pragma(name, value)
