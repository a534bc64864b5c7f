"""The progress of a user: cases whose figures can be told by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from leads_service.lead import STATUSES, timestamp
from leads_service.progress import MAX_WEEKS, Funnel, Outcome, Progress, Stays, Step, Week
from leads_service.state import AppState
from tests.helpers import Caller, Clock

HOUR = 3600
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _on_a_monday(clock: Clock) -> None:
    clock.now = MONDAY


class Teller:
    """Lets a user's leads go their ways, an hour for each step."""

    def __init__(self, service: AppState, clock: Clock, user_id: int):
        self.service, self.clock, self.user_id = service, clock, user_id

    def lead(self, *statuses: str, company_id: int = 1) -> int:
        """Create a lead and take it through statuses; return its id."""
        lead = self.service.leads.create(self.user_id, {"company_id": company_id})
        for status in statuses:
            self.clock.move(hours=1)
            self.service.leads.update(self.user_id, lead["id"], {"status": status})
        return int(lead["id"])

    def came(self, status: str, company_id: int = 1) -> None:
        """Let a lead come from a file: created a day ago, changed an hour ago."""
        now = self.clock()
        lead = {"company_id": company_id, "status": status, "notes": "", "score": 1}
        lead |= {"user_id": self.user_id, "created_at": timestamp(now - timedelta(days=1))}
        lead["updated_at"] = timestamp(now - timedelta(hours=1))
        self.service.storage.insert_leads([lead], lambda owners: None)

    def progress(self, span: Any = None, company_id: int | None = None) -> Progress:
        """Return the progress to a second from now, with what has just happened."""
        self.clock.move(seconds=1)
        return self.service.leads.progress(self.user_id, span, company_id)


@pytest.fixture
def teller(service: AppState, clock: Clock, alice: Caller) -> Teller:
    return Teller(service, clock, alice.id)


def funnel(new: int, contacted: int, qualified: int, converted: int, lost: int = 0) -> Funnel:
    counts = (new, contacted, qualified, converted)
    shares = [n / of if of else None for n, of in zip(counts, (new, *counts), strict=False)]
    return Funnel(tuple(map(Step, STATUSES, counts, shares)), lost)


def stays(progress: Progress) -> dict[str, tuple[int, int | None, int | None]]:
    """Return the stays by status; without those of which there are none."""
    return {stay.status: stay[1:] for stay in progress.stays if stay.ended}


def test_without_leads(teller: Teller) -> None:
    for span in (None, timedelta(days=30)):
        progress = teller.progress(span)
        assert progress.funnel == funnel(0, 0, 0, 0)
        assert progress.weeks == ()
        assert progress.stays == tuple(Stays(status, 0, None, None) for status in STATUSES)
        assert progress.outcome == (0, 0, 0)
        assert progress.outcome.conversion_rate is None
        assert progress.before == (None if span is None else (0, 0, 0))


@pytest.mark.parametrize(
    ("statuses", "reached"),
    [
        ([], funnel(1, 0, 0, 0)),
        (["contacted"], funnel(1, 1, 0, 0)),
        (["contacted", "qualified", "converted"], funnel(1, 1, 1, 1)),
        (["converted"], funnel(1, 1, 1, 1)),  # those skipped count
        (["qualified", "contacted", "new"], funnel(1, 1, 1, 0)),  # back
        (["contacted", "new", "contacted", "qualified"], funnel(1, 1, 1, 0)),  # counts once
        (["lost"], funnel(1, 0, 0, 0, lost=1)),
        (["qualified", "lost"], funnel(1, 1, 1, 0, lost=1)),
        (["lost", "contacted", "lost", "converted"], funnel(1, 1, 1, 1, lost=1)),  # reopened
    ],
    ids=str,
)
def test_how_far_a_lead_has_come(teller: Teller, statuses: list[str], reached: Funnel) -> None:
    teller.lead(*statuses)
    assert teller.progress().funnel == reached


def test_the_share_that_went_on(teller: Teller) -> None:
    for statuses in ([], ["contacted"], ["qualified"], ["converted"]):
        teller.lead(*statuses)
    assert [step.share for step in teller.progress().funnel.steps] == [1, 3 / 4, 2 / 3, 1 / 2]


