"""What can be done with leads."""

from collections.abc import Container, Iterable, Iterator, Mapping
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
from leads_service.scoring import Scorer, scoring
from leads_service.storage.base import Page, Storage

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_PAGE = 1024 * 1024  # bytes, which are in memory for as long as a client does not read them


class LeadService:
    """The leads in one storage, scored by one scorer, on one clock.

    All methods may raise StorageUnavailableError, and those that write CommitOutcomeUnknownError.
    A method that raises anything else has changed nothing.
    """

    def __init__(
        self,
        storage: Storage,
        scorer: Scorer,
        clock: Clock = utc_now,
        *,
        has_own_users: bool = False,
    ):
        """Set up the service.

        Args:
            storage: Where the leads are.
            scorer: What scores them.
            clock: What tells the time, in UTC.
            has_own_users: Whether a lead's owner has to be one of the storage's users; otherwise
                a host application knows its users.

        Raises:
            ConfigError: The scorer can't be called with facts about a lead.

        """
        self._storage = storage
        self._score = scoring(scorer)
        self._clock = clock
        self._has_own_users = has_own_users

    # One user's leads

    def create(self, user_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Store a new lead and return it.

        Args:
            user_id: Whose it is.
            values: The fields that a body gives.

        Raises:
            ScorerError: The scorer failed.
            UserGoneError: The user has been removed.

        """
        lead = self._new_lead(user_id, values)
        with self._storage.writing():
            # The clock is read with the write lock held: the order of the times is that of the ids.
            return self._insert(lead, timestamp(self._clock()))

    def create_once(
        self, user_id: int, key: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """Store a new lead, unless the user's key has created one within its lifetime.

        Args:
            user_id: Whose it is.
            key: The idempotency key.
            values: The fields that a body gives.

        Returns:
            The lead, as it is now, and whether it was there already.

        Raises:
            KeyReusedError: The key has created one of another body.
            LeadGoneError: It has been deleted.
            ScorerError: The scorer failed.
            UserGoneError: The user has been removed.

        """
        lead = new_lead(values)
        body = {name: lead[name] for name in CREATABLE}
        with self._storage.writing():
            now = self._clock()
            lead_id = idempotency.created_with(self._storage, user_id, key, body, now)
            if lead_id is not None:
                if (created := self._storage.lead(user_id, lead_id)) is None:
                    raise LeadGoneError(lead_id)
                return created, True
            created = self._insert(self._new_lead(user_id, values), timestamp(now))
            idempotency.remember(self._storage, user_id, key, body, created["id"], now)
        return created, False

    def get(self, user_id: int, lead_id: int) -> dict[str, Any]:
        """Return a lead.

        Raises:
            LeadNotFoundError: The user has none with this id.

        """
        lead = self._storage.lead(user_id, lead_id) if lead_id <= MAX_INTEGER else None
        if lead is None:
            raise LeadNotFoundError(lead_id)
        return lead

    def update(
        self,
        user_id: int,
        lead_id: int,
        changes: Mapping[str, Any],
        versions: Container[str] | None = None,
    ) -> dict[str, Any]:
        """Change a lead, and return it as it is stored then.

        ``updated_at`` moves, and the lead is scored again, only if that makes a difference. The
        scorer is called with the write lock held.

        Args:
            user_id: Whose it is.
            lead_id: Its id.
            changes: The fields that a body gives.
            versions: Values of ``updated_at`` of which it must have one; None if any will do.

        Raises:
            LeadNotFoundError: The user has none with this id.
            LeadChangedError: It has none of the versions.
            ScorerError: The scorer failed.

        """
        with self._storage.writing():
            before = self._expected(user_id, lead_id, versions)
            lead = before | {name: without_null(name, changes[name]) for name in changes}
            if lead == before:
                return before
            lead["score"] = self._score(lead)
            lead["updated_at"] = later(before["updated_at"], self._clock())
            return self._storage.update_lead(lead)

    def delete(self, user_id: int, lead_id: int, versions: Container[str] | None = None) -> None:
        """Erase a lead; its position stays, for cursors that name it.

        Arguments and errors are those of ``update``.
        """
        with self._storage.writing():
            self._expected(user_id, lead_id, versions)
            self._storage.delete_lead(user_id, lead_id)

    def page(
        self,
        user_id: int,
        filters: Mapping[str, Any] | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: int | None = None,
    ) -> Page:
        """Return the user's newest leads that pass all filters.

        There are fewer than there could be, but one, on a page of more than ``MAX_PAGE`` bytes.

        Args:
            user_id: Whose leads.
            filters: The values of some of ``lead.FILTERS`` by name.
            limit: How many at most.
            cursor: The id of the lead that the page before ended with; None for the first page.

        Raises:
            CursorNotFoundError: The user has never had a lead with that id.

        """
        after = None if cursor is None else self._storage.position(user_id, cursor)
        if cursor is not None and after is None:
            raise CursorNotFoundError(cursor)
        return self._storage.page(
            user_id, filters or {}, after=after, limit=limit, max_bytes=MAX_PAGE
        )

    def count(self, user_id: int, filters: Mapping[str, Any] | None = None) -> int:
        """Return how many of the user's leads pass all filters."""
        return self._storage.count(user_id, filters or {})

    # Many leads

    def count_by_status(self, user_id: int | None = None) -> dict[str, int]:
        """Return how many leads stand at each status: the user's, or without one everybody's."""
        return dict.fromkeys(STATUSES, 0) | self._storage.count_by_status(user_id)

    def rescore(self, batch: int = 1000) -> Iterator[int]:
        """Score everybody's leads anew; ``updated_at`` stays, for a score is no work on a lead.

        Args:
            batch: How many leads a transaction scores.

        Yields:
            How many leads each batch had.

        Raises:
            ScorerError: The scorer failed; the batches before are stored.

        """
        last, count = 0, batch
        while count == batch:
            with self._storage.writing():
                leads = self._storage.leads_after(last, batch)
                for lead in leads:
                    if (points := self._score(lead)) != lead["score"]:
                        self._storage.set_score(lead["id"], points)
            count = len(leads)
            last = leads[-1]["id"] if leads else last
            yield count

    def reassign(self, old: int, new: int, filters: Mapping[str, Any] | None = None) -> int:
        """Give the leads of one user that pass all filters to another; return how many.

        They are scored anew, with the write lock held, and their ``updated_at`` moves. The
        idempotency keys that made them hold for both users from then on: whichever of them sends a
        create again, no second lead is made.

        Raises:
            AccountError: Both are the same user, or the second one has been removed.
            ScorerError: The scorer failed.

        """
        if old == new:
            raise AccountError("both are the same user; name two")
        with self._storage.writing(bulk=True):
            self.confirm_users([new])
            now = self._clock()

            def change(lead: dict[str, Any]) -> dict[str, Any]:
                moved = lead | {"user_id": new}
                updated_at = later(lead["updated_at"], now)
                return moved | {"score": self._score(moved), "updated_at": updated_at}

            return self._storage.move_leads(old, new, filters or {}, change)

    def forget(self, user_id: int) -> int:
        """Erase a user's leads and all that is kept beside them; return how many leads."""
        with self._storage.writing(bulk=True):
            return self._storage.forget_user(user_id)

    def confirm_users(self, user_ids: Iterable[int]) -> None:
        """Check that users exist, as far as that can be known.

        Raises:
            AccountError: One has been removed.

        """
        for user_id in user_ids:
            if self._has_own_users and not self._storage.has_user(user_id):
                raise AccountError(f"the user with id {user_id} does not exist any more")

    def _new_lead(self, user_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
        lead = {"user_id": user_id, **new_lead(values)}
        return lead | {"score": self._score(lead)}

    def _insert(self, lead: dict[str, Any], now: str) -> dict[str, Any]:
        lead |= {"created_at": now, "updated_at": now}
        return self._storage.insert_lead(lead, of_known_user=self._has_own_users)

    def _expected(
        self, user_id: int, lead_id: int, versions: Container[str] | None
    ) -> dict[str, Any]:
        lead = self.get(user_id, lead_id)
        if versions is not None and lead["updated_at"] not in versions:
            raise LeadChangedError(lead)
        return lead


def how_many(count: int) -> str:
    """Return a number of leads in words."""
    return f"{count} lead{'' if count == 1 else 's'}"
