"""Measure the pages of the list on PostgreSQL, whatever its planner believes of the leads.

    .venv/bin/python benchmarks/plans.py

prints a table and writes it to plans.md beside this file: for each distribution of the leads and
each state of the statistics, the slowest of the pages with every filter and every pair of filters.
``--leads`` tries it with fewer.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from itertools import product
from statistics import median
from typing import Any, NamedTuple

import psycopg
import report
from engines import postgres
from environment import HERE
from growth import one_or_two
from peewee import PostgresqlDatabase

from leads_service._compat.peewee import execute
from leads_service.exceptions import StorageUnavailableError
from leads_service.storage import open_storage
from leads_service.storage.base import Position
from leads_service.storage.postgresql import PostgresqlStorage

OWN = 1_000_000  # leads of one user; a tenth as many belong to a hundred others
FEW = 1_000  # leads of which the stale statistics were made
GIVE_UP = 1  # seconds after which a page is not waited for
ROUGHLY, PRECISELY, AGAIN = 3, 15, 5  # samples of every page, samples of the slowest, how many
LIMIT, MAX_BYTES = 50, 2**20
AIM = 10  # times the page without filters

# Company, status and score of a lead, by its number from 1 in order of time, and its part of all.
SPREADS = {
    "uniform": (
        "1 + n % 1000",
        "(ARRAY['new', 'contacted', 'lost'])[1 + n / 7 % 3]",
        "n * 37 % 101",
    ),
    # Every walk in order of time that looks for the rare ones is a long one; and with so many
    # companies, each is believed to have few leads.
    "skewed": (
        "CASE WHEN part > 0.5 THEN 1 ELSE 1 + n END",
        "CASE WHEN part > 0.02 THEN 'new' ELSE 'lost' END",
        "CASE WHEN part > 0.05 THEN 10 ELSE n % 101 END",
    ),
    "alike": ("1", "'new'", "10"),
}
# Values that match most of the leads, some and next to none, in one spread or the other.
VALUES: dict[str, tuple[Any, ...]] = {
    "status": ("new", "lost", "converted"),
    "company_id": (1, 7, 999_999),
    "min_score": (0, 51, 100),
    "max_score": (100, 50, 0),
    "created_after": (date(2000, 1, 1), date(2025, 7, 1), date(2025, 12, 31)),
    "created_before": (date(2099, 1, 1), date(2025, 7, 1), date(2025, 1, 1)),
}
INSERT = """
    INSERT INTO leads_lead
        (user_id, company_id, status, notes, score, created_at, updated_at)
    SELECT CASE WHEN n % 11 = 0 THEN 2 + n % 100 ELSE 1 END, {company}, {status},
        'Met at the fair, wants an offer ' || lpad(n::text, 8, '0'), {score}, moment, moment
    FROM (
        SELECT n, n::float / {count} AS part, to_char(
            timestamp '2025-01-01' + n / 2 * 2 * (interval '1 year' / {count}),
            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
        ) AS moment
        FROM generate_series({first}, {last}) AS n
    ) AS numbered
"""
FORGET = """
    DELETE FROM pg_statistic WHERE starelid = 'leads_lead'::regclass;
    UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = 'leads_lead'::regclass
        OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'leads_lead'::regclass)
"""

NOTES = """\
{own:,} leads of one user and {others:,} of a hundred others. The {count} pages with no, one and two
filters, each the first one and one in the middle, by `Storage.page` in one process, without HTTP;
once with plans for the values that are asked for (`plan_cache_mode=force_custom_plan`) and
once with plans for any (`force_generic_plan`), of which PostgreSQL takes the one or the other.
Times are medians; shown is the worse of the two. The ratio is to the page without filters, "over"
the number of pages that take more than {aim} times as long; one that takes {give_up} s is given up.

- Fresh statistics are those of `VACUUM ANALYZE`; stale ones were made of the first {few:,} leads.
- "uniform": 3 statuses, 1,000 companies and all scores. "skewed": the newest 98 % have one status,
  the newest half one company and the others one each, and all but the oldest twentieth one score.
  "alike": all have the same status, company and score.
