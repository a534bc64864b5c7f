"""A user's progress: the funnel, leads per week, the time in each status, the conversion rate."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from leads_service.lead import BEGINNING, FUNNEL, STATUSES, timestamp
from leads_service.storage.base import Figure, Storage

UNITS = {"d": 1, "w": 7, "y": 365}  # days
ALL = "all"
MAX_DAYS = 36_500
SPANS = f"90d, 8w or 1y, up to {MAX_DAYS}d, a day such as 2026-01-31, or {ALL}"
MAX_WEEKS = 520  # ten years
WEEK = timedelta(weeks=1)
NO_STAYS = (0, None, None)


class Step(NamedTuple):
    """How many leads of the funnel ever reached a status.

    ``share`` is of those that reached the status before, and of all in the first step; None if
    there are none.
    """

    status: str
    leads: int
    share: float | None


class Funnel(NamedTuple):
    """How far the leads created in the span have come, whenever they did.

    A lead that reached a later one of ``lead.FUNNEL`` counts as having reached the earlier ones,
    and one that went back, or was lost, still has reached what it had. ``lost`` is how many were
    ever lost, whether or not they have been taken up again.
    """

    steps: tuple[Step, ...]
    lost: int


class Week(NamedTuple):
    """A week from ``monday`` on in UTC, as far as it lies in the span.

    A lead counts when it is first converted, and when it is first lost.
    """

    monday: date
    created: int
    converted: int
    lost: int


class Stays(NamedTuple):
    """How long leads were in a status, in whole seconds, over the stays that ended in the span.

    The percentiles are lengths that occurred (nearest rank), None if no stay ended. Stays are left
    out of which it is not known when they began: where the status was that of an import, or of a
    lead that was older than the history.
    """

    status: str
    ended: int
    median: int | None
    ninetieth: int | None


class Outcome(NamedTuple):
    """What happened within a span."""

    created: int
    converted: int
    lost: int

    @property
    def conversion_rate(self) -> float | None:
        """How many were converted in the span per lead that was created in it; None without leads.

        That is what CRM tools call the conversion rate of leads; converted / (converted + lost) is
        their win rate. It exceeds 1 where more old leads are converted than new ones come.
        """
        return self.converted / self.created if self.created else None


class Progress(NamedTuple):
    """A user's progress from ``since``, None for all time, to before ``until``.

    ``weeks`` are consecutive, the last ``MAX_WEEKS`` at most; of all time they begin with the first
    lead. ``before`` is the outcome of the span of the same length, from ``before_since``, that
    ended at ``since``; both are None if there is none.
    """

    since: datetime | None
    until: datetime
    company_id: int | None
    funnel: Funnel
    weeks: tuple[Week, ...]
    stays: tuple[Stays, ...]
    outcome: Outcome
    before: Outcome | None
    before_since: datetime | None


def progress(
    storage: Storage,
    user_id: int,
    span: timedelta | datetime | None,
    now: datetime,
    company_id: int | None = None,
) -> Progress:
    """Return a user's progress until now.

    The figures are read one after the other: what is stored meanwhile may be in some of them.

    Args:
        storage: The storage.
        user_id: Whose leads.
        span: Its length, or the time in UTC when it began; None for all time.
        now: The present time in UTC, when the span ends.
        company_id: Of which company; None for all.
    """
    since = _since(span, now)
    first = BEGINNING if since is None else since
    until = timestamp(now)
    mondays = _mondays(storage.first_created(user_id, company_id), first, now)
    length = now - first
    has_before = since is not None and since - BEGINNING >= length
    # The time before, the part of the span that the weeks leave out, and the weeks.
    moments = [first - length] if has_before else [first]
    moments += [first, *(max(first, day) for day in mondays), now]
    ended, *counts = storage.counts_between(user_id, [*map(timestamp, moments)], company_id)
    outcome = Outcome(*map(sum, zip(*counts, strict=True)))
    reached = storage.reached(user_id, timestamp(first), until, company_id)
    lengths = storage.stays(user_id, timestamp(first), until, company_id)
    return Progress(
        since,
        now,
        company_id,
        _funnel(reached | {FUNNEL[0]: outcome.created}),
        tuple(Week(day.date(), *count) for day, count in zip(mondays, counts[1:], strict=True)),
        tuple(Stays(status, *lengths.get(status, NO_STAYS)) for status in STATUSES),
        outcome,
        Outcome(*ended) if has_before else None,
        moments[0] if has_before else None,
    )


def count(storage: Storage, user_id: int, figure: Figure) -> int:
    """Return a figure of a user's: how many leads, or stays, ``Storage.drill_down`` lists."""
    event, status, since, until, company_id = figure
    if event == "left":
        return storage.stays(user_id, since, until, company_id).get(status, NO_STAYS)[0]
    if event == "reached" and status != FUNNEL[0]:
        return storage.reached(user_id, since, until, company_id).get(status, 0)
    ((created, converted, lost),) = storage.counts_between(user_id, (since, until), company_id)
    return {FUNNEL[0]: created, "converted": converted, "lost": lost}[status]


def _since(span: timedelta | datetime | None, now: datetime) -> datetime | None:
    """Return when a span begins: not after now, nor before the year 1."""
    if isinstance(span, timedelta):
        return now - min(span, now - BEGINNING)
    return None if span is None else min(span, now)


def _mondays(oldest: str | None, first: datetime, now: datetime) -> list[datetime]:
    """Return when the weeks begin that are shown."""
    if oldest is None:
        return []
    begin = max(first, now - MAX_WEEKS * WEEK)
    if first == BEGINNING:
        begin = max(begin, datetime.fromisoformat(oldest))
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = day - min(timedelta(days=day.weekday()), day - BEGINNING)
    weeks = []
    while monday < now:
        weeks.append(monday)
        monday += WEEK
    return weeks[-MAX_WEEKS:]


def _funnel(reached: dict[str, int]) -> Funnel:
    counts = [reached.get(status, 0) for status in FUNNEL]
    shares = (
        count / of if of else None for count, of in zip(counts, counts[:1] + counts, strict=False)
    )
    return Funnel(tuple(map(Step, FUNNEL, counts, shares)), reached.get("lost", 0))


def span_of(text: str) -> timedelta | datetime | str | None:
    """Return the span that a text names, one of ``SPANS``; None if it names none.

    Returns:
        Its length, the time in UTC when it began, or ``ALL``.
    """
    if match := re.fullmatch(r"([0-9]{1,5})([dwy])", text):
        days = int(match[1]) * UNITS[match[2]]
        return timedelta(days=days) if 0 < days <= MAX_DAYS else None
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        with suppress(ValueError):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
    return ALL if text == ALL else None


def plain(value: Any) -> Any:
    """Return a progress as JSON has it: times as texts, lengths in seconds, rates with the rest."""
    if hasattr(value, "_asdict"):
        fields = {name: plain(item) for name, item in value._asdict().items()}
        if isinstance(value, Outcome):
            fields["conversion_rate"] = value.conversion_rate
        return fields
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return timestamp(value)
    return value.isoformat() if isinstance(value, date) else value
