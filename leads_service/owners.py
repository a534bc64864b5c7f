"""Whose leads are whose: how they change hands, and how they go with their user."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from peewee import SQL, SqliteDatabase, Value, fn

from leads_service.accounts import AccountError, Accounts
from leads_service.bulk import filtered
from leads_service.models import Clock, DeletedLead, Idempotency, Lead, later
from leads_service.scoring import Scorer, score
from leads_service.sqlite import bulk_write, erasing, indexed_afterwards, writing
from leads_service.statements import peewee_errors

OWNED = (Lead, DeletedLead, Idempotency)  # every table with a column user_id
BATCH = 500  # leads; what is in memory at a time
# From so many leads on, which are so large a share of all, indexing all of them anew is faster.
MANY = 10_000
SHARE = 0.1

MOVE = "UPDATE leads_lead SET user_id = ?, score = ?, updated_at = ? WHERE user_id = ? AND id = ?"


class Owners:
    """The users in one database as the owners of leads."""

    def __init__(
        self,
        database: SqliteDatabase,
        scorer: Scorer,
        clock: Clock,
        accounts: Accounts,
        *,
        users_are_ours: bool,
    ):
        """Take whether the users are in ``accounts``; otherwise a host knows them."""
        self._database = database
        self._scorer = scorer
        self._clock = clock
        self._accounts = accounts
        self._users_are_ours = users_are_ours

    def confirm(self, user_ids: Iterable[int]) -> None:
        """Raise AccountError if one of them is no user, as far as that can be known."""
        for user_id in user_ids:
            if self._users_are_ours and not self._accounts.exists(user_id):
                raise AccountError(f"the user with id {user_id} does not exist any more")

    def count(self, user_id: int, filters: Mapping[str, Any] | None = None) -> int:
        """Return how many of the user's leads pass the API's filters."""
        return int(_leads(user_id, filters).count(self._database))

    def reassign(self, old: int, new: int, filters: Mapping[str, Any] | None = None) -> int:
        """Give the leads of ``old`` that pass the API's filters to ``new``; return how many.

        They are scored anew, with the write lock held, and their ``updated_at`` grows. The
        idempotency keys that made them hold for both users from now on, unless ``new`` has the
        same key: whichever of them sends a create again, no second lead is made. All of this is
        done, or nothing: raises AccountError for two users that are one, or a ``new`` one that is
        none, or ScorerError.
        """
        if old == new:
            raise AccountError("both are the same user; name two")
        with bulk_write(self._database), writing(self._database):
            self.confirm([new])
            ids = [lead_id for (lead_id,) in _leads(old, filters).tuples().execute(self._database)]
            now = self._clock()
            with self._indexed(len(ids)):
                for first in range(0, len(ids), BATCH):
                    self._move(old, new, ids[first : first + BATCH], now)
            self._share_keys(old, new)
        return len(ids)

    def forget(self, user_id: int) -> int:
        """Erase the user's leads, and all else that is the user's; return how many leads."""
        with bulk_write(self._database), writing(self._database), erasing(self._database):
            count = self.count(user_id)
            with self._indexed(count):
                for table in OWNED:
                    table.delete().where(table.user_id == user_id).execute(self._database)
        return count

    def count_to_remove(self, name: str, *, leads_to: str | None, erase: bool) -> int:
        """Return how many leads ``remove_user`` finds now, or raise the AccountError that it would.

        A caller who asks before it removes asks what makes sense.
        """
        user_id = self._accounts.user_id(name)
        if leads_to is not None and self._accounts.user_id(leads_to) == user_id:
            raise AccountError(f"{name!r} can't get the leads of {name!r}; name another user")
        count = self.count(user_id)
        if count and leads_to is None and not erase:
            raise AccountError(
                f"{name!r} has {how_many(count)}; give them to another user with --leads-to, "
                "or erase them with --erase"
            )
        return count

    def remove_user(self, name: str, *, leads_to: str | None = None, erase: bool = False) -> int:
        """Remove a user of ours, whose tokens end at once; return how many leads there were.

        They go to the user called ``leads_to``, or are erased with ``erase``. All of this is done,
        or nothing: raises AccountError if a name is nobody's, or if there are leads and neither
        is said, or ScorerError.
        """
        with writing(self._database):
            count = self.count_to_remove(name, leads_to=leads_to, erase=erase)
            user_id = self._accounts.user_id(name)
            if leads_to is not None:
                self.reassign(user_id, self._accounts.user_id(leads_to))
            self.forget(user_id)
            self._accounts.delete_user(user_id)
        return count

    @contextmanager
    def _indexed(self, count: int) -> Iterator[None]:
        """Let a block that changes so many leads index all of them anew, where that is faster."""
        last = Lead.select(fn.MAX(Lead.id)).scalar(self._database) or 0  # no more leads than that
        pays = count >= max(MANY, last * SHARE)
        with indexed_afterwards(self._database, "leads_lead") if pays else nullcontext():
            yield

    def _move(self, old: int, new: int, ids: list[int], now: datetime) -> None:
        own = Lead.select().where(Lead.user_id == old, Lead.id.in_(ids)).dicts()
        rows = [
            (
                new,
                score(self._scorer, lead | {"user_id": new}),
                later(lead["updated_at"], now),
                old,
                lead["id"],
            )
            for lead in own.execute(self._database)
        ]
        with peewee_errors:
            self._database.connection().executemany(MOVE, rows)
        # For the one they are as if deleted, for a walk that goes on; for the other they are back.
        stood = [DeletedLead.user_id, DeletedLead.id, DeletedLead.created_at]
        moved = Lead.select(Value(old), Lead.id, Lead.created_at)
        moved = moved.where(Lead.user_id == new, Lead.id.in_(ids))
        DeletedLead.insert_from(moved, stood).on_conflict_ignore().execute(self._database)
        back = DeletedLead.delete().where(DeletedLead.user_id == new, DeletedLead.id.in_(ids))
        back.execute(self._database)

    def _share_keys(self, old: int, new: int) -> None:
        """Let the keys of ``old`` that made what is now a lead of ``new`` be keys of both."""
        made = [Idempotency.key, Idempotency.digest, Idempotency.lead_id, Idempotency.created_at]
        moved = Lead.select(SQL("1")).where(Lead.user_id == new, Lead.id == Idempotency.lead_id)
        keys = Idempotency.select(Value(new), *made).where(
            Idempotency.user_id == old, fn.EXISTS(moved)
        )
        shared = Idempotency.insert_from(keys, [Idempotency.user_id, *made])
        shared.on_conflict_ignore().execute(self._database)


def how_many(count: int) -> str:
    """Return a number of leads in words."""
    return f"{count} lead{'' if count == 1 else 's'}"


def _leads(user_id: int, filters: Mapping[str, Any] | None) -> Any:
    return filtered(Lead.select(Lead.id), {"user_id": user_id, **(filters or {})})