def test_the_time_in_each_status(teller: Teller) -> None:
    for hours in range(10):  # in new: 1 to 10 hours
        lead_id = teller.lead()
        teller.clock.move(hours=hours)
        teller.clock.move(hours=1)
        teller.service.leads.update(teller.user_id, lead_id, {"status": "contacted"})
    teller.service.leads.update(teller.user_id, lead_id, {"notes": "changes no status"})
    teller.clock.move(hours=2)
    teller.service.leads.update(teller.user_id, lead_id, {"status": "lost"})
    teller.clock.move(hours=3)
    teller.service.leads.update(teller.user_id, lead_id, {"status": "new"})
    assert stays(teller.progress()) == {
        "new": (10, 5 * HOUR, 9 * HOUR),
        "contacted": (1, 2 * HOUR, 2 * HOUR),
        "lost": (1, 3 * HOUR, 3 * HOUR),
    }


def test_of_imported_leads_it_is_unknown_when_a_status_began(
    teller: Teller, clock: Clock, service: AppState
) -> None:
    for status in STATUSES:
        teller.came(status)
    progress = teller.progress()
    assert progress.funnel == funnel(5, 3, 2, 1, lost=1)
    assert stays(progress) == {}
    clock.move(hours=1)
    leads = service.storage.leads_after(0, 10)
    for lead in leads:
        to = "lost" if lead["status"] != "lost" else "new"
        service.leads.update(teller.user_id, lead["id"], {"status": to})
    progress = teller.progress()
    assert stays(progress) == {"new": (1, 25 * HOUR + 1, 25 * HOUR + 1)}  # since it was created
    assert progress.funnel == funnel(5, 3, 2, 1, lost=5)
    clock.move(hours=1)
    for lead in leads:  # from now on all is known
        service.leads.update(teller.user_id, lead["id"], {"status": "contacted"})
    assert stays(teller.progress())["lost"] == (4, HOUR + 1, HOUR + 1)


def test_weeks_and_the_rate_of_a_span_and_of_the_one_before(teller: Teller, clock: Clock) -> None:
    teller.lead("converted")  # on the Monday
    clock.now = MONDAY + timedelta(days=6, hours=23, minutes=59)  # the Sunday
    teller.lead()
    clock.now = MONDAY + timedelta(days=7)
    teller.lead("lost", "new", "lost")
    teller.lead("lost")
    clock.now = MONDAY + timedelta(days=21)
    lead_id = teller.lead("converted")
    weeks = (
        Week(date(2026, 11, 23), 2, 1, 0),
        Week(date(2026, 11, 30), 2, 0, 2),
        Week(date(2026, 12, 7), 0, 0, 0),
        Week(date(2026, 12, 14), 1, 1, 0),
    )
    progress = teller.progress()
    assert progress.weeks == weeks
    assert (progress.since, progress.until) == (None, clock.now)
    assert progress.outcome == Outcome(5, 2, 2)
    assert progress.outcome.conversion_rate == 2 / 5
    assert progress.before is None
    clock.now = MONDAY + timedelta(days=22)
    progress = teller.service.leads.progress(teller.user_id, timedelta(days=14))
    assert progress.since == MONDAY + timedelta(days=8)
    # Of the first week only what lies in the span.
    assert progress.weeks == (Week(date(2026, 11, 30), 0, 0, 0), *weeks[2:])
    assert progress.outcome == (1, 1, 0)
    assert progress.before == (4, 1, 2)
    assert progress.funnel == funnel(1, 1, 1, 1)
    assert stays(progress) == {"new": (1, HOUR, HOUR)}
    assert teller.service.leads.progress(teller.user_id, MONDAY + timedelta(days=8)) == progress
    teller.service.leads.delete(teller.user_id, lead_id)
    without = teller.service.leads.progress(teller.user_id, timedelta(days=14))
    assert without.outcome == (0, 0, 0)
    assert without.funnel == funnel(0, 0, 0, 0)
    assert stays(without) == {}


