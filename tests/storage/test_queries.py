"""Which way SQLite takes to a page: straight to its first lead, whatever is asked for."""

from datetime import date
from itertools import chain, combinations
from typing import Any

import pytest
from peewee import SqliteDatabase

from leads_service._compat.peewee import execute
from leads_service.state import AppState
from leads_service.storage import history, queries
from leads_service.storage.base import Figure, Position
from leads_service.storage.queries import Statement
from leads_service.storage.sqlite import pages
from tests.helpers import Caller, alone_and_embedded, sqlite_of

FILTERS: dict[str, Any] = {
    "status": "new",
    "company_id": 1,
    "min_score": 10,
    "max_score": 90,
    "created_after": date(2026, 1, 1),
    "created_before": date(2026, 12, 31),
}
NONE_ONE_OR_TWO = list(chain.from_iterable(combinations(FILTERS, size) for size in (0, 1, 2)))
LAST = [None, Position("2026-06-01T00:00:00.000000Z", 5)]


def plan(database: SqliteDatabase, filters: dict[str, Any], last: Position | None) -> str:
    """Return SQLite's plan for a page, a line per step."""
    values = queries.page_values(filters, last)
    statement = Statement(database, pages.select_page(values))
    rows = execute(database, f"EXPLAIN QUERY PLAN {statement.sql}", [None] * len(statement.names))
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("last", LAST, ids=["first page", "cursor"])
@pytest.mark.parametrize("names", NONE_ONE_OR_TWO, ids="+".join)
def test_plan(service: AppState, names: tuple[str, ...], last: Position | None) -> None:
    steps = plan(sqlite_of(service), {name: FILTERS[name] for name in names}, last).splitlines()
    reading = [step for step in steps if "INDEX leads_lead" in step]
    assert len(reading) == 1, "one index is read, and it alone decides what is read of it"
    for equal in {"status", "company_id"} & set(names):
        assert f"{equal}=?" in reading[0]
    by_score = not {"min_score", "max_score"}.isdisjoint(names)
    assert ("score=?" in reading[0]) is by_score
    ends = {"created_after": ">?", "created_before": "<?"}
    for end in ends.keys() & set(names):
        if end == "created_after" or last is None:
            assert f"created_at{ends[end]}" in reading[0]
    if last is not None:
        assert "(created_at,id)<(?,?)" in reading[0] or "created_at<?" in reading[0]
    # All that is ever sorted are the newest leads of each score, a page of each at most.
    sorting = [step for step in steps if "TEMP B-TREE" in step]
    assert bool(sorting) is by_score
    assert not any(step.startswith("SCAN") and "leads_lead" in step for step in steps)


def test_of_two_ends_in_time_the_nearer_one_counts() -> None:
    before = {"created_before": date(2026, 6, 1)}
    earlier = Position("2026-05-31T00:00:00.000000Z", 1)
    later = Position("2026-06-02T00:00:00.000000Z", 2)
    assert queries.page_values(before, earlier) == {
        "cursor": 1,
        "cursor_created_at": "2026-05-31T00:00:00.000000Z",
    }
    assert queries.page_values(before, later) == {"created_before": "2026-06-01T23:59:59.999999Z"}


def test_a_cursor_after_the_end_in_time(alice: Caller) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    early = f"/v1/leads?created_before=2026-11-21&cursor={lead['id']}"
    late = f"/v1/leads?created_before=2026-11-22&cursor={lead['id']}"
    assert alice.client.get(early).get_json()["data"] == []
    assert alice.client.get(late).get_json()["data"] == []


def test_a_page_is_one_row(service: AppState, alice: Caller) -> None:
    """Threads contend for the GIL at every row that Python's sqlite3 fetches."""
    for company_id in range(1, 6):
        alice.client.post("/v1/leads", json={"company_id": company_id})
    for filters in ({}, {"min_score": 0}, {"status": "lost"}):
        values = queries.page_values(filters, None)
        page = Statement(sqlite_of(service), pages.select_page(values.keys()))
        assert len(page.rows(values | {"user_id": alice.id, "limit": 51})) == 1


@alone_and_embedded
def test_the_queries_of_a_request_are_compiled_once(
    service: AppState, alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peewee takes longer to compile most of them than SQLite to run them."""
    compiled: list[None] = []
    database = sqlite_of(service)
    new_context = database.get_sql_context

    def get_sql_context(*args: Any, **options: Any) -> Any:
        compiled.append(None)
        return new_context(*args, **options)

    monkeypatch.setattr(database, "get_sql_context", get_sql_context)

    def send_all(company_id: int) -> None:
        lead = {"company_id": company_id}
        made = alice.client.post(
            "/v1/leads", json=lead, headers={"Idempotency-Key": f"{company_id}"}
        )
        one = f"/v1/leads/{made.get_json()['id']}"
        alice.client.patch(one, json={"notes": f"{company_id}"})
        statuses = [
            alice.client.get(path).status_code
            for path in (
                one,
                "/v1/leads",
                "/v1/leads?limit=1",
                f"/v1/leads?company_id={company_id}",
            )
        ]
        statuses.append(alice.client.get(f"/v1/leads?cursor={made.get_json()['id']}").status_code)
        statuses.append(alice.client.delete(one).status_code)
        assert statuses == [200] * 5 + [204]

    send_all(1)
    compiled.clear()
    send_all(2)
    assert compiled == []


@pytest.mark.parametrize("of_company", [False, True])
@pytest.mark.parametrize("query", history.COUNTS, ids=lambda query: query.__name__)
def test_what_the_progress_counts_is_in_an_index(
    service: AppState, query: Any, of_company: bool
) -> None:
    """In the order in which it is counted: nothing is sorted, and no row is looked up."""
    database = sqlite_of(service)
    statement = Statement(database, query(of_company=of_company))
    rows = execute(database, f"EXPLAIN QUERY PLAN {statement.sql}", [None] * len(statement.names))
    (step,) = [row[3] for row in rows]
    assert "COVERING INDEX" in step
    assert "(user_id=?" in step


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("company_id", [None, 1])
@pytest.mark.parametrize(
    ("event", "index"),
    [("reached", "leads_history_reached"), ("became", "leads_history_end"), ("left", "stay")],
)
def test_the_leads_of_a_figure_are_found_by_its_index(
    service: AppState, event: str, index: str, company_id: int | None, is_first: bool
) -> None:
    """In their order but for those of the same moment; of each one, only its own rows are read."""
    database = sqlite_of(service)
    figure = Figure(event, "converted", "", "", company_id)
    statement = Statement(database, history.drill_down(figure, is_first=is_first))
    rows = execute(database, f"EXPLAIN QUERY PLAN {statement.sql}", [None] * len(statement.names))
    steps = [row[3] for row in rows]
    for step in steps:
        if step.startswith("SEARCH t1 "):  # the leads themselves
            assert step.endswith("INTEGER PRIMARY KEY (rowid=?)")
        elif step.startswith("SEARCH other "):
            assert "PRIMARY KEY (user_id=? AND lead_id=?" in step
        elif step.startswith("SEARCH"):
            assert f"{index} (user_id=? AND" in step
    assert any(index in step for step in steps)
    assert not any(step.startswith("SCAN t") for step in steps)
