"""GET /v1/leads."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads_service.api.schemas import LeadPageSchema
from leads_service.lead import MAX_INTEGER, STATUSES, timestamp
from leads_service.leads import DEFAULT_LIMIT, LeadService
from leads_service.state import AppState
from leads_service.storage.models import Lead
from tests.filters import COMPANIES, FILTERS, SCORES, passes
from tests.helpers import Caller, Clock, alone_and_embedded, database_of

pytestmark = alone_and_embedded


def create(caller: Caller, clock: Clock, count: int, **body: object) -> list[dict[str, Any]]:
    """Create leads a second apart and return them as a list shows them: newest first."""
    leads = []
    for number in range(count):
        clock.move(seconds=1)
        leads.append(
            caller.client.post("/v1/leads", json={"company_id": number + 1} | body).get_json()
        )
    return leads[::-1]


def walk(caller: Caller, url: str) -> list[list[dict[str, Any]]]:
    """Follow the Link headers from ``url`` and return the pages."""
    pages = []
    while url:
        answer = caller.client.get(url)
        assert answer.status_code == 200
        pages.append(answer.get_json()["data"])
        url = answer.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
        assert answer.get_json()["has_more"] is bool(url)
        assert (answer.get_json()["next_cursor"] is None) is not bool(url)
    return pages


def test_no_leads(alice: Caller) -> None:
    answer = alice.client.get("/v1/leads")
    assert answer.status_code == 200
    assert answer.json == {"data": [], "next_cursor": None, "has_more": False}
    assert "Link" not in answer.headers


def test_newest_first(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 3)
    assert alice.client.get("/v1/leads").json == {
        "data": leads,
        "next_cursor": None,
        "has_more": False,
    }


def test_ties_go_by_id(alice: Caller) -> None:
    ids = [
        alice.client.post("/v1/leads", json={"company_id": 1}).get_json()["id"] for _ in range(3)
    ]
    assert [lead["id"] for lead in alice.client.get("/v1/leads").get_json()["data"]] == ids[::-1]
    assert [lead["id"] for page in walk(alice, "/v1/leads?limit=1") for lead in page] == ids[::-1]


def test_pages(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 5)
    assert walk(alice, "/v1/leads?limit=2") == [leads[:2], leads[2:4], leads[4:]]
    assert walk(alice, "/v1/leads?limit=5") == [leads]


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["\U0001f600", "\x01", "a"])
def test_a_page_of_long_notes_ends_at_a_mebibyte(alice: Caller, clock: Clock, letter: str) -> None:
    short = create(alice, clock, 3)
    leads = create(alice, clock, 120, notes=letter * 10_000) + short
    for query in ("limit=200", "limit=200&min_score=10", "limit=200&status=new", "limit=123"):
        pages = walk(alice, f"/v1/leads?{query}")
        assert [lead for page in pages for lead in page] == leads
        assert len(pages) > 1
        for page in pages[:-1]:
            size, longest = len(dumped(page)), len(dumped(page[:1]))
            assert 1024**2 - longest < size <= 1024**2 + len("[]")


def dumped(leads: list[dict[str, Any]]) -> bytes:
    """Return the leads as a page has them: a line each."""
    return b"[" + b",\n".join(map(orjson.dumps, leads)) + b"]"


def test_default_limit(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 51)
    assert walk(alice, "/v1/leads") == [leads[:50], leads[50:]]


def test_link_keeps_the_filters(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 3)
    answer = alice.client.get("/v1/leads?status=new&limit=1&created_after=2026-01-01")
    link = urlsplit(answer.headers["Link"].removeprefix("<").removesuffix('>; rel="next"'))
    assert (link.scheme, link.netloc, link.path) == ("http", "localhost", "/v1/leads")
    assert dict(parse_qsl(link.query)) == {
        "status": "new",
        "limit": "1",
        "created_after": "2026-01-01",
        "cursor": str(leads[0]["id"]),
    }


def test_leads_created_meanwhile_do_not_disturb_a_walk(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 4)
    first = alice.client.get("/v1/leads?limit=2").get_json()
    create(alice, clock, 3)
    second = alice.client.get(f"/v1/leads?limit=2&cursor={first['next_cursor']}").get_json()
    assert first["data"] + second["data"] == leads
    assert second["has_more"] is False


def test_a_cursor_need_not_pass_the_filter_any_more(alice: Caller, clock: Clock) -> None:
    leads = create(alice, clock, 3)
    first = alice.client.get("/v1/leads?limit=1&status=new").get_json()
    alice.client.patch(f"/v1/leads/{first['next_cursor']}", json={"status": "lost"})
    rest = alice.client.get(f"/v1/leads?status=new&cursor={first['next_cursor']}").get_json()
    assert rest["data"] == leads[1:]


RANGE = f"Must be from 1 to {2**63 - 1}."


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("status=won", {"status": [f"Must be one of: {', '.join(STATUSES)}."]}),
        ("status=", {"status": [f"Must be one of: {', '.join(STATUSES)}."]}),
        ("status=new&status=lost", {"status": ["Must not be given more than once."]}),
        ("company_id=0", {"company_id": [RANGE]}),
        ("company_id=9223372036854775808", {"company_id": [RANGE]}),
        ("company_id=", {"company_id": ["Not a valid integer."]}),
        ("company_id=1.0", {"company_id": ["Not a valid integer."]}),
        ("company_id=1_0", {"company_id": ["Not a valid integer."]}),
        ("company_id=%2B1", {"company_id": ["Not a valid integer."]}),
        ("company_id=%201", {"company_id": ["Not a valid integer."]}),
        ("company_id=%D9%A1", {"company_id": ["Not a valid integer."]}),
        ("company_id=" + "9" * 5000, {"company_id": ["Not a valid integer."]}),
        ("min_score=-1", {"min_score": ["Must be from 0 to 100."]}),
        ("max_score=101", {"max_score": ["Must be from 0 to 100."]}),
        ("min_score=5&max_score=4", {"min_score": ["Must not be greater than max_score."]}),
        ("created_after=2026-02-30", {"created_after": ["Not a valid date."]}),
        ("created_after=20260201", {"created_after": ["Not a valid date."]}),
        ("created_after=2026-W01-1", {"created_after": ["Not a valid date."]}),
        ("created_before=0000-01-01", {"created_before": ["Not a valid date."]}),
        ("created_before=2026-01-01T00:00:00Z", {"created_before": ["Not a valid date."]}),
        (
            "created_after=2026-01-02&created_before=2026-01-01",
            {"created_after": ["Must not be greater than created_before."]},
        ),
        ("cursor=abc", {"cursor": ["Not a valid integer."]}),
        ("cursor=9223372036854775808", {"cursor": [RANGE]}),
        ("cursor=1", {"cursor": ["Must be the next_cursor of a page of yours."]}),
        ("limit=0", {"limit": ["Must be from 1 to 200."]}),
        ("limit=201", {"limit": ["Must be from 1 to 200."]}),
        ("Status=new", {"Status": ["Unknown field."]}),
        ("statsu=new", {"statsu": ["Unknown field."]}),
        ("=new", {"": ["Unknown field."]}),
        ("%FF=new", {"%FF": ["Unknown field."]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_parameters(alice: Caller, query: str, errors: dict[str, list[str]]) -> None:
    answer = alice.client.get(f"/v1/leads?{query}")
    assert answer.status_code == 422
    assert answer.json == {
        "code": 422,
        "status": "Unprocessable Entity",
        "message": "The request is not valid; see errors.",
        "errors": {"query": errors},
    }


# Moments around the midnights of three days, in UTC, so that a bound that is off by one shows.
MOMENTS = [
    datetime(2026, 11, day, hour, minute, second, micro, UTC)
    for day in (22, 23, 24)
    for hour, minute, second, micro in ((0, 0, 0, 0), (12, 0, 0, 0), (23, 59, 59, 999_999))
]
LEADS = st.lists(
    st.tuples(
        st.sampled_from(MOMENTS), COMPANIES, st.sampled_from(STATUSES), st.sampled_from(SCORES)
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(leads=LEADS, filters=FILTERS, limit=st.none() | st.integers(1, 30))
def test_filters_against_plain_python(
    leads: list[tuple[datetime, int, str, int]],
    filters: dict[str, Any],
    limit: int | None,
    service: AppState,
    alice: Caller,
    bob: Caller,
    clock: Clock,
) -> None:
    Lead.delete().execute(database_of(service))
    scored: Iterator[int] = iter(())
    made = LeadService(service.storage, lambda **_: next(scored), clock)
    mine = []
    for number, (moment, company_id, status, points) in enumerate(leads):
        clock.now = moment
        scored = iter((points, points))
        owner = (alice, bob)[number % 5 == 4]
        lead = made.create(owner.id, {"company_id": company_id})
        lead = made.update(owner.id, lead["id"], {"status": status})
        if owner is alice:
            mine.append(lead)
    mine.sort(key=lambda lead: (lead["created_at"], lead["id"]), reverse=True)
    query = urlencode(filters if limit is None else filters | {"limit": limit})
    pages = walk(alice, f"/v1/leads?{query}")
    expected = [lead for lead in mine if passes(lead, filters)]
    assert [lead for page in pages for lead in page] == expected
    longest = limit or DEFAULT_LIMIT
    assert [len(page) for page in pages[:-1]] == [longest] * (len(pages) - 1)
    assert len(pages[-1]) <= longest


IDS = st.integers(1, MAX_INTEGER)
NOTES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
TIMESTAMPS = st.datetimes(timezones=st.just(UTC)).map(timestamp)


@given(
    leads=st.lists(
        st.tuples(IDS, st.sampled_from(STATUSES), NOTES, st.integers(0, 100), TIMESTAMPS)
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_schema_would_answer_the_same(
    alice: Caller, service: AppState, leads: list[tuple[Any, ...]]
) -> None:
    """Pages go out without the schema, for speed; it says what they look like all the same."""
    names = ("company_id", "status", "notes", "score", "created_at")
    rows = [dict(zip(names, lead, strict=True)) for lead in leads]
    with database_of(service).atomic() as transaction:
        for row in rows:
            Lead.insert(user_id=alice.id, updated_at=row["created_at"], **row).execute(
                database_of(service)
            )
        stored = Lead.select().where(Lead.user_id == alice.id)
        stored = stored.order_by(Lead.created_at.desc(), Lead.id.desc())
        dumped = LeadPageSchema().dump(
            {
                "data": list(stored.dicts().execute(database_of(service))),
                "next_cursor": None,
                "has_more": False,
            }
        )
        page = service.leads.page(alice.id, limit=200)
        transaction.rollback()
    page = page._replace(data=orjson.loads(page.data))
    assert orjson.dumps(page._asdict()) == orjson.dumps(dumped)
