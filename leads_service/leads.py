"""What can be done with leads, always for one user: create, update, and read a page."""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

from peewee import Database, ModelSelect, Tuple, fn

from leads_service.db import MAX_INTEGER, Statement, parameter
from leads_service.models import STATUSES, Clock, Lead, timestamp, utc_now
from leads_service.scoring import Scorer, score

COLUMNS = tuple(Lead._meta.columns)  # a lead's fields, in the order in which they are shown

CONDITIONS = {
    "status": Lead.status == parameter("status"),
    "company_id": Lead.company_id == parameter("company_id"),
    "min_score": Lead.score >= parameter("min_score"),
    "max_score": Lead.score <= parameter("max_score"),
    "created_after": Lead.created_at >= parameter("created_after"),
    "created_before": Lead.created_at <= parameter("created_before"),
    "cursor": Tuple(Lead.created_at, Lead.id)
    < Tuple(parameter("cursor_created_at"), parameter("cursor")),
}
OWN = Lead.user_id == parameter("user_id")
ONE = OWN & (Lead.id == parameter("id"))


class LeadNotFoundError(LookupError):
    """The user has no lead with this id; whether somebody else has one is not for them to know."""


class CursorNotFoundError(LookupError):
    """The cursor is not the id of one of the user's leads."""


class Page(NamedTuple):
    """Some leads, newest first, and where the next page begins: None after the last one."""

    data: list[dict[str, Any]]
    next_cursor: int | None
    has_more: bool


class Leads:
    """The leads in one database, scored by one scorer, on one clock."""

    def __init__(self, database: Database, scorer: Scorer, clock: Clock = utc_now):
        self._database = database
        self._scorer = scorer
        self._clock = clock
        columns = COLUMNS[1:]
        self._insert = Statement(
            database, Lead.insert({name: parameter(name) for name in columns}).returning(Lead.id)
        )
        self._one = Statement(database, _select().where(ONE))
        changing = ("status", "notes", "score", "updated_at")
        self._update = Statement(
            database, Lead.update({name: parameter(name) for name in changing}).where(ONE)
        )
        self._pages: dict[frozenset[str], Statement] = {}

    def create(self, user_id: int, *, company_id: int, notes: str = "") -> dict[str, Any]:
        """Store a new lead and return it; without a score, store nothing and raise ScorerError."""
        lead = {"user_id": user_id, "company_id": company_id, "status": STATUSES[0], "notes": notes}
        lead["score"] = self._score(lead)
        with self._database.atomic():
            # The clock is read with the write lock held: the order of the times is that of the ids.
            lead["created_at"] = lead["updated_at"] = timestamp(self._clock())
            (lead_id,) = self._insert.run(lead).fetchone()
        return {"id": lead_id, **lead}

    def update(self, user_id: int, lead_id: int, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a lead's ``status`` and ``notes`` as far as given, and return it.

        ``updated_at`` moves, and the lead is scored again, only if that makes a difference. The
        scorer is called with the write lock held. Raises LeadNotFoundError, or ScorerError.
        """
        if lead_id > MAX_INTEGER:
            raise LeadNotFoundError(lead_id)
        with self._database.atomic():
            before = self._lead(user_id, lead_id)
            if before is None:
                raise LeadNotFoundError(lead_id)
            lead: dict[str, Any] = before | changes
            if lead != before:
                lead["score"] = self._score(lead)
                # A clock that was set back must not make a lead younger than it was.
                lead["updated_at"] = max(timestamp(self._clock()), before["updated_at"])
                self._update.run(lead)
        return lead

    def page(
        self, user_id: int, *, limit: int = 50, cursor: int | None = None, **filters: Any
    ) -> Page:
        """Return at most ``limit`` leads that pass all ``filters``, newest first.

        ``cursor`` is the id of the lead that the page before ended with; raises CursorNotFoundError
        if the user has no such lead. ``filters`` are CONDITIONS by name; the two dates are whole
        days in UTC, both included.
        """
        values = {"user_id": user_id, "limit": limit + 1, **_texts(filters)}
        if cursor is not None:
            last = self._lead(user_id, cursor)
            if last is None:
                raise CursorNotFoundError(cursor)
            values |= {"cursor": cursor, "cursor_created_at": last["created_at"]}
        rows = self._page(frozenset(values)).run(values).fetchall()
        has_more = len(rows) > limit
        data = [dict(zip(COLUMNS, row, strict=True)) for row in rows[:limit]]
        return Page(data, data[-1]["id"] if has_more else None, has_more)

    def count_by_status(self, user_id: int | None = None) -> dict[str, int]:
        """Return how many leads stand at each status: the user's, or without one everybody's."""
        counts = Lead.select(Lead.status, fn.COUNT(Lead.id)).group_by(Lead.status).tuples()
        if user_id is not None:
            counts = counts.where(Lead.user_id == user_id)
        return dict.fromkeys(STATUSES, 0) | dict(counts.execute(self._database))

    def rescore(self, batch: int = 1000) -> Iterator[int]:
        """Score everybody's leads anew, ``batch`` to a transaction; yield how many each one read.

        A score is no work on a lead: ``updated_at`` stays. Raises ScorerError, which keeps the
        batches before.
        """
        last, count = 0, batch
        while count == batch:
            with self._database.atomic():
                query = _select().where(Lead.id > last).order_by(Lead.id).limit(batch).dicts()
                count = 0
                for lead in query.execute(self._database):
                    self._rescore(lead)
                    last, count = lead["id"], count + 1
            yield count

    def _rescore(self, lead: dict[str, Any]) -> None:
        if (points := self._score(lead)) != lead["score"]:
            self._update.run(lead | {"score": points})

    def _score(self, lead: Mapping[str, Any]) -> int:
        facts = {name: lead[name] for name in ("user_id", "company_id", "status", "notes")}
        return score(self._scorer, **facts)

    def _lead(self, user_id: int, lead_id: int) -> dict[str, Any] | None:
        row = self._one.run({"user_id": user_id, "id": lead_id}).fetchone()
        return None if row is None else dict(zip(COLUMNS, row, strict=True))

    def _page(self, names: frozenset[str]) -> Statement:
        """Return the statement for one set of filters, compiled when it is first asked for."""
        statement = self._pages.get(names)
        if statement is None:
            where = reduce(
                and_, (CONDITIONS[name] for name in sorted(names & CONDITIONS.keys())), OWN
            )
            newest_first = (Lead.created_at.desc(), Lead.id.desc())
            query = _select().where(where).order_by(*newest_first).limit(parameter("limit"))
            statement = self._pages[names] = Statement(self._database, query)
        return statement


def _select() -> "ModelSelect[Lead]":
    return Lead.select(*Lead._meta.sorted_fields)


def _texts(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters with each day as the first or the last moment of it, as it is stored."""
    ends = {"created_after": "T00:00:00.000000Z", "created_before": "T23:59:59.999999Z"}
    return {
        name: value.isoformat() + ends[name] if isinstance(value, date) else value
        for name, value in filters.items()
    }
