"""What can be done with leads, always for one user: create, get, update, delete, read a page."""

from collections.abc import Container
from datetime import datetime
from typing import Any, NamedTuple

from peewee import SqliteDatabase

from leads_service import queries
from leads_service.idempotency import Keys
from leads_service.models import MAX_INTEGER, STATUSES, Clock, later, timestamp, utc_now
from leads_service.scoring import Scorer, score
from leads_service.sqlite import erasing, writing
from leads_service.statements import Statement

MAX_PAGE = 1024 * 1024  # bytes, which are in memory for as long as a client does not read them
MAX_CHARACTER = 4  # bytes


class LeadNotFoundError(LookupError):
    """The user has no lead with this id; whether somebody else has one is not for them to know."""


class LeadChangedError(Exception):
    """The lead is in none of the states that were expected; ``lead`` is what it is now."""

    def __init__(self, lead: dict[str, Any]):
        super().__init__(lead["id"])
        self.lead = lead


class LeadGoneError(LookupError):
    """The lead that an idempotency key has made does not exist any more."""


class CursorNotFoundError(LookupError):
    """The cursor is not the id of one of the user's leads."""


class UserGoneError(LookupError):
    """The user has been removed since it was looked who calls."""


class Page(NamedTuple):
    """Leads as JSON, newest first, and the cursor of the next page: None if this is the last."""

    data: str  # a list
    next_cursor: int | None
    has_more: bool


