"""Measure each piece of code that exists for speed, with it and without it.

    .venv/bin/python benchmarks/pieces.py

prints a table and writes it to pieces.md beside this file. Each piece is replaced here at run time
by the plain code that would do instead; the service itself has no switches. ``--quick`` only
checks, on little data, that every piece can be replaced and measured.
"""

import argparse
import atexit
import logging as stdlib_logging
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, NamedTuple
from unittest.mock import patch
from wsgiref.types import WSGIApplication

import data
import orjson
import report
import wrk
from contenders import OURS, prepare_ours
from engines import postgres
from environment import HERE
from flask import Flask, Response
from measure import CREATE, LIST, creates, list_load
from peewee import SQL, Database, Node, SqliteDatabase, fn
from servers import BenchError
from webargs.flaskparser import FlaskParser
from werkzeug.test import EnvironBuilder
from wrk import Load

from leads_service import __main__ as command_line
from leads_service import create_app, logging, scoring, transfer
from leads_service.accounts import Accounts
from leads_service.api.middleware import SerializeReads
from leads_service.api.parsing import StrictParser
from leads_service.api.responses import WholeResponse
from leads_service.app import Application
from leads_service.cli import supervisor, workers
from leads_service.lead import FIELDS, timestamp, utc_now
from leads_service.leads import LeadService
from leads_service.state import state_of
from leads_service.storage import queries
from leads_service.storage.base import Page
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.models import Lead
from leads_service.storage.postgresql import PostgresqlStorage
from leads_service.storage.postgresql.database import Connection
from leads_service.storage.postgresql.storage import PostgresqlUrlStorage
from leads_service.storage.queries import Statement, parameter
from leads_service.storage.sqlite import database as sqlite
from leads_service.storage.sqlite import pages
from leads_service.storage.sqlite.storage import SqliteFileStorage, SqliteStorage

CREATED = b'{"company_id": 42, "notes": "Called"}'
WITHOUT = "PIECES_WITHOUT"  # names the piece that a server under test does without

FULL: dict[str, Any] = {
    "leads": 20_200,
    "pairs": 3,
    "budget": 1.5,
    "requests": 200,
    "pages": 100,
    "creates": 200,
    "rows": 10_000,
}
QUICK: dict[str, Any] = {
    "leads": 1_010,
    "pairs": 1,
    "budget": 0,
    "requests": 10,
    "pages": 10,
    "creates": 16,
    "rows": 10_000,
}

