"""The service for leads: create, read, update, delete, list, count, rescore, reassign."""

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from leads_service import idempotency
from leads_service.exceptions import (
    AccountError,
    CursorNotFoundError,
    LeadChangedError,
    LeadGoneError,
    LeadNotFoundError,
)
from leads_service.lead import (
    CREATABLE,
    MAX_INTEGER,
    STATUSES,
    Clock,
    later,
    new_lead,
    timestamp,
    utc_now,
    without_null,
)
from leads_service.progress import Progress, count, progress
from leads_service.retries import retry_conflicts
from leads_service.scoring import Scorer, scoring
from leads_service.storage.base import (
    CountedLead,
    Figure,
    Page,
    StatusChangeRecord,
    Storage,
    TokenKey,
)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_PAGE = 1024 * 1024  # bytes of JSON; a page is in memory until a slow client has read it


class LeadService:
    """The operations on leads.

    All methods may raise StorageUnavailableError, and those that write CommitOutcomeUnknownError.
    After any exception except the latter, nothing has been changed.
    """

    def __init__(
        self,
        storage: Storage,
        scorer: Scorer,
        clock: Clock = utc_now,
        *,
        has_own_users: bool = False,
    ):
        """Create the service.

        Args:
            storage: The storage of the leads.
            scorer: Scores leads from 0 to 100.
            clock: Returns the current time in UTC.
            has_own_users: Whether owners have to be users of the storage; otherwise they are users
                of a host application, and are not checked.

        Raises:
            ConfigError: The scorer can't be called with facts about a lead.
        """
        self._storage = storage
        self._score = scoring(scorer)
        self._clock = clock
        self._has_own_users = has_own_users

    # One user's leads

    @retry_conflicts
    def create(
        self, user_id: int, values: Mapping[str, Any], *, token: TokenKey | None = None
    ) -> dict[str, Any]:
        """Create a lead and return it.

        Args:
            user_id: The id of its owner.
            values: The fields of the request's body.
            token: A token that has to exist; None for no such condition.

        Raises:
            ScorerError: The scorer failed.
            TokenGoneError: The token does not exist.
            UserGoneError: The user has been removed.
        """
        lead = self._scored(user_id, new_lead(values))
        # Read the clock with the write lock held, so that ids ascend with the times.
        return self._storage.transact(
            lambda: self._insert(lead, timestamp(self._clock()), token), is_single=True
        )

    @retry_conflicts
    def create_once(
        self, user_id: int, key: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """Create a lead idempotently: only if the user's key has not created one already.

        Args:
            user_id: The id of its owner.
            key: The idempotency key.
            values: The fields of the request's body.

        Returns:
            The lead in its current state, and whether the key had created it already.

        Raises:
            KeyReusedError: The key was used with another body within its lifetime.
            LeadGoneError: The lead that the key created has been deleted.
            ScorerError: The scorer failed.
            UserGoneError: The user has been removed.
        """
        lead = new_lead(values)
        body = {name: lead[name] for name in CREATABLE}

        def create() -> tuple[dict[str, Any], bool]:
            now = self._clock()
            lead_id, is_new = idempotency.claim(self._storage, user_id, key, body, now)
            if is_new:
                scored = self._scored(user_id, lead) | {"id": lead_id}
                return self._insert(scored, timestamp(now)), False
            if (created := self._storage.lead(user_id, lead_id)) is None:
                raise LeadGoneError(lead_id)
            return created, True

        return self._storage.transact(create)

    def get(self, user_id: int, lead_id: int) -> dict[str, Any]:
        """Return a lead.

        Raises:
            LeadNotFoundError: The user has no lead with this id.
        """
        return self._found(user_id, lead_id)

    @retry_conflicts
    def update(
        self,
        user_id: int,
        lead_id: int,
        changes: Mapping[str, Any],
        versions: Container[str] | None = None,
    ) -> dict[str, Any]:
        """Update a lead and return it as stored.

        If no value changes, neither do ``updated_at`` and the score. The scorer is called with the
        write lock held.

        Args:
            user_id: The id of its owner.
            lead_id: The id of the lead.
            changes: The fields of the request's body.
            versions: The accepted values of its current ``updated_at``; None for any.

        Raises:
            LeadNotFoundError: The user has no lead with this id.
            LeadChangedError: Its ``updated_at`` is not one of ``versions``.
            ScorerError: The scorer failed.
        """

        def change() -> dict[str, Any]:
            before = self._expected(user_id, lead_id, versions)
            lead = before | {name: without_null(name, changes[name]) for name in changes}
            if lead == before:
                return before
            lead["score"] = self._score(lead)
            lead["updated_at"] = later(before["updated_at"], self._clock())
            updated = self._storage.update_lead(lead)
            if lead["status"] != before["status"]:
                self._storage.add_status_change(lead, before["status"])
            return updated

        return self._storage.transact(change)

    @retry_conflicts
    def delete(self, user_id: int, lead_id: int, versions: Container[str] | None = None) -> None:
        """Delete a lead; its position is kept, for cursors that refer to it.

        Args:
            user_id: As for ``update``.
            lead_id: As for ``update``.
            versions: As for ``update``.

        Raises:
            LeadNotFoundError: As by ``update``.
            LeadChangedError: As by ``update``.
        """

        def delete() -> None:
            self._expected(user_id, lead_id, versions)
            self._storage.delete_lead(user_id, lead_id)

        self._storage.transact(delete)

    def page(
        self,
        user_id: int,
        filters: Mapping[str, Any] | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: int | None = None,
    ) -> Page:
        """Return a page of the user's leads that pass all filters, newest first.

        Args:
            user_id: The id of their owner.
            filters: The values of some of ``lead.FILTERS`` by name.
            limit: The maximum number of leads. A page of more than ``MAX_PAGE`` bytes has fewer,
                but at least one.
            cursor: The ``next_cursor`` of the previous page; None for the first page.

        Raises:
            CursorNotFoundError: The cursor is not the id of a lead that the user has or had.
        """
        after = None if cursor is None else self._storage.position(user_id, cursor)
        if cursor is not None and after is None:
            raise CursorNotFoundError(cursor)
        return self._storage.page(
            user_id, filters or {}, after=after, limit=limit, max_bytes=MAX_PAGE
        )

    def history(self, user_id: int, lead_id: int) -> list[StatusChangeRecord]:
        """Return the status changes of a lead, oldest first; its creation, as new, is none.

        Raises:
            LeadNotFoundError: The user has no lead with this id.
        """
        self._found(user_id, lead_id)
        return self._storage.status_changes(user_id, lead_id)

    def in_status_since(self, user_id: int, leads: Iterable[Mapping[str, Any]]) -> dict[int, str]:
        """Return since when leads of the user's have had their status, by id."""
        since = {lead["id"]: lead["created_at"] for lead in leads}
        return since | self._storage.last_status_changes(user_id, [*since])

    def count(self, user_id: int, filters: Mapping[str, Any] | None = None) -> int:
        """Return how many of the user's leads pass all filters."""
        return self._storage.count(user_id, filters or {})

    def progress(
        self,
        user_id: int,
        span: timedelta | datetime | None = None,
        company_id: int | None = None,
    ) -> Progress:
        """Return the user's progress until now; arguments as for ``progress.progress``."""
        return progress(self._storage, user_id, span, self._clock(), company_id)

    def count_of(self, user_id: int, figure: Figure) -> int:
        """Return a figure of the user's progress; see ``progress.count``."""
        return count(self._storage, user_id, figure)

    def drill_down(
        self,
        user_id: int,
        figure: Figure,
        *,
        after: tuple[str | int, int] | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> tuple[list[CountedLead], bool]:
        """Return leads that a figure counts, and whether there are more.

        Arguments as for ``Storage.drill_down``.
        """
        leads = self._storage.drill_down(user_id, figure, after=after, limit=limit + 1)
        return leads[:limit], len(leads) > limit

    # Many leads

    def count_by_status(
        self, user_id: int | None = None, filters: Mapping[str, Any] | None = None
    ) -> dict[str, int]:
        """Return the number of leads by status, for every status.

        Args:
            user_id: Whose leads; None for everybody's.
            filters: The values of some of ``lead.FILTERS`` by name; None for all leads.
        """
        return dict.fromkeys(STATUSES, 0) | self._storage.count_by_status(user_id, filters)

    def rescore(self, batch: int = 1000) -> Iterator[int]:
        """Score all leads of all users again, without changing ``updated_at``.

        Args:
            batch: The number of leads per transaction.

        Yields:
            The number of leads in each batch, after it is stored.

        Raises:
            ScorerError: The scorer failed; the previous batches are stored.
        """
        last, count = 0, batch
        while count == batch:
            ids = self._rescore(last, batch)
            count = len(ids)
            last = ids[-1] if ids else last
            yield count

    @retry_conflicts
    def _rescore(self, last: int, batch: int) -> list[int]:
        """Score the leads after the one with the id ``last``; return their ids, in order."""
        with self._storage.writing():
            leads = self._storage.leads_after(last, batch)
            for lead in leads:
                # Who has changed the lead since it was read has scored it as well.
                if (points := self._score(lead)) != lead["score"]:
                    self._storage.set_score(lead, points)
        return [lead["id"] for lead in leads]

    @retry_conflicts
    def reassign(self, old: int, new: int, filters: Mapping[str, Any] | None = None) -> int:
        """Move the leads of one user that pass all filters to another; return how many.

        They are scored again, with the write lock held, and ``updated_at`` changes. The idempotency
        keys that created them become valid for both users, so that neither creates a duplicate by
        a retry.

        Args:
            old: The id of their owner.
            new: The id of their new owner.
            filters: The values of some of ``lead.FILTERS`` by name; None for all leads.

        Raises:
            AccountError: Both ids are the same, or the new owner has been removed.
            ScorerError: The scorer failed.
        """
        if old == new:
            raise AccountError("both are the same user; name two")
        with self._storage.writing():
            self.confirm_users([new])
            now = self._clock()

            def change(lead: dict[str, Any]) -> dict[str, Any]:
                moved = lead | {"user_id": new}
                updated_at = later(lead["updated_at"], now)
                return moved | {"score": self._score(moved), "updated_at": updated_at}

            return self._storage.move_leads(old, new, filters or {}, change)

    @retry_conflicts
    def forget(self, user_id: int, *, has_leads: bool = True) -> int:
        """Delete a user's leads, their history, positions and keys; return how many leads.

        Args:
            user_id: The user's id.
            has_leads: As for ``Storage.forget_user``.
        """
        with self._storage.writing():
            return self._storage.forget_user(user_id, has_leads=has_leads)

    def confirm_users(self, user_ids: Iterable[int]) -> None:
        """Check that users exist; a host's users are not checked.

        Raises:
            AccountError: A user does not exist.
        """
        for user_id in user_ids:
            if self._has_own_users and not self._storage.has_user(user_id, for_update=True):
                raise AccountError(f"the user with id {user_id} does not exist any more")

    def _scored(self, user_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        lead = {"user_id": user_id, **fields}
        return lead | {"score": self._score(lead)}

    def _insert(
        self, lead: dict[str, Any], now: str, token: TokenKey | None = None
    ) -> dict[str, Any]:
        lead |= {"created_at": now, "updated_at": now}
        return self._storage.insert_lead(lead, of_known_user=self._has_own_users, token=token)

    def _expected(
        self, user_id: int, lead_id: int, versions: Container[str] | None
    ) -> dict[str, Any]:
        lead = self._found(user_id, lead_id, for_update=True)
        if versions is not None and lead["updated_at"] not in versions:
            raise LeadChangedError(lead)
        return lead

    def _found(self, user_id: int, lead_id: int, *, for_update: bool = False) -> dict[str, Any]:
        lead = None
        if lead_id <= MAX_INTEGER:
            lead = self._storage.lead(user_id, lead_id, for_update=for_update)
        if lead is None:
            raise LeadNotFoundError(lead_id)
        return lead


def how_many(count: int) -> str:
    """Return a count with its noun: ``1 lead``, ``2 leads``."""
    return f"{count} lead{'' if count == 1 else 's'}"