class Leads:
    """The leads in one database, scored by one scorer, on one clock."""

    def __init__(
        self,
        database: SqliteDatabase,
        scorer: Scorer,
        clock: Clock = utc_now,
        *,
        users_are_ours: bool = False,
    ):
        """Take whether a lead's owner has to be one of our users; otherwise a host knows them."""
        self._database = database
        self._scorer = scorer
        self._clock = clock
        self._insert = Statement(database, queries.insert_one(users_are_ours=users_are_ours))
        self._one = Statement(database, queries.select_one())
        self._update = Statement(database, queries.update_one())
        self._delete = Statement(database, queries.delete_one())
        self._note_deleted = Statement(database, queries.insert_deleted())
        self._deleted = Statement(database, queries.select_deleted())
        self._keys = Keys(database)
        self._pages: dict[frozenset[str], Statement] = {}

    def create(self, user_id: int, *, company_id: int, notes: str = "") -> dict[str, Any]:
        """Store a new lead and return it; raises ScorerError or UserGoneError, nothing stored."""
        lead = self._new(user_id, company_id, notes)
        with writing(self._database):
            # The clock is read with the write lock held: the order of the times is that of the ids.
            return self._store(lead, self._clock())

    def create_once(
        self, user_id: int, key: str, *, company_id: int, notes: str = ""
    ) -> tuple[dict[str, Any], bool]:
        """Store a new lead, unless the user's ``key`` has made one within a day.

        Return the lead, as it is now, and whether it was there already. Raises KeyReusedError if
        it was made of something else, LeadGoneError if it has been deleted, ScorerError, or
        UserGoneError; then nothing is stored.
        """
        body = {"company_id": company_id, "notes": notes}
        with writing(self._database):
            now = self._clock()
            made = self._keys.find(user_id, key, body, now)
            if made is not None:
                before = self._lead(user_id, made)
                if before is None:
                    raise LeadGoneError(made)
                return before, True
            lead = self._store(self._new(user_id, company_id, notes), now)
            self._keys.keep(user_id, key, body, lead["id"], now)
        return lead, False

    def get(self, user_id: int, lead_id: int) -> dict[str, Any]:
        """Return a lead; raises LeadNotFoundError."""
        lead = self._lead(user_id, lead_id) if lead_id <= MAX_INTEGER else None
        if lead is None:
            raise LeadNotFoundError(lead_id)
        return lead

    def update(
        self,
        user_id: int,
        lead_id: int,
        changes: dict[str, Any],
        versions: Container[str] | None = None,
    ) -> dict[str, Any]:
        """Change a lead's ``status`` and ``notes`` as far as given, and return it.

        ``updated_at`` moves, and the lead is scored again, only if that makes a difference. The
        scorer is called with the write lock held. With ``versions`` given, the lead's
        ``updated_at`` has to be one of them. Raises LeadNotFoundError, LeadChangedError or
        ScorerError; then nothing is stored.
        """
        with writing(self._database):
            before = self._expected(user_id, lead_id, versions)
            lead = before | changes
            if lead != before:
                lead["score"] = score(self._scorer, lead)
                lead["updated_at"] = later(before["updated_at"], self._clock())
                self._update.rows(lead)
        return lead

    def delete(self, user_id: int, lead_id: int, versions: Container[str] | None = None) -> None:
        """Erase a lead; what stays is that it was there and when it was created, for cursors.

        With ``versions`` given, the lead's ``updated_at`` has to be one of them. Raises
        LeadNotFoundError or LeadChangedError.
        """
        with writing(self._database), erasing(self._database):
            lead = self._expected(user_id, lead_id, versions)
            self._note_deleted.rows(lead)
            self._delete.rows(lead)

    def page(
        self, user_id: int, *, limit: int = 50, cursor: int | None = None, **filters: Any
    ) -> Page:
        """Return at most ``limit`` leads that pass all ``filters``, newest first.

        There are fewer, but one, on a page that would have more than MAX_PAGE bytes.
        ``cursor`` is the id of the lead that the page before ended with; raises CursorNotFoundError
        if the user has never had such a lead. ``filters`` are those of the API; the two dates are
        whole days in UTC, both included.
        """
        last = None if cursor is None else self._last(user_id, cursor)
        if cursor is not None and last is None:
            raise CursorNotFoundError(cursor)
        values = queries.page_values(filters, last)
        statement = self._page(frozenset(values))
        ((ids, leads),) = statement.rows(values | {"user_id": user_id, "limit": limit + 1})
        if ids is None:
            return Page("[]", None, has_more=False)
        asked = leads if ids.count(",") < limit else leads[: leads.rindex(queries.BETWEEN)]
        page = fitting(asked, MAX_PAGE)
        if not (left_out := leads.count(queries.BETWEEN, len(page))):
            return Page(f"[{page}]", None, has_more=False)
        last_id = ids.rsplit(",", left_out + 1)[-1 - left_out]
        return Page(f"[{page}]", int(last_id), has_more=True)

    def _new(self, user_id: int, company_id: int, notes: str) -> dict[str, Any]:
        lead = {"user_id": user_id, "company_id": company_id, "status": STATUSES[0], "notes": notes}
        return lead | {"score": score(self._scorer, lead)}

    def _store(self, lead: dict[str, Any], now: datetime) -> dict[str, Any]:
        lead["created_at"] = lead["updated_at"] = timestamp(now)
        rows = self._insert.rows(lead)
        if not rows:
            raise UserGoneError(lead["user_id"])
        return {"id": rows[0][0], **lead}

    def _lead(self, user_id: int, lead_id: int) -> dict[str, Any] | None:
        rows = self._one.rows({"user_id": user_id, "id": lead_id})
        return dict(zip(queries.COLUMNS, rows[0], strict=True)) if rows else None

    def _expected(
        self, user_id: int, lead_id: int, versions: Container[str] | None
    ) -> dict[str, Any]:
        lead = self.get(user_id, lead_id)
        if versions is not None and lead["updated_at"] not in versions:
            raise LeadChangedError(lead)
        return lead

    def _last(self, user_id: int, cursor: int) -> dict[str, Any] | None:
        """Return the lead that a page ended with, or if it has been deleted what is left of it."""
        lead = self._lead(user_id, cursor)
        if lead is not None:
            return lead
        rows = self._deleted.rows({"user_id": user_id, "id": cursor})
        return dict(zip(queries.KEPT, rows[0], strict=True)) if rows else None

    def _page(self, names: frozenset[str]) -> Statement:
        """Return the statement for one set of filters, compiled when it is first asked for."""
        statement = self._pages.get(names)
        if statement is None:
            statement = Statement(self._database, queries.select_page(names))
            self._pages[names] = statement
        return statement


def fitting(leads: str, size: int) -> str:
    """Return as many of the leads, but one at least, as fit into ``size`` bytes."""
    if len(leads) * MAX_CHARACTER <= size:
        return leads
    encoded, between = leads.encode(), queries.BETWEEN.encode()
    if len(encoded) <= size:
        return leads
    end = encoded.rfind(between, 0, size + len(between))
    if end < 0:
        end = encoded.find(between)
    return leads if end < 0 else encoded[:end].decode()
