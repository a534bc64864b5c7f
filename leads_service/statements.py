"""Queries that are compiled once and run many times."""

from collections.abc import Mapping
from typing import Any

from peewee import Database, Node, Value


def parameter(name: str) -> Value:
    """Return a placeholder in a query for ``Statement``; its value is given at each run."""
    return Value(name, converter=False)


class Statement:
    """A query that is compiled once and run many times.

    Every value in the query has to be a ``parameter``. Peewee takes about 100 µs to build and
    compile a page's query, several times as long as SQLite needs to answer it.
    """

    def __init__(self, database: Database, query: Node):
        self._database = database
        self.sql, self.names = database.get_sql_context().sql(query).query()

    def run(self, values: Mapping[str, Any]) -> Any:
        """Run it with ``values`` by parameter name and return the database's own cursor."""
        return self._database.execute_sql(self.sql, [values[name] for name in self.names])