NOTES = """\
Times of one request, page, create or row: medians, with the piece and without it by turns. Those of
a GET or POST are processor time of one thread, which asks the application in its own process;
those "of the server" are of `serve` with a worker for each processor, asked over 16 connections: a
second divided by the requests that it answered in a second, unless a percentile is named. The
ratio is the median of "without" by "with" of each pair of measurements: above 1, the piece pays.
Beside other programs, the figures of several threads or processes vary by a third from run to run;
those of the one piece that is asked for with `--only NAME --budget SECONDS` vary less.

"Body as a list" is there for clients that read slowly, which hold no thread with it, and the
recursive CTE for ranges of scores with many leads, for which SQLite would sort them all.

"""
Swap = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Bench:
    """Where it is measured, and how much."""

    folder: Path  # with leads in bench.db
    token: str
    pairs: int  # of measurements at least, with and without by turns; further ones for
    budget: float  # seconds in all
    requests: int
    pages: int  # of each thread
    creates: int  # in all
    rows: int  # of an import, of a bulk insert and of a move

    @property
    def url(self) -> str:
        """Return the URL of the database with the leads."""
        return f"sqlite:///{self.folder}/bench.db"

    @contextmanager
    def empty_storage(self) -> Iterator[SqliteFileStorage]:
        """Make a storage without leads for the block."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            storage = SqliteFileStorage(Path(folder, "leads.db"))
            storage.migrate()
            storage.add_user("bench", timestamp(utc_now()))
            storage.dispose()
            yield storage
            storage.dispose()


Measure = Callable[[Bench], float]  # in seconds


@dataclass(frozen=True)
class Piece:
    """A piece of code, how it is done without, and what that is measured by."""

    name: str
    measured: str
    without: Swap
    measure: Measure


# How it is measured


def request_time(
    path: str, body: bytes = b"", url_of: Callable[[Bench], str] = lambda bench: bench.url
) -> Measure:
    """Return a measurement of one request after the other: the processor time of one.

    Args:
        path: What is asked for.
        body: The body of a POST; a GET has none.
        url_of: Returns the URL of the database, which has the bench's token.
    """

    def measure(bench: Bench) -> float:
        app = create_app({"LEADS_DATABASE": url_of(bench)}, migrate=False)
        ask = asking(app, app.wsgi_app, path, bench, body)
        ask()
        began = time.process_time()
        ask()
        return (time.process_time() - began) / bench.requests

    return measure


def threads_time(path: str, threads: int, *, is_host: bool = False) -> Measure:
    """Return a measurement of the time of one GET when some threads send them.

    Args:
        path: What they ask for.
        threads: How many there are.
        is_host: Whether to go round our middleware, as in a host, which does not have it.
    """

    def measure(bench: Bench) -> float:
        app = create_app({"LEADS_DATABASE": bench.url}, migrate=False)
        ask = asking(app, partial(Flask.wsgi_app, app) if is_host else app.wsgi_app, path, bench)
        ask()
        return side_by_side(ask, threads) / bench.requests / threads

    return measure


def asking(
    app: Flask, wsgi_app: WSGIApplication, path: str, bench: Bench, body: bytes = b""
) -> Callable[[], None]:
    """Return a function that lets an application answer a request ``bench.requests`` times."""
    headers = {"Authorization": f"Bearer {bench.token}"}
    more = {"method": "POST", "content_type": "application/json"} if body else {}
    environ = EnvironBuilder(path, headers=headers, data=body, **more).get_environ()

    def ask() -> None:
        statuses: list[str] = []
        for _ in range(bench.requests):
            sent = environ | {"wsgi.input": BytesIO(body)}
            answer = wsgi_app(sent, lambda status, *_: statuses.append(status))
            b"".join(answer)
            if close := getattr(answer, "close", None):
                close()
        if set(statuses) != {"201 CREATED" if body else "200 OK"}:
            raise BenchError(f"{path} was answered {set(statuses)}")

    return ask


def page_time(filters: Mapping[str, Any], threads: int = 1, share: int = 1) -> Measure:
    """Return a measurement of the time of one page of the storage.

    Args:
        filters: Those that the leads pass.
        threads: How many ask for it at once.
        share: By what to divide ``Bench.pages``, where one takes long.
    """

    def measure(bench: Bench) -> float:
        storage = SqliteFileStorage(bench.folder / "bench.db")

        def ask() -> None:
            storage.connect()
            for _ in range(bench.pages // share):
                storage.page(1, filters, after=None, limit=50, max_bytes=2**20)
            storage.close()

        elapsed = side_by_side(ask, threads)
        storage.dispose()
        return elapsed / (bench.pages // share) / threads

    return measure


def server_time(kind: str, figure: Callable[[Load], float] = lambda load: 1 / load.rate) -> Measure:
    """Return a measurement of ``serve``, with a worker for each processor, over 16 connections.

    Args:
        kind: ``LIST`` or ``CREATE``.
        figure: Of the load, in seconds; one second by how many requests were answered in it.
    """

    def measure(bench: Bench) -> float:
        command = (sys.executable, str(HERE / "pieces.py"), "--serve", "{port}")
        server = replace(OURS, command=command)

        def load() -> Load:
            if kind == LIST:
                return list_load(server, [base], bench.token, 1)
            return wrk.load([base], bench.token, creates(server), 1)

        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            shutil.copy(bench.folder / "bench.db", folder)
            with server.running(Path(folder)) as (base, _):
                server.await_page(base, bench.token)
                load()  # to warm up
                return figure(load())

    return measure


def create_time(threads: int) -> Measure:
    """Return a measurement of the time of one create when some threads create."""

    def measure(bench: Bench) -> float:
        with bench.empty_storage() as storage:
            count = bench.creates // threads
            create = partial(create_leads, storage, count)
            return side_by_side(create, threads) / count / threads

    return measure


def create_leads(storage: SqliteFileStorage, count: int) -> list[float]:
    """Create leads as requests do, each with a connection for it alone; return their times."""
    leads = LeadService(storage, scoring.points_by_stage)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        storage.connect()
        try:
            leads.create(1, {"company_id": 1, "notes": "Met at the fair, wants an offer soon"})
        finally:
            storage.close()
        times.append(time.perf_counter() - began)
    return times


def postgresql_time(bench: Bench) -> float:
    """Look a token up on PostgreSQL, as a request does; return the processor time of one."""
    storage = PostgresqlUrlStorage(postgresql(bench))
    with storage.opened():
        for _ in range(2):  # the first times prepare
            began = time.process_time()
            for _ in range(bench.requests):
                storage.token("unknown")
            taken = time.process_time() - began
    return taken / bench.requests


@cache
def postgresql(bench: Bench) -> str:
    """Start a PostgreSQL server for the rest of the program; return the URL of our tables.

    They have a user with the bench's token.
    """
    server = postgres.Server(*postgres.FASTER)
    atexit.register(server.remove)
    server.start()
    state = state_of(create_app({"LEADS_DATABASE": server.url}))
    state.accounts.add_user("bench")
    state.accounts.create_token("bench", token=bench.token)
    state.storage.dispose()
    return server.url


@contextmanager
def cursors() -> Iterator[None]:
    """Run the statements of the block by psycopg's cursors, which prepare them."""
    connect = Connection.connect

    def connect_preparing(url: str, **options: Any) -> Connection:
        return connect(url, **options | {"prepare_threshold": 1})

    with (
        patch.object(PostgresqlUrlStorage, "statement", PostgresqlStorage.statement),
        patch.object(Connection, "connect", connect_preparing),
    ):
        yield