- "host" is a Peewee database of a host's, whose settings are PostgreSQL's own.
"""
Filters = Mapping[str, Any]


class Slowest(NamedTuple):
    """The slowest page of a database, in seconds, beside the one without filters."""

    plain: float
    slowest: float
    page: str
    over: int  # pages that take longer than ``AIM`` times the plain one


def databases(url: str) -> dict[str, PostgresqlStorage]:
    """Return the storages to compare."""
    hosts = PostgresqlDatabase(url, prefer_psycopg3=True)
    storages = {"ours": open_storage(url), "host": open_storage(hosts)}
    return {
        name: storage
        for name, storage in storages.items()
        if isinstance(storage, PostgresqlStorage)
    }


def run(url: str, sql: str) -> None:
    """Run statements."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def states(url: str, spread: str, own: int) -> Iterator[str]:
    """Fill the table, and yield the name of each state of its statistics when it has it."""
    company, status, score = SPREADS[spread]
    count = own + own // 10

    def insert(first: int, last: int) -> None:
        values = {"company": company, "status": status, "score": score, "count": count}
        run(url, INSERT.format(**values, first=first, last=last))

    run(url, "TRUNCATE leads_lead RESTART IDENTITY")
    insert(1, FEW)
    run(url, "VACUUM ANALYZE leads_lead")
    insert(FEW + 1, count)
    yield "stale"
    run(url, FORGET)
    yield "none"
    run(url, "VACUUM ANALYZE leads_lead")
    yield "fresh"


def seconds(storage: PostgresqlStorage, filters: Filters, after: Position | None) -> float:
    """Return how long a page takes; ``GIVE_UP`` if it takes longer."""
    began = time.perf_counter()
    try:
        storage.page(1, filters, after=after, limit=LIMIT, max_bytes=MAX_BYTES)
    except StorageUnavailableError:
        return GIVE_UP
    return time.perf_counter() - began


def slowest(storage: PostgresqlStorage, own: int) -> Slowest:
    """Find the slowest page, in two rounds: all roughly, the slowest few precisely."""
    middle = storage.position(1, own // 2 // 11 * 11 + 1)
    asked = [*product([{}, *map(dict, one_or_two(VALUES))], (None, middle))]

    def typical(page: tuple[Filters, Position | None], samples: int) -> float:
        if (first := seconds(storage, *page)) >= GIVE_UP:
            return first
        return median(seconds(storage, *page) for _ in range(samples))

    roughly = sorted(((typical(page, ROUGHLY), number) for number, page in enumerate(asked)))
    plain = typical(asked[0], PRECISELY)
    slow = sum(took > AIM * plain for took, _ in roughly)
    again = [number for _, number in roughly[-max(slow, AGAIN) :]]
    precisely = [(typical(asked[number], PRECISELY), number) for number in again]
    worst, number = max(precisely)
    filters, after = asked[number]
    terms = [f"{name}={value}" for name, value in filters.items()]
    page = "&".join(terms + ["cursor"] * (after is not None))
    return Slowest(plain, worst, page, sum(took > AIM * plain for took, _ in precisely))


def with_either_plan(storage: PostgresqlStorage, own: int) -> Slowest:
    """Find the slowest page of plans that were made for the values and of plans for any."""
    found = []
    for mode in ("force_custom_plan", "force_generic_plan"):
        storage.connect()
        execute(storage.database, f"SET plan_cache_mode = {mode}")
        execute(storage.database, f"SET statement_timeout = '{GIVE_UP}s'")
        found.append(slowest(storage, own))
        storage.dispose()
    worst = max(found, key=lambda one: one.slowest / one.plain)
    return worst._replace(over=max(one.over for one in found))


@contextmanager
def filled_server() -> Iterator[str]:
    """Have a server with our tables for the block, and the URL of its database."""
    server = postgres.Server(*postgres.FASTER, "autovacuum=off", "max_wal_size=8GB")
    try:
        server.start()
        storage = open_storage(server.url)
        storage.migrate()
        storage.dispose()
        yield server.url
    finally:
        server.remove()


def measure(own: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| leads | statistics | database | no filter, ms | slowest, ms | ratio | page | over |"
    yield "|---|---|---|--:|--:|--:|---|--:|"
    with filled_server() as url:
        for spread in SPREADS:
            for statistics in states(url, spread, own):
                for name, storage in databases(url).items():
                    found = with_either_plan(storage, own)
                    cells = (
                        f"{found.plain * 1000:.2f}",
                        f"{found.slowest * 1000:.2f}",
                        f"{found.slowest / found.plain:.1f}",
                        f"`{found.page}`",
                        str(found.over),
                    )
                    yield f"| {' | '.join((spread, statistics, name, *cells))} |"


def main() -> int:
    """Run the measurement, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--leads", type=int, default=OWN, help=f"of one user; {OWN:,}")
    own = parser.parse_args().leads
    lines = []
    for line in measure(own):
        print(line, flush=True)
        lines.append(line)
    if own == OWN:
        count = 2 * (1 + sum(1 for _ in one_or_two(VALUES)))
        notes = NOTES.format(
            own=own, others=own // 10, count=count, give_up=GIVE_UP, few=FEW, aim=AIM
        )
        text = "\n\n".join(("# Plans", report.machine(), "\n".join(lines), notes))
        (HERE / "plans.md").write_text(text)
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
