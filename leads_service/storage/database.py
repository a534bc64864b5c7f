"""The part of ``Storage`` that all engines share, in Peewee's portable queries."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from itertools import compress, pairwise, product
from typing import Any

from peewee import JOIN, SQL, Database, IntegrityError, PeeweeException, fn

from leads_service._compat.peewee import execute, translated_errors
from leads_service.exceptions import (
    CommitOutcomeUnknownError,
    NameTakenError,
    StorageError,
    StorageUnavailableError,
    StorageUnusableError,
    TokenGoneError,
    UserGoneError,
)
from leads_service.lead import BEGINNING, FIELDS, later
from leads_service.storage import history, queries
from leads_service.storage.base import (
    CountedLead,
    Counts,
    Figure,
    KeyRecord,
    Lengths,
    Position,
    Result,
    StatusChangeRecord,
    TokenKey,
    TokenRecord,
)
from leads_service.storage.errors import (
    PROGRAMMING_ERRORS,
    one_line,
    raise_translated,
    storage_errors,
)
from leads_service.storage.migrations import Migrations
from leads_service.storage.models import (
    BITS,
    REACHED,
    TABLES,
    TABLES_WITH_OWNER,
    DeletedLead,
    Idempotency,
    Lead,
    StatusChange,
    Token,
    User,
)
from leads_service.storage.queries import Statement

SECOND = timedelta(seconds=1)
MOVE_BATCH = 500  # leads that ``move_leads`` has in memory at a time
BESIDE_LEADS = tuple(table for table in TABLES_WITH_OWNER if table is not Lead)
MAX_SWEPT_KEYS = 100  # expired keys that ``claim_key`` deletes at most


class DatabaseStorage(ABC):
    """Base class of the engines: a ``Storage`` on a Peewee database.

    An engine adds ``transaction``, ``was_rolled_back``, ``no_wait``, ``next_lead_id``, ``page``,
    ``insert_leads``, ``lock_tables``, and the methods for a copy of everything and for maintenance.

    Attributes:
        location: The name of the database in messages.
        is_embedded: Whether queries run in this process.
        migrations: The migrations of the engine's schema.
    """

    location: str
    is_embedded: bool
    migrations: Migrations

    def __init__(self, database: Database):
        self.database = database
        owner = self.locking(queries.select_user(), "FOR KEY SHARE")
        token = queries.select_token_id()
        self._insert = {
            (of_known_user, has_token, has_id): self.statement(
                queries.insert_lead(
                    *compress((owner, token), (of_known_user, has_token)), has_id=has_id
                )
            )
            for of_known_user, has_token, has_id in product((False, True), repeat=3)
        }
        self._lead = self.statement(queries.select_lead())
        self._lead_for_update = self.statement(self.locking(queries.select_lead()))
        self._update = self.statement(queries.update_lead())
        self._delete = self.statement(queries.delete_lead())
        self._position = self.statement(queries.select_position(Lead))
        self._former_position = self.statement(queries.select_position(DeletedLead))
        self._keep_position = self.statement(queries.keep_position())
        self._add_status_change = self.statement(history.insert_status_change())
        self._status_changes = self.statement(history.select_status_changes())
        self._last_status_change = self.statement(history.select_last_status_change())
        self._delete_status_change = self.statement(history.delete_status_change())
        self._delete_status_changes = self.statement(history.delete_status_changes())
        self._count = {
            (query, of_company): self.statement(query(of_company=of_company))
            for query in history.COUNTS
            for of_company in (False, True)
        }
        self._token = self.statement(queries.select_token())
        self._token_id = self.statement(token)
        self._note_use = self.statement(queries.note_token_use())
        self._key = self.statement(queries.select_key())
        self._claim_key = self.statement(queries.claim_key(self.next_lead_id))
        self._sweep_keys = self.statement(self.sweep_keys())

    def statement(self, query: Any) -> Statement:
        """Return a query as a statement, with which it is run."""
        return Statement(self.database, query)

    def locking(self, query: Any, how: str = "FOR UPDATE") -> Any:
        """Return a query that locks the rows it selects until the transaction ends.

        An engine whose writers take turns needs no such locks.
        """
        return query

    # Connections

    def connect(self) -> bool:
        """Open a connection for this thread, unless it has one; return whether it had none."""
        try:
            return bool(self.database.connect(reuse_if_open=True))
        except PeeweeException as error:
            raise_translated(error)

    def close(self) -> None:
        """Release this thread's connection."""
        with storage_errors:
            self.database.close()

    def check_health(self) -> None:
        """Read from the database, on a temporary connection if this thread has none."""
        is_ours = self.connect()
        try:
            with storage_errors, translated_errors:
                execute(self.database, "SELECT name FROM leads_migration LIMIT 1").fetchone()
        finally:
            if is_ours:
                self.close()

    def dispose(self) -> None:
        """Close this thread's connection."""
        self.close()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Connect for the block, and ``dispose`` after it if this thread had no connection."""
        try:
            is_ours = self.connect()
        except StorageUnavailableError as error:
            raise StorageUnusableError(f"cannot use {self.location}: {one_line(error)}") from error
        try:
            yield
        finally:
            if is_ours:
                self.dispose()

    @contextmanager
    def writing(self, *, is_single: bool = False) -> Iterator[None]:
        """Run the block in a write transaction, or in a savepoint of the transaction that is open.

        The engine says how a transaction begins, and which failures of a COMMIT have undone it.
        """
        is_committing = False
        try:
            with self.transaction(is_single=is_single):
                yield
                is_committing = True
        except CommitOutcomeUnknownError:
            raise
        except (PeeweeException, StorageUnavailableError) as error:
            if isinstance(error, PROGRAMMING_ERRORS):
                raise_translated(error)
            if is_committing and not self.was_rolled_back(error):
                raise CommitOutcomeUnknownError(one_line(error)) from error
            if isinstance(error, PeeweeException):
                raise_translated(error)
            raise

    def transact(self, work: Callable[[], Result], *, is_single: bool = False) -> Result:
        """Run a function in a write transaction, and return what it returns."""
        with self.writing(is_single=is_single):
            return work()

    @abstractmethod
    def transaction(self, *, is_single: bool = False) -> AbstractContextManager[Any]:
        """Run the block in a transaction, or in a savepoint of the transaction that is open.

        Args:
            is_single: As for ``writing``.
        """

    @abstractmethod
    def was_rolled_back(self, error: Exception) -> bool:
        """Return whether a COMMIT that failed has certainly changed nothing."""

    # Schema

    def exists(self) -> bool:
        """Return whether the database exists and has this package's tables."""
        with self.unusable(), self.opened():
            return self.migrations.exist(self.database)

    def migrate(self) -> list[str]:
        """Apply the pending migrations; return their names."""
        with self.unusable(), self.opened():
            if not self.pending_migrations():
                return []
            with self.writing(), self.schema_lock():
                return self.migrations.apply_pending(self.database, self.location)

    @abstractmethod
    def schema_lock(self) -> AbstractContextManager[None]:
        """Keep other processes from migrating until the transaction ends."""

    def pending_migrations(self) -> list[str]:
        """Return the names of the migrations that have not been applied."""
        with self.unusable(), self.opened():
            return self.migrations.pending(self.database, self.location)

    @contextmanager
    def unusable(self) -> Iterator[None]:
        """Convert all errors of the database in the block to StorageUnusableError."""
        try:
            # Peewee does not convert the driver's error of a pragma, for example.
            with translated_errors:
                yield
        except StorageUnusableError:
            raise
        except (StorageError, PeeweeException) as error:
            raise StorageUnusableError(f"cannot use {self.location}: {one_line(error)}") from error

    @property
    @abstractmethod
    def next_lead_id(self) -> Any:
        """The expression for the id of the lead that is inserted next."""

    def sweep_keys(self) -> Any:
        """Return the query that deletes up to ``limit`` keys which have expired at ``since``."""
        return queries.sweep_keys(queries.expired_keys())

    @abstractmethod
    def no_wait(self) -> AbstractContextManager[None]:
        """Make writes in the block fail at once if the database is locked."""

    # One user's leads

    def insert_lead(
        self, lead: Mapping[str, Any], *, of_known_user: bool, token: TokenKey | None = None
    ) -> dict[str, Any]:
        """Insert a lead and return it with its id."""
        statement = self._insert[of_known_user, token is not None, "id" in lead]
        if not (rows := statement.rows(lead if token is None else {**lead, **_named(token)})):
            # With its user, a token is gone, too.
            raise UserGoneError(lead["user_id"]) if token is None else TokenGoneError
        stored = {**lead, "id": rows[0][0]}
        return {name: stored[name] for name in FIELDS}

    def lead(
        self, user_id: int, lead_id: int, *, for_update: bool = False
    ) -> dict[str, Any] | None:
        """Return a lead of the user's; None if the user has none with this id."""
        statement = self._lead_for_update if for_update else self._lead
        rows = statement.rows({"user_id": user_id, "id": lead_id})
        return _lead(rows[0]) if rows else None

    def update_lead(self, lead: Mapping[str, Any]) -> dict[str, Any]:
        """Update the fields ``lead.CHANGING`` of a lead, and return the stored lead."""
        return _lead(self._update.rows(lead)[0])

    def add_status_change(self, lead: Mapping[str, Any], from_status: str) -> None:
        """Record that the status of a lead has changed, or that it is what it was before."""
        now = lead["updated_at"]
        if rows := self._last_status_change.rows({**lead, "limit": 1}):
            ((since, is_estimate, reached, before),) = rows
            is_back = before == lead["status"] and not is_estimate
            if is_back and _seconds(since, now) <= history.MAX_MISTAKE:
                self._delete_status_change.rows({**lead, "changed_at": since})
                return
        else:
            since, is_estimate, reached = lead["created_at"], False, REACHED[from_status]
        change = {
            "user_id": lead["user_id"],
            "lead_id": lead["id"],
            "changed_at": now,
            "from_status": from_status,
            "to_status": lead["status"],
            "is_estimate": False,
            "seconds": None if is_estimate else _seconds(since, now),
            "reached_before": reached,
            "reached": reached | REACHED[lead["status"]],
            "company_id": lead["company_id"],
            "lead_created_at": lead["created_at"],
        }
        self._add_status_change.rows(change)

    def status_changes(self, user_id: int, lead_id: int) -> list[StatusChangeRecord]:
        """Return the status changes of a lead of the user's, oldest first."""
        rows = self._status_changes.rows({"user_id": user_id, "id": lead_id})
        return [StatusChangeRecord(*row) for row in rows]

    def last_status_changes(self, user_id: int, lead_ids: Sequence[int]) -> dict[int, str]:
        """Return when the statuses of the user's leads last changed, by id."""
        last = StatusChange.select(StatusChange.lead_id, fn.MAX(StatusChange.changed_at))
        own = (StatusChange.user_id == user_id) & StatusChange.lead_id.in_(lead_ids)
        return dict(self._rows(last.where(own).group_by(StatusChange.lead_id)))

    def _counted(
        self, query: Any, user_id: int, company_id: int | None, **values: Any
    ) -> list[tuple[Any, ...]]:
        """Run one of ``history.COUNTS``."""
        statement = self._count[query, company_id is not None]
        return statement.rows({"user_id": user_id, "company_id": company_id, **values})

    def first_created(self, user_id: int, company_id: int | None = None) -> str | None:
        """Return when the first of the user's leads was created; None if there are none."""
        created_at: str | None = self._counted(history.first_created, user_id, company_id)[0][0]
        return created_at

    def counts_between(
        self, user_id: int, moments: Sequence[str], company_id: int | None = None
    ) -> list[Counts]:
        """Return what happened from each moment to before the next one."""

        def count(query: Any, since: str, until: str, **values: str) -> int:
            rows = self._counted(query, user_id, company_id, since=since, until=until, **values)
            return int(rows[0][0])

        return [
            Counts(
                count(history.count_created, *time),
                count(history.count_ended, *time, to_status="converted"),
                count(history.count_ended, *time, to_status="lost"),
            )
            for time in pairwise(moments)
        ]

    def reached(
        self, user_id: int, since: str, until: str, company_id: int | None = None
    ) -> dict[str, int]:
        """Return how many of the leads created within a time ever reached each further status."""
        time = {"since": since, "until": until}
        reached: Counter[str] = Counter()
        for before, after, count in self._counted(
            history.count_reached, user_id, company_id, **time
        ):
            reached.update({s: count for s in BITS if history.is_reached(s, before, after)})
        return dict(reached)

    def stays(
        self, user_id: int, since: str, until: str, company_id: int | None = None
    ) -> dict[str, Lengths]:
        """Return how long leads were in each status, of the stays that ended within a time."""
        time = {"since": since, "until": until}

        def percentile(status: str, count: int, percent: int) -> int | None:
            # The offset is that of the nearest rank, from 0.
            terms = time | {"from_status": status, "limit": 1}
            offset = (count * percent - 1) // 100
            rows = self._counted(history.select_stay, user_id, company_id, **terms, offset=offset)
            return int(rows[0][0]) if rows else None

        return {
            status: Lengths(count, percentile(status, count, 50), percentile(status, count, 90))
            for status, count in self._counted(history.count_stays, user_id, company_id, **time)
        }

    def drill_down(
        self, user_id: int, figure: Figure, *, after: tuple[str | int, int] | None, limit: int
    ) -> list[CountedLead]:
        """Return the leads that a figure counts, each one once."""
        query = history.drill_down(figure, is_first=after is None)
        place, lead_id = after or (None, None)
        values = figure._asdict() | {"user_id": user_id, "limit": limit}
        values |= {"from_status": figure.status, "to_status": figure.status}
        if isinstance(place, str):
            # No end that is later than the place: SQLite may begin its scan at either.
            values["until"] = min(figure.until, later(place, BEGINNING))
        rows = self.statement(query).rows(values | {"place": place, "id": lead_id})
        return [CountedLead(_lead(row[:-2]), *row[-2:]) for row in rows]

    def delete_lead(self, user_id: int, lead_id: int) -> None:
        """Delete a lead and its status changes; keep its position."""
        ids = {"user_id": user_id, "id": lead_id}
        self._delete_status_changes.rows(ids)
        self._keep_position.rows(ids)
        self._delete.rows(ids)

    def position(self, user_id: int, lead_id: int) -> Position | None:
        """Return the position of a lead that the user has or had; None if there never was one."""
        ids = {"user_id": user_id, "id": lead_id}
        rows = self._position.rows(ids) or self._former_position.rows(ids)
        return Position(*rows[0]) if rows else None

    def count(self, user_id: int, filters: Mapping[str, Any]) -> int:
        """Return how many of the user's leads pass all filters."""
        own = Lead.user_id == user_id
        query = Lead.select(fn.COUNT(Lead.id)).where(own, *queries.where(filters))
        return int(self._rows(query)[0][0])

    # Many leads

    def count_by_status(
        self, user_id: int | None = None, filters: Mapping[str, Any] | None = None
    ) -> dict[str, int]:
        """Return the number of leads by status; a status without leads is missing."""
        counts = Lead.select(Lead.status, fn.COUNT(Lead.id)).group_by(Lead.status)
        if user_id is not None:
            counts = counts.where(Lead.user_id == user_id)
        if filters:
            counts = counts.where(*queries.where(filters))
        return dict(self._rows(counts))

    def export_leads(
        self, names: Iterable[str], filters: Mapping[str, Any], *, user_id: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a snapshot of the leads that pass all filters, by owner and oldest first."""
        leads = Lead.select(Lead.user_id, User.name, *queries.columns(names))
        leads = leads.join(User, JOIN.LEFT_OUTER, on=(User.id == Lead.user_id))
        if user_id is not None:
            leads = leads.where(Lead.user_id == user_id)
        if filters:
            leads = leads.where(*queries.where(filters))
        leads = leads.order_by(Lead.user_id, Lead.created_at, Lead.id).tuples()
        yield from self.stream(leads)

    def stream(self, query: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query without having all of them in memory."""
        with storage_errors, translated_errors:  # the second for what is raised while rows are read
            yield from query.execute(self.database).iterator()

    def leads_after(self, lead_id: int, limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` leads of all users with higher ids, in the order of their ids."""
        leads = Lead.select(*queries.columns()).where(Lead.id > lead_id)
        return [_lead(row) for row in self._rows(leads.order_by(Lead.id).limit(limit))]

    def set_score(self, lead: Mapping[str, Any], score: int) -> None:
        """Set the score of a lead, unless it has been changed; its other fields stay."""
        same = [getattr(Lead, name) == lead[name] for name in ("user_id", "id", "updated_at")]
        self._run(Lead.update(score=score).where(*same))

    def move_leads(
        self,
        old: int,
        new: int,
        filters: Mapping[str, Any],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> int:
        """Move the leads of one user that pass all filters to another; return how many."""
        own = Lead.select(Lead.id).where(Lead.user_id == old, *queries.where(filters))
        ids = [lead_id for (lead_id,) in self._rows(self.locking(own))]
        with self.reindexing(len(ids)):
            for batch in _batches(ids):
                self._move(old, new, batch, change)
        self._share_keys(old, new, frozenset(ids))
        return len(ids)

    def _move(
        self,
        old: int,
        new: int,
        ids: Sequence[int],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        # No statement concerns the rows of two users: they may lie on two servers.
        own = (Lead.user_id == old) & Lead.id.in_(ids)
        leads = [_lead(row) for row in self._rows(Lead.select(*queries.columns()).where(own))]
        self._run(Lead.delete().where(own))
        self._run(Lead.insert_many({**change(lead), "user_id": new} for lead in leads))
        self._move_status_changes(old, new, ids)
        # To the old owner's cursors the leads are deleted. To the new owner's they exist, again if
        # they were theirs before.
        kept = [{name: lead[name] for name in ("user_id", "id", "created_at")} for lead in leads]
        self._run(DeletedLead.insert_many(kept).on_conflict_ignore())
        back = DeletedLead.delete().where(DeletedLead.user_id == new, DeletedLead.id.in_(ids))
        self._run(back)

    def _move_status_changes(self, old: int, new: int, ids: Sequence[int]) -> None:
        own = (StatusChange.user_id == old) & StatusChange.lead_id.in_(ids)
        changes = self._rows(StatusChange.select().where(own))
        self._run(StatusChange.delete().where(own))
        names = StatusChange._meta.sorted_field_names
        for batch in _batches(changes):
            moved = [{**dict(zip(names, row, strict=True)), "user_id": new} for row in batch]
            self._run(StatusChange.insert_many(moved))

    def _share_keys(self, old: int, new: int, ids: Container[int]) -> None:
        """Copy to ``new`` the keys of ``old`` that created the leads with these ids."""
        rows = self._rows(Idempotency.select().where(Idempotency.user_id == old))
        keys = [dict(zip(Idempotency._meta.sorted_field_names, row, strict=True)) for row in rows]
        shared = [{**key, "user_id": new} for key in keys if key["lead_id"] in ids]
        for batch in _batches(shared):
            self._run(Idempotency.insert_many(batch).on_conflict_ignore())

    def forget_user(self, user_id: int, *, has_leads: bool = True) -> int:
        """Delete all that the user owns; return how many leads."""
        count = self.count(user_id, {}) if has_leads else 0
        with self.reindexing(count):
            for table in TABLES_WITH_OWNER if has_leads else BESIDE_LEADS:
                self._run(table.delete().where(table.user_id == user_id))
        return count

    def reindexing(self, count: int) -> AbstractContextManager[None]:
        """Rebuild the indexes after the block, if that pays for writing ``count`` leads."""
        return nullcontext()

    # Users and tokens

    def add_user(self, name: str, created_at: str) -> int:
        """Add a user and return the id."""
        try:
            return int(self._run(User.insert(name=name, created_at=created_at)))
        except IntegrityError as error:
            raise NameTakenError(f"user {name!r} exists already") from error

    def users(self) -> list[dict[str, Any]]:
        """Return every user's ``id``, ``name`` and ``created_at``, in the order of the ids."""
        with storage_errors, translated_errors:
            return list(User.select().order_by(User.id).dicts().execute(self.database))

    def user_id(self, name: str, *, for_update: bool = False) -> int | None:
        """Return the id of the user with this name; None if there is none."""
        user = User.select(User.id).where(User.name == name)
        rows = self._rows(self.locking(user) if for_update else user)
        return int(rows[0][0]) if rows else None

    def has_user(self, user_id: int, *, for_update: bool = False) -> bool:
        """Return whether there is a user with this id."""
        user = User.select(User.id).where(User.id == user_id)
        return bool(self._rows(self.locking(user, "FOR KEY SHARE") if for_update else user))

    def rename_user(self, user_id: int, name: str) -> None:
        """Rename a user."""
        try:
            self._run(User.update(name=name).where(User.id == user_id))
        except IntegrityError as error:
            raise NameTakenError(f"user {name!r} exists already") from error

    def delete_user(self, user_id: int) -> None:
        """Delete a user and the user's tokens; leads are kept."""
        # Not by ON DELETE CASCADE: a host's database may not enforce foreign keys.
        self._run(Token.delete().where(Token.user == user_id))
        self._run(User.delete().where(User.id == user_id))

    def add_token(self, user_id: int, values: Mapping[str, Any]) -> None:
        """Store a token."""
        self._run(Token.insert(user=user_id, **values))

    def tokens(self, user_id: int | None = None) -> list[dict[str, Any]]:
        """Return tokens in the order of their ids, each with all columns and ``user_name``."""
        tokens = Token.select(Token, User.name.alias("user_name")).join(User).order_by(Token.id)
        if user_id is not None:
            tokens = tokens.where(Token.user == user_id)
        with storage_errors, translated_errors:
            return list(tokens.dicts().execute(self.database))

    def delete_token(self, token_id: int) -> bool:
        """Delete a token and the sessions that came from it; return whether there was one."""
        # Both said here: a host's SQLite may not enforce foreign keys.
        its = (Token.id == token_id) | (Token.parent == token_id)
        return bool(self._run(Token.delete().where(its)))

    def delete_idle_sessions(self, user_id: int, last_used: str) -> None:
        """Delete the sessions of a user that were not used after ``last_used``."""
        sessions = (Token.user == user_id) & Token.parent.is_null(False)
        self._run(Token.delete().where(sessions & (Token.last_used_at <= last_used)))

    def token(self, digest: str) -> TokenRecord | None:
        """Return the token with this digest; None if there is none."""
        rows = self._token.rows({"digest": digest})
        return TokenRecord(*rows[0]) if rows else None

    def has_token(self, token: TokenKey) -> bool:
        """Return whether a token exists."""
        return bool(self._token_id.rows(_named(token)))

    def note_token_use(self, token_id: int, now: str) -> None:
        """Record when a token was used; skip it if another writer holds the lock."""
        with suppress(StorageUnavailableError), self.no_wait():
            self._note_use.rows({"token_id": token_id, "now": now})

    # Idempotency keys

    def key(self, user_id: int, key: str, since: str) -> KeyRecord | None:
        """Return the record of a user's key that was used after ``since``; None without one."""
        rows = self._key.rows({"user_id": user_id, "key": key, "since": since})
        return KeyRecord(*rows[0]) if rows else None

    def claim_key(self, user_id: int, key: str, digest: str, now: str, since: str) -> int | None:
        """Store a user's key, unless it was used after ``since``; delete some expired keys."""
        values = {"user_id": user_id, "key": key, "digest": digest, "created_at": now}
        if not (rows := self._claim_key.rows(values | {"since": since})):
            return None
        self._sweep_keys.rows({"user_id": user_id, "since": since, "limit": MAX_SWEPT_KEYS})
        return int(rows[0][0])

    # A copy of everything

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Let all that the block reads be of one moment."""

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table in the order of its primary key."""
        model = TABLES[table]
        key = model._meta.get_primary_keys()
        yield from self.stream(model.select().order_by(*key).tuples())

    def is_empty(self) -> bool:
        """Return whether no table has a row; until the transaction ends, nobody else adds one."""
        with storage_errors, translated_errors:
            names = [name for name in TABLES if self.database.table_exists(name)]
        self.lock_tables(names)
        return not any(self._rows(TABLES[name].select(SQL("1")).limit(1)) for name in names)

    @abstractmethod
    def lock_tables(self, names: Sequence[str]) -> None:
        """Keep others from writing to these tables until the transaction ends."""

    def _rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        with storage_errors, translated_errors:
            return execute(self.database, *query.bind(self.database).sql()).fetchall()

    def _run(self, query: Any) -> Any:
        """Run a write; return the id of an inserted row, or the number of affected rows."""
        with storage_errors:
            return query.execute(self.database)


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the items in sequences of up to ``MOVE_BATCH``."""
    for first in range(0, len(items), MOVE_BATCH):
        yield items[first : first + MOVE_BATCH]


def _named(token: TokenKey) -> dict[str, Any]:
    return {"token_id": token[0], "digest": token[1]}


def _seconds(since: str, until: str) -> int:
    """Return the whole seconds from one timestamp to another, 0 if they are the other way round."""
    return max(0, (datetime.fromisoformat(until) - datetime.fromisoformat(since)) // SECOND)


def _lead(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(FIELDS, row, strict=True))
