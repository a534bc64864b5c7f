"""Queries that are compiled once and run many times."""

from collections.abc import Mapping
from typing import Any

import peewee
from peewee import Database, Node, Value

# What the driver raises in a block of it becomes Peewee's error, as in Peewee's own methods.
peewee_errors = peewee.__exception_wrapper__  # type: ignore[attr-defined]


def parameter(name: str) -> Value:
    """Return a placeholder in a query for ``Statement``; its value is given at each run."""
    return Value(name, converter=False)


def finds_any(query: Any, database: Database) -> bool:
    """Say whether the query finds a row.

    Peewee's exists() does too, but before its 4 only for models that are bound to a database.
    """
    return query.first(database) is not None


class Statement:
    """A query that is compiled once and run many times.

    Every value in the query has to be a ``parameter``. Peewee takes about 100 µs to build and
    compile a page's query, several times as long as SQLite needs to answer it.
    """

    def __init__(self, database: Database, query: Node):
        self._database = database
        self.sql, self.names = database.get_sql_context().sql(query).query()

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it with ``values`` by parameter name and return all rows, none for a mere write."""
        cursor = self._database.execute_sql(self.sql, [values[name] for name in self.names])
        with peewee_errors:  # what goes wrong while they are read is Peewee's error too
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
