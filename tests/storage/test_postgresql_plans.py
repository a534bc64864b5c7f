"""Which way PostgreSQL takes to a page, in a table that it believes to be large."""

import operator
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain, combinations, count
from typing import Any

import psycopg
import pytest
from peewee import PostgresqlDatabase

from leads_service._compat.peewee import connection_of
from leads_service.lead import FILTERS, Choice, Filter, Whole
from leads_service.storage import open_storage, queries
from leads_service.storage.base import Position
from leads_service.storage.postgresql import PostgresqlStorage, pages
from leads_service.storage.queries import SCORE_RANGE, Statement
from tests import postgres

NONE_ONE_OR_TWO = list(chain.from_iterable(combinations(FILTERS, size) for size in (0, 1, 2)))
LAST = (None, Position("2026-06-01T00:00:00.000000Z", 5))
MODES = ("force_custom_plan", "force_generic_plan")

# Company, status and score of the lead with the number n: what the statistics are made of.
LOOKS = {
    "uniform": "1 + n / 2, (ARRAY['new', 'contacted', 'lost'])[1 + n / 7 % 3], n * 37 % 101",
    "skewed": "CASE WHEN n % 2 = 0 THEN 1 ELSE n END, CASE WHEN n % 50 = 0 THEN 'lost' ELSE 'new'"
    " END, CASE WHEN n % 20 = 0 THEN n % 101 ELSE 0 END",
    "alike": "1, 'new', 0",
}
INSERT = """
    INSERT INTO leads_lead (user_id, company_id, status, score, notes, created_at, updated_at)
    SELECT 1, {}, '', moment, moment FROM (
        SELECT n, to_char(timestamp '2026-01-01' + n * interval '3 hours',
            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS moment
        FROM generate_series(1, 3000) AS n
    ) AS numbered
"""
# The planner multiplies leads per page by the pages that the file has.
LOOK_LARGE = """
    UPDATE pg_class SET reltuples = 1000000, relpages = pg_relation_size(oid) / 8192
    WHERE oid = 'leads_lead'::regclass
"""


@pytest.fixture(scope="module", params=[*LOOKS, None], ids=[*LOOKS, "never analyzed"])
def filled(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with leads of one look, or with leads that nothing is known of."""
    with postgres.scratch() as url:
        storage = open_storage(url)
        storage.migrate()
        storage.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE leads_lead SET (autovacuum_enabled = off)")
            connection.execute(INSERT.format(LOOKS[request.param or "alike"]).encode())
            if request.param is not None:
                connection.execute("ANALYZE leads_lead")
            connection.execute(LOOK_LARGE)
        yield url


@pytest.fixture(params=["ours", "a host's"])
def storage(request: pytest.FixtureRequest, filled: str) -> "Iterator[PostgresqlStorage]":
    storage = open_storage(
        filled if request.param == "ours" else PostgresqlDatabase(filled, prefer_psycopg3=True)
    )
    assert isinstance(storage, PostgresqlStorage)
    storage.connect()
    yield storage
    storage.dispose()


def value_of(one: Filter) -> Any:
    """Return a value that a filter may have; a bound of the score lets all leads pass."""
    if isinstance(one.kind, Choice):
        return one.kind.options[0]
    if isinstance(one.kind, Whole):
        return one.kind.maximum if one.condition is operator.le else one.kind.minimum
    return date(2026, 6, 1) if one.is_day else "x"


def plan(connection: Any, statement: Statement, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of a statement that is prepared, as ours are."""
    numbers = count(1)
    sql = "".join(f"${next(numbers)}" if part == "%s" else part for part in parts(statement.sql))
    connection.execute(f"PREPARE page AS {sql}")
    marks = ", ".join(["%s"] * len(statement.names))
    explain = f"EXPLAIN (FORMAT JSON) EXECUTE page ({marks})"
    given = [values[name] for name in statement.names]
    ((found,),) = psycopg.ClientCursor(connection).execute(explain, given).fetchall()
    connection.execute("DEALLOCATE page")
    return dict(found[0]["Plan"])


def parts(sql: str) -> Iterator[str]:
    """Yield the parts of a statement between its placeholders, and the placeholders."""
    first, *others = sql.split("%s")
    yield first
    for other in others:
        yield from ("%s", other)


def mistakes(node: Mapping[str, Any], *, sorts: bool, is_sorted: bool = False) -> Iterator[str]:
    """Yield what makes a page slow in a part of its plan.

    Args:
        node: The part.
        sorts: Whether the page may sort what a limit has left.
        is_sorted: Whether all that this part yields is sorted.
    """
    kind = node["Node Type"]
    if "Relation Name" in node and kind not in ("Index Scan", "Index Only Scan"):
        yield f"{kind} of {node['Relation Name']}"
    if "Relation Name" in node and is_sorted:
        yield f"a sort of all that {node.get('Index Name')} yields"
    if "Filter" in node:
        yield f"not found by {node.get('Index Name')}: {node['Filter']}"
    if kind.endswith("Sort"):
        if not sorts:
            yield kind
        is_sorted = True
    elif kind == "Limit":
        is_sorted = False
    for part in node.get("Plans", ()):
        yield from mistakes(part, sorts=sorts, is_sorted=is_sorted)


@pytest.mark.parametrize("last", LAST, ids=["first page", "cursor"])
@pytest.mark.parametrize("mode", MODES)
def test_plans(storage: "PostgresqlStorage", mode: str, last: Position | None) -> None:
    """Every condition is one of the index, which yields the page in its order."""
    connection = connection_of(storage.database)
    connection.execute(f"SET plan_cache_mode = {mode}")
    wrong = {}
    for names in NONE_ONE_OR_TWO:
        values = queries.page_values({name: value_of(FILTERS[name]) for name in names}, last)
        statement = Statement(storage.database, pages.select_page(values))
        with storage.planned_for_pages():
            found = plan(connection, statement, values | {"user_id": 1, "limit": 51})
        by_score = SCORE_RANGE[0] in values
        wrong["+".join(names)] = list(mistakes(found, sorts=by_score))
    assert {page: found for page, found in wrong.items() if found} == {}
