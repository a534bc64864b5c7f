"""That each index on leads pays: without it, SQLite takes ten times the work for some page."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from peewee import SqliteDatabase

from leads_service.storage import queries
from leads_service.storage.base import Position
from leads_service.storage.queries import Statement
from leads_service.storage.sqlite import pages
from tests.helpers import migrated_file

THIRD = 6_000
LEADS = 3 * THIRD
AIM = 10  # times the work
# The oldest third of the leads has the company, the next the status, and the newest the scores that
# are asked for. So one filter finds nothing among the newest, and two of them nothing at all.
FILL = f"""
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO leads_lead (user_id, company_id, status, notes, score, created_at, updated_at)
    SELECT 1, company, status, '', score, moment, moment FROM (
        SELECT
            iif(n <= {THIRD}, 1, 2) AS company,
            iif(n > {THIRD} AND n <= 2 * {THIRD}, 'new', 'lost') AS status,
            iif(n > 2 * {THIRD}, 10 + n % 7, n % 7) AS score,
            strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n * 600, 'unixepoch') AS moment
        FROM numbers
    )
"""  # noqa: S608  # our own number
VALUES: Mapping[str, Any] = {
    "status": "new",
    "company_id": 1,
    "min_score": 10,
    "max_score": 16,
    "created_after": date(2026, 2, 1),
    "created_before": date(2026, 4, 1),
}
NONE_ONE_OR_TWO = chain.from_iterable(combinations(VALUES, size) for size in (0, 1, 2))
MIDDLE = Position("2026-03-10T00:00:00.000000Z", LEADS // 2)
PAGES = list(product(NONE_ONE_OR_TWO, (None, MIDDLE)))
INDEXES = """
    SELECT name FROM sqlite_schema
    WHERE type = 'index' AND tbl_name = 'leads_lead' AND sql IS NOT NULL ORDER BY name
"""


class Asked(NamedTuple):
    """A page as it is asked for."""

    sql: str
    values: list[Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("indexes") / "leads.db"
    file.write_bytes(migrated_file())
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA synchronous = off")
        connection.execute(FILL, (LEADS,))
    return file


@pytest.fixture
def connection(filled: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are rolled back."""
    with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = off")
        connection.execute("BEGIN")
        yield connection


def all_pages() -> list[Asked]:
    database = SqliteDatabase(":memory:")
    asked = []
    for names, last in PAGES:
        values = queries.page_values({name: VALUES[name] for name in names}, last)
        statement = Statement(database, pages.select_page(values.keys()))
        values |= {"user_id": 1, "limit": 51}
        asked.append(Asked(statement.sql, [values[name] for name in statement.names]))
    return asked


def work(connection: sqlite3.Connection, page: Asked, enough: int) -> int:
    """Return how many steps SQLite's virtual machine takes for a page, or ``enough`` if more."""
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return steps >= enough

    connection.set_progress_handler(count, 1)
    try:
        connection.execute(*page).fetchall()
    except sqlite3.OperationalError:  # interrupted
        if steps < enough:
            raise
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def useless(connection: sqlite3.Connection) -> list[str]:
    """Return the indexes without which no page takes ``AIM`` times the work."""
    asked = all_pages()
    usual = [work(connection, page, 10**6) for page in asked]
    found = []
    for (name,) in connection.execute(INDEXES).fetchall():
        connection.execute("SAVEPOINT whole")
        connection.execute(f'DROP INDEX "{name}"')
        pays = any(
            work(connection, page, AIM * before) >= AIM * before
            for page, before in zip(asked, usual, strict=True)
        )
        connection.execute("ROLLBACK TO whole")
        if not pays:
            found.append(name)
    return found


def test_each_index_makes_a_page_ten_times_faster(connection: sqlite3.Connection) -> None:
    assert useless(connection) == []


@pytest.mark.parametrize(
    "columns",
    [
        "user_id, company_id, status, score, created_at, id",  # for three filters
        "user_id, created_at, id",  # there is one already
        "user_id, updated_at",
    ],
)
def test_a_useless_index_is_found(connection: sqlite3.Connection, columns: str) -> None:
    connection.execute(f"CREATE INDEX leads_lead_further ON leads_lead ({columns})")
    assert "leads_lead_further" in useless(connection)
