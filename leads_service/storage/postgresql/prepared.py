"""Prepared statements without psycopg's cursors."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

MAX_PREPARED = 100  # statements of a connection; psycopg keeps as many


class PreparingConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that runs prepared statements by libpq.

    For each, a cursor takes more processor time than that: "statements without cursors" in
    ``benchmarks/pieces.py``.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._transformer = Transformer(self)
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._numbers = count()

    def fetch(self, query: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a query, and return its rows; none of a command that has no rows.

        Args:
            query: The query, with the placeholders $1, $2 and so on. It is prepared the first time.
            values: The values of the placeholders.

        Raises:
            psycopg.Error: As by a cursor.
        """
        transformer = self._transformer
        given = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types = transformer.types or ()
        name = self._names.get((query, types)) or self._prepare(query, types)
        self.pgconn.send_query_prepared(name, given, transformer.formats)
        result = self._result()
        if result.status != ExecStatus.TUPLES_OK:
            return []
        transformer.set_pgresult(result)
        rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
        transformer.set_pgresult(None)  # or an idle connection would keep it in memory
        return rows

    def _prepare(self, query: bytes, types: tuple[int, ...]) -> bytes:
        if len(self._names) >= MAX_PREPARED:
            self.execute("DEALLOCATE ALL")
            self._names.clear()
        name = b"leads_%d" % next(self._numbers)  # a new one, whatever came of the last
        self.pgconn.send_prepare(name, query, types)
        self._result()
        self._names[query, types] = name
        return name

    def _result(self) -> PGresult:
        result: PGresult = self.wait(execute(self.pgconn))[-1]
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result, self.info.encoding)
        return result
