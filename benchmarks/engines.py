"""The database engines on which servers are compared: where the data is, how it gets there."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Protocol

import data
import psycopg
from data import Lead
from environment import HERE

sys.path.insert(0, str(HERE.parent))
from tests import postgres  # where the tests have their server from

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")  # PostgreSQL's defaults


class Engine(Protocol):
    """An engine; every folder of a server's has a database of its own.

    Attributes:
        name: Its name in the report; in small letters, on the command line.
        chart: The file name of its chart.
    """

    name: str
    chart: str

    def running(self) -> AbstractContextManager[None]:
        """Have the engine ready during the block."""

    def create(self, folder: Path) -> None:
        """Create the folder's database, if it has to be created at all."""

    def url(self, folder: Path) -> str:
        """Return the URL of the folder's database."""

    def fill(
        self,
        folder: Path,
        table: str,
        rows: Iterator[Lead],
        time: Callable[[datetime], str] | None = None,
    ) -> None:
        """Insert leads into a table.

        Args:
            folder: The folder; no process has its database open.
            table: The table, with columns named as the fields of ``Lead``.
            rows: The leads.
            time: Formats the times; by default as most do on this engine.
        """


class Sqlite(Engine):
    """A file in the folder."""

    name = "SQLite"
    chart = "chart.svg"

    def running(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def create(self, folder: Path) -> None:
        """Do nothing: who opens the file first creates it."""

    def url(self, folder: Path) -> str:
        """Return the URL of the file."""
        return f"sqlite:///{folder / 'bench.db'}"

    def fill(
        self,
        folder: Path,
        table: str,
        rows: Iterator[Lead],
        time: Callable[[datetime], str] | None = None,
    ) -> None:
        """Insert leads into a table."""
        data.fill(folder / "bench.db", table, rows, time or data.with_space)


class Postgresql(Engine):
    """A database, named as the folder, of one server for all."""

    name = "PostgreSQL"
    chart = "chart-postgresql.svg"

    def __init__(self) -> None:
        self._server: postgres.Server | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server during the block."""
        self._server = postgres.Server(*DURABLE)
        try:
            self._server.start()
            yield
        finally:
            self._server.remove()

    def create(self, folder: Path) -> None:
        """Create the database."""
        postgres.create(self._server_url, folder.name)

    def url(self, folder: Path) -> str:
        """Return the URL of the database."""
        return postgres.named(self._server_url, folder.name)

    @property
    def _server_url(self) -> str:
        assert self._server is not None, "not running"  # noqa: S101  # a mistake in the code
        return self._server.url

    def fill(
        self,
        folder: Path,
        table: str,
        rows: Iterator[Lead],
        time: Callable[[datetime], str] | None = None,
    ) -> None:
        """Insert leads, and leave nothing of that to be done later, while others are measured."""
        columns = ", ".join(Lead._fields)
        with psycopg.connect(self.url(folder), autocommit=True) as connection:
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                for lead in rows:
                    moments: tuple[object, ...] = lead[6:]
                    if time:
                        moments = time(lead.created_at), time(lead.updated_at)
                    copy.write_row((*lead[:6], *moments))
            last = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608  # our own names
            for statement in (last, "VACUUM ANALYZE", "CHECKPOINT"):
                connection.execute(statement.encode())


SQLITE, POSTGRESQL = Sqlite(), Postgresql()
ENGINES: tuple[Engine, ...] = (SQLITE, POSTGRESQL)