@pytest.mark.parametrize(("seconds", "converted"), [(60, 0), (61, 1)])
def test_what_is_taken_back_at_once_was_a_mistake(
    teller: Teller, clock: Clock, seconds: int, converted: int
) -> None:
    lead_id = teller.lead("contacted", "new", "contacted")
    before = teller.service.leads.history(teller.user_id, lead_id)
    update = teller.service.leads.update
    clock.move(hours=1)
    update(teller.user_id, lead_id, {"status": "converted"})
    clock.move(seconds=seconds)
    update(teller.user_id, lead_id, {"status": "contacted"})
    after = teller.service.leads.history(teller.user_id, lead_id)
    assert (after == before) == (not converted)
    assert teller.progress().outcome == (1, converted, 0)
    assert teller.progress().funnel == funnel(1, 1, converted, converted)


def test_a_span_ends_before_now_and_has_its_beginning(teller: Teller, clock: Clock) -> None:
    teller.lead()
    assert teller.service.leads.progress(teller.user_id).outcome.created == 0
    clock.move(hours=1)
    progress = teller.service.leads.progress(teller.user_id, timedelta(hours=1))
    assert progress.outcome.created == progress.funnel.steps[0].leads == 1
    clock.move(hours=1)
    progress = teller.service.leads.progress(teller.user_id, timedelta(hours=1))
    assert (progress.outcome.created, progress.funnel.steps[0].leads) == (0, 0)
    assert progress.before == (1, 0, 0)


def test_the_funnel_is_of_leads_created_in_the_span(teller: Teller, clock: Clock) -> None:
    old = teller.lead("contacted")
    clock.move(days=10)
    teller.lead("contacted")
    teller.service.leads.update(teller.user_id, old, {"status": "converted"})
    progress = teller.progress(timedelta(days=5))
    assert progress.funnel == funnel(1, 1, 0, 0)
    assert progress.outcome == (1, 1, 0)
    assert stays(progress) == {
        "new": (1, HOUR, HOUR),
        "contacted": (1, 241 * HOUR, 241 * HOUR),
    }


def test_a_company(teller: Teller) -> None:
    teller.lead("converted", company_id=1)
    teller.lead("lost", company_id=2)
    teller.clock.move(days=1)
    progress = teller.progress(company_id=2)
    assert progress.company_id == 2
    assert progress.funnel == funnel(1, 0, 0, 0, lost=1)
    assert progress.outcome == (1, 0, 1)
    assert progress.weeks == (Week(MONDAY.date(), 1, 0, 1),)
    assert stays(progress) == {"new": (1, HOUR, HOUR)}
    assert teller.progress(company_id=3).weeks == ()


def test_others_leads_do_not_count(teller: Teller, bob: Caller, service: AppState) -> None:
    theirs = Teller(service, teller.clock, bob.id)
    theirs.lead("contacted", "lost", "converted")
    progress = teller.progress()
    assert progress.funnel == funnel(0, 0, 0, 0)
    assert (progress.weeks, stays(progress), progress.outcome) == ((), {}, (0, 0, 0))
    before = theirs.progress()
    service.leads.reassign(bob.id, teller.user_id)
    after = teller.progress()
    assert after[3:] == before[3:]
    assert theirs.progress().weeks == ()


@pytest.mark.slow
def test_ends_of_time(teller: Teller, service: AppState) -> None:
    """A lead may have been created in the year 1, or be in the future."""
    lead = {"company_id": 1, "notes": "", "score": 1, "user_id": teller.user_id}
    times = ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"]
    rows = [
        lead | {"status": status, "created_at": at, "updated_at": at}
        for at in times
        for status in ("new", "lost")
    ]
    service.storage.insert_leads(rows, lambda owners: None)
    teller.lead()
    year_1 = datetime(1, 1, 1, tzinfo=UTC)
    for span in (None, timedelta(days=10**6), year_1):
        progress = teller.progress(span)
        assert progress.outcome == (3, 0, 1)
        assert progress.funnel == funnel(3, 0, 0, 0, lost=1)
        assert len(progress.weeks) == MAX_WEEKS
        assert progress.weeks[-1] == Week(MONDAY.date(), 1, 0, 0)
        assert progress.before is None
    future = teller.progress(datetime(9999, 1, 1, tzinfo=UTC))
    assert future.since == future.until
    assert future.outcome == future.before == (0, 0, 0)