def reading_each_token() -> AbstractContextManager[Any]:
    """Read the caller's token from the database at each request of the block."""
    read = Accounts.caller
    return patch.object(Accounts, "caller", lambda self, token, may_defer: read(self, token))


def worst_create_time(bench: Bench) -> float:
    """Create leads in four processes at once; return the 99th percentile of their times."""
    processes = 4
    context = multiprocessing.get_context("fork")  # so that they inherit what is replaced
    with bench.empty_storage() as storage, context.Pool(processes) as pool:
        arguments = [(storage.location, bench.creates // processes)] * processes
        found = pool.starmap(create_in_process, arguments)
    return statistics.quantiles(chain.from_iterable(found), n=100)[98]


def create_in_process(file: str, count: int) -> list[float]:
    """Create leads in a process that has no storage yet; return their times."""
    return create_leads(SqliteFileStorage(Path(file)), count)


def import_time(bench: Bench) -> float:
    """Import rows of a file; return the time of one."""
    row = {"company_id": 1, "status": "new", "notes": "Met at the fair"}
    row |= dict.fromkeys(("created_at", "updated_at"), timestamp(utc_now()))
    rows = [(number, dict(row)) for number in range(1, bench.rows + 1)]
    with bench.empty_storage() as storage:
        owner, score = transfer.owned_by(1), scoring.points_by_stage
        began = time.perf_counter()
        count = transfer.import_leads(
            storage, score, owner, rows, utc_now(), print, lambda users: None
        )
        elapsed = time.perf_counter() - began
    if count != bench.rows:
        raise BenchError(f"{count} of {bench.rows} rows were imported")
    return elapsed / bench.rows


def insert_time(bench: Bench) -> float:
    """Insert leads in bulk into an empty store; return the time of one."""
    with bench.empty_storage() as storage:
        began = time.perf_counter()
        insert(storage, bench.rows)
        return (time.perf_counter() - began) / bench.rows


def move_time(bench: Bench) -> float:
    """Give all leads of one user to another; return the time of one."""
    with bench.empty_storage() as storage, storage.opened():
        insert(storage, bench.rows)
        leads = LeadService(storage, scoring.points_by_stage)
        began = time.perf_counter()
        leads.reassign(1, 2)
        return (time.perf_counter() - began) / bench.rows


def insert(storage: SqliteFileStorage, count: int) -> None:
    """Store leads in bulk, with values that lie anywhere in an index."""
    with storage.opened():
        storage.insert_leads(
            (
                {name: getattr(lead, name) for name in FIELDS if name != "id"}
                | {"company_id": 1 + number * 7919 % 10_007, "score": number * 31 % 101}
                | dict.fromkeys(("created_at", "updated_at"), timestamp(lead.created_at))
                for number, lead in enumerate(data.leads(count, lambda number: 1))
            ),
            lambda owners: None,
        )


def side_by_side(action: Callable[[], object], threads: int) -> float:
    """Run an action in some threads at once, and return the seconds until the last has ended."""
    everybody = Barrier(threads + 1)

    def run() -> None:
        everybody.wait()
        action()
        everybody.wait()

    started = [Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    everybody.wait()
    began = time.perf_counter()
    everybody.wait(timeout=60)
    elapsed = time.perf_counter() - began
    for thread in started:
        thread.join()
    return elapsed


# What there would be without a piece


class Uncompiled:
    """A statement that is compiled whenever it is run."""

    def __init__(self, database: Database, query: Node):
        self.database, self.query = database, query

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Compile it and run it."""
        return Statement(self.database, self.query).rows(values)


def page_built_each_time(
    self: SqliteStorage, user_id: int, filters: Mapping[str, Any], **options: Any
) -> Page:
    """Build and compile a page's query whenever it is asked for."""
    values = queries.page_values(filters, options["after"])
    values |= {"user_id": user_id, "limit": options["limit"] + 1}
    ((leads,),) = Statement(self.database, pages.select_page(values.keys())).rows(values)
    return pages.page_of(leads, options["limit"], options["max_bytes"])


def page_of_python_rows(
    self: SqliteStorage, user_id: int, _: Mapping[str, Any], *, limit: int, **options: Any
) -> Page:
    """Fetch each lead as a row, and let orjson write them."""
    rows = unfiltered(self.database, as_json=False).rows({"user_id": user_id, "limit": limit + 1})
    leads = [dict(zip(FIELDS, row, strict=True)) for row in rows[:limit]]
    return Page(orjson.dumps(leads).decode(), leads[-1]["id"], has_more=len(rows) > limit)


def page_of_json_rows(
    self: SqliteStorage, user_id: int, _: Mapping[str, Any], *, limit: int, **options: Any
) -> Page:
    """Fetch each lead as a row that is JSON already."""
    rows = unfiltered(self.database, as_json=True).rows({"user_id": user_id, "limit": limit + 1})
    leads = ",\n".join(lead for _, lead in rows[:limit])
    return Page(f"[{leads}]", rows[limit - 1][0], has_more=len(rows) > limit)


@lru_cache
def unfiltered(database: Database, *, as_json: bool) -> Statement:
    """Return the query for a page without filters and without a cursor."""
    names = chain.from_iterable((SQL(f"'{name}'"), getattr(Lead, name)) for name in FIELDS)
    columns = [Lead.id, fn.json_object(*names)] if as_json else queries.columns()
    leads = Lead.select(*columns).where(queries.OWNED_BY_USER)
    leads = leads.order_by(Lead.created_at.desc(), Lead.id.desc())
    return Statement(database, leads.limit(parameter("limit")))


@contextmanager
def request_log_by_logger() -> Iterator[None]:
    """Let the logger and its handler write a line for each request."""

    def through_logger(level: str, message: str, fields: dict[str, Any]) -> None:
        logging.logger.log(getattr(stdlib_logging, level.upper()), message, extra={"own": fields})

    def emit(self: logging.JsonHandler, record: Any, write: Any = logging.write) -> None:
        write(record.levelname.lower(), logging.printable(record.getMessage()), record.own)

    with (
        patch.object(logging, "write", through_logger),
        patch.object(logging.JsonHandler, "emit", emit),
    ):
        yield


@contextmanager
def flushed_by_sqlite() -> Iterator[None]:
    """Let SQLite flush at each commit, with its lock on the file held."""
    with (
        patch.object(sqlite, "flush", lambda _: None),
        patch.dict(sqlite.PRAGMAS, synchronous="full"),
    ):
        yield


@contextmanager
def uncompiled() -> Iterator[None]:
    """Build a page's query for each page, and compile each query."""
    with (
        patch("leads_service.storage.database.Statement", Uncompiled),
        patch.object(SqliteStorage, "page", page_built_each_time),
    ):
        yield


@contextmanager
def scores_as_range() -> Iterator[None]:
    """Treat the bounds on the score like any other filter."""
    none = ("", "")
    with patch.object(pages, "SCORE_RANGE", none), patch.object(queries, "SCORE_RANGE", none):
        yield


def begin_with_busy_handler(self: sqlite.Sqlite, lock_type: str | None) -> None:
    """Begin a transaction, and let SQLite wait for its lock."""
    with self.write_lock.waiting_for_file():
        SqliteDatabase.begin(self, lock_type)


def pieces() -> Iterator[Piece]:
    """Yield every piece."""
    for kind in (LIST, CREATE):
        yield Piece(
            "workers bound to processors",
            f"a {kind} of the server",
            lambda: patch.object(supervisor, "processors_for", lambda workers: []),
            server_time(kind),
        )
        yield Piece(
            "batch scheduling",
            f"a {kind} of the server",
            lambda: patch.object(workers, "schedule_in_batches", lambda: None),
            server_time(kind),
        )
    yield Piece(
        "serialized reads",
        "a list of the server, 99th percentile",
        lambda: patch.object(SerializeReads, "__call__", lambda self, *args: self._app(*args)),
        server_time(LIST, lambda load: load.p99 / 1000),
    )
    yield Piece(
        "serialized reads",
        "GET /v1/leads, threads: 8",
        lambda: patch.object(SerializeReads, "__call__", lambda self, *args: self._app(*args)),
        threads_time("/v1/leads", 8),
    )
    for measured, measure in (
        ("a list of the server", server_time(LIST)),
        ("GET /v1/leads in a host, threads: 8", threads_time("/v1/leads", 8, is_host=True)),
        ("a page of the storage, threads: 1", page_time({}, 1)),
        ("a page of the storage, threads: 8", page_time({}, 8)),
    ):
        yield Piece(
            "page as one row (GIL)",
            measured,
            lambda: patch.object(SqliteStorage, "page", page_of_json_rows),
            measure,
        )
    yield Piece(
        "body as a list (WholeResponse)",
        "a list of the server",
        lambda: patch.object(WholeResponse, "get_app_iter", Response.get_app_iter),
        server_time(LIST),
    )
    for path in ("/v1/leads/1", "/v1/leads"):
        yield Piece(
            "compiled statements",
            f"GET {path}",
            uncompiled,
            request_time(path),
        )
    yield Piece(
        "JSON by SQLite",
        "GET /v1/leads",
        lambda: patch.object(SqliteStorage, "page", page_of_python_rows),
        request_time("/v1/leads"),
    )
    for score, found in ((0, "all leads"), (31, "ten leads")):
        yield Piece(
            "newest of each score (recursive CTE)",
            f"a page of the storage, min_score={score}: {found}",
            scores_as_range,
            page_time({"min_score": score}, share=10),
        )
    for path in ("/v1/leads", "/v1/leads?status=new&min_score=1&created_after=2024-01-01"):
        yield Piece(
            "parse cache",
            f"GET {path}",
            lambda: patch.object(StrictParser, "parse", FlaskParser.parse),
            request_time(path),
        )
    yield Piece(
        "request log written directly",
        "GET /v1/leads/1",
        request_log_by_logger,
        request_time("/v1/leads/1"),
    )
    for measured, measure in (
        ("GET /v1/leads", request_time("/v1/leads")),
        ("POST /v1/leads", request_time("/v1/leads", CREATED)),
    ):
        yield Piece(
            "ensure_sync",
            measured,
            lambda: patch.object(Application, "ensure_sync", Flask.ensure_sync),
            measure,
        )
        yield Piece(
            "URL adapter",
            measured,
            lambda: patch.object(Application, "create_url_adapter", Flask.create_url_adapter),
            measure,
        )
        yield Piece(
            "headers as they are",
            measured,
            lambda: patch.object(WholeResponse, "get_wsgi_headers", Response.get_wsgi_headers),
            measure,
        )
    yield Piece(
        "is_plainly_valid",
        "a row of an import",
        lambda: patch.object(transfer, "is_plainly_valid", lambda row: False),
        import_time,
    )
    yield Piece(
        "indexes made anew",
        "a lead of a bulk insert",
        lambda: patch.object(SqliteStorage, "_indexed_afterwards", lambda self: nullcontext()),
        insert_time,
    )
    yield Piece(
        "indexes made anew",
        "a lead of a move",
        lambda: patch.object(SqliteStorage, "_indexed_afterwards", lambda self: nullcontext()),
        move_time,
    )
    for measured, measure in (
        ("a create, threads: 1", create_time(1)),
        ("a create, threads: 8", create_time(8)),
        ("a create of the server", server_time(CREATE)),
    ):
        yield Piece(
            "group commit",
            measured,
            lambda: patch.object(SqliteFileStorage, "transact", DatabaseStorage.transact),
            measure,
        )
    yield Piece(
        "flush without the file's lock",
        "a create of the server",
        flushed_by_sqlite,
        server_time(CREATE),
    )
    yield Piece(
        "commit delay",
        "a create of the server",
        lambda: patch.object(sqlite.Sqlite, "delay_commit", lambda self: None),
        server_time(CREATE),
    )
    yield Piece(
        "retry_while_locked",
        "a create, processes: 4, 99th percentile",
        lambda: patch.object(sqlite.Sqlite, "_begin", begin_with_busy_handler),
        worst_create_time,
    )
    for threads in (1, 8):
        yield Piece(
            "page_size 2048",
            f"a create, threads: {threads}",
            lambda: patch.dict(sqlite.PRAGMAS, page_size=4096),
            create_time(threads),
        )
    yield Piece(
        "statements without cursors", "a token on PostgreSQL, not found", cursors, postgresql_time
    )
    yield Piece(
        "deferred check of tokens",
        "POST /v1/leads on PostgreSQL",
        reading_each_token,
        request_time("/v1/leads", CREATED, postgresql),
    )
    yield Piece(
        "connection pool",
        "GET /v1/leads/1",
        lambda: patch.object(sqlite, "MAX_IDLE_CONNECTIONS", 0),
        request_time("/v1/leads/1"),
    )


# The program


class Row(NamedTuple):
    """What was found of a piece: medians of seconds, and of the ratios of the pairs."""

    piece: Piece
    with_it: float
    without: float
    ratio: float


def compare(piece: Piece, bench: Bench) -> Row:
    """Measure a piece with and without, by turns."""
    deadline = time.monotonic() + bench.budget
    pairs: list[tuple[float, float]] = []
    while len(pairs) < bench.pairs or time.monotonic() < deadline:
        pair = [0.0, 0.0]
        for is_without in (False, True) if len(pairs) % 2 else (True, False):
            with replaced(piece.name) if is_without else nullcontext():
                pair[is_without] = piece.measure(bench)
        pairs.append((pair[0], pair[1]))
    with_it, without = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(without / with_it for with_it, without in pairs)
    return Row(piece, with_it, without, ratio)


@contextmanager
def replaced(name: str) -> Iterator[None]:
    """Do without a piece in the block, and in a server that is started in it."""
    piece = next(piece for piece in pieces() if piece.name == name)
    with patch.dict(os.environ, {WITHOUT: name}), piece.without():
        yield


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| piece | measured | with | without | ratio |", "|---|---|--:|--:|--:|"]
    for row in rows:
        times = [f"{seconds * 1e6:,.1f} µs" for seconds in (row.with_it, row.without)]
        words = (row.piece.name, row.piece.measured, *times, f"{row.ratio:.2f}")
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def main() -> int:
    """Run what the arguments ask for, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="check that all of it works")
    parser.add_argument("--only", default="", help="the pieces with this in their names")
    parser.add_argument("--budget", type=float, help="seconds for each measurement of a piece")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        with replaced(os.environ[WITHOUT]) if WITHOUT in os.environ else nullcontext():
            count = str(len(workers.available_processors()) or 1)
            sys.argv[1:] = ["serve", "--port", str(arguments.serve), "--workers", count]
            command_line.main()
    busy = os.getloadavg()[0]
    try:
        wrk.version()  # it is needed later
        with (
            tempfile.TemporaryDirectory(prefix="leads-bench-") as name,
            open(os.devnull, "w") as nowhere,  # as a server's log in run.py
        ):
            folder = Path(name)
            sizes = dict(QUICK if arguments.quick else FULL)
            if arguments.budget is not None:
                sizes["budget"] = arguments.budget
            bench = Bench(folder, prepare_ours(folder, sizes.pop("leads")), **sizes)
            rows = []
            for piece in pieces():
                if arguments.only in piece.name:
                    with patch.object(sys, "stderr", nowhere):
                        rows.append(compare(piece, bench))
                    print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    load = f"Load average of the machine at the beginning, without this program: {busy:.1f}."
    text = "\n\n".join(("# Pieces", report.machine(), table(rows), NOTES + load)) + "\n"
    print(text)
    if not arguments.quick and not arguments.only:
        (HERE / "pieces.md").write_text(text)
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
