"""The ``Storage`` protocol, which every engine implements, and the records that it returns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar


class Position(NamedTuple):
    """The sort key of a lead in the list: ``created_at``, then ``id``, both descending.

    Pages continue after a position (keyset pagination).
    """

    created_at: str
    id: int


class Page(NamedTuple):
    """A page of leads, newest first.

    Attributes:
        data: The leads as the text of a JSON array.
        next_cursor: The id of the last lead, after which the next page begins; None on the last
            page.
        has_more: Whether there is a next page.
    """

    data: str
    next_cursor: int | None
    has_more: bool


# A token's id and its digest: after a restore or a failover, the id may be another one's.
TokenKey = tuple[int, str]


class TokenRecord(NamedTuple):
    """What is stored of a token, as far as authentication needs it.

    ``expires_at`` is None if it never expires, ``last_used_at`` if it was never used. ``parent_id``
    is that of the token from which a session came; None if it is no session.
    """

    id: int
    user_id: int
    read_only: bool
    expires_at: str | None
    last_used_at: str | None
    parent_id: int | None


class KeyRecord(NamedTuple):
    """A used idempotency key: the digest of the request's body, and the lead that it created."""

    digest: str
    lead_id: int


class StatusChangeRecord(NamedTuple):
    """A change of a lead's status, and when.

    ``is_estimate`` tells that it was derived from the present status and the last change of the
    lead; what was in between is not known.
    """

    changed_at: str
    from_status: str
    to_status: str
    is_estimate: bool  # on SQLite 0 or 1


class Counts(NamedTuple):
    """How many leads were created within a time, and how many first converted or first lost."""

    created: int
    converted: int
    lost: int


class Lengths(NamedTuple):
    """How many stays in a status ended, and two percentiles of their lengths in seconds.

    Each is the length of a stay (nearest rank); None where stays have just been deleted.
    """

    ended: int
    median: int | None
    ninetieth: int | None


EVENTS = ("reached", "became", "left")


class Figure(NamedTuple):
    """What a figure of the progress counts, between two times, for a company or all (None).

    Attributes:
        event: One of ``EVENTS``: ``reached`` for leads created within the time that have ever
            reached the status; ``became`` for those that first got it within the time, where it is
            converted or lost; ``left`` for stays in it of a known length that ended then.
        status: The status.
        since: The time's beginning.
        until: Its end, which does not belong to it.
        company_id: Of which company; None for all.
    """

    event: str
    status: str
    since: str
    until: str
    company_id: int | None = None


class CountedLead(NamedTuple):
    """A lead that a figure counts.

    Attributes:
        lead: All its fields.
        counted_at: When it was created, or when its status changed so that it counts.
        place: What the list is ordered by: a time, or the length of its longest stay in seconds.
    """

    lead: dict[str, Any]
    counted_at: str
    place: str | int


Result = TypeVar("Result")


class Storage(Protocol):
    """Persistence of users, tokens, leads and idempotency keys.

    A lead is a mapping with the names of ``lead.FIELDS``. Times are texts as ``lead.timestamp``
    formats them. Filters are mappings from names of ``lead.FILTERS`` to values.

    Each method may raise ``StorageUnavailableError`` (unreachable, locked for longer than the busy
    timeout, full, damaged; nothing was stored) unless it names ``StorageUnusableError``, and what
    else it names. No error of a database or a driver leaves a storage.

    Threads may share a storage; each has a connection of its own between ``connect`` and ``close``.
    A method that finds none opens one, which then stays until ``close``; a host's database that
    does not connect by itself raises StorageUnavailableError instead.

    Methods that change something are called within ``writing``, but for ``migrate``,
    ``insert_leads``, ``note_token_use`` and ``restore``, which see to it themselves.

    Attributes:
        location: The name of the database in messages: a path, or an address without a password.
        is_embedded: Whether queries run in this process, rather than in a server, for whose answer
            a thread waits.
    """

    location: str
    is_embedded: bool

    # Connections and transactions

    def connect(self) -> bool:
        """Open a connection for this thread, unless it has one.

        Returns:
            Whether the thread had none, and so has to call ``close``.
        """

    def close(self) -> None:
        """Release this thread's connection; do nothing if it has none."""

    def dispose(self) -> None:
        """Close this thread's connection and all idle ones: before a fork, and at the end."""

    def opened(self) -> AbstractContextManager[None]:
        """Connect for the block, and ``dispose`` after it if this thread had no connection.

        Raises:
            StorageUnusableError: No connection can be opened. What it leads to may still turn out
                to be no database, at the first method that reads it.
        """

    def writing(self, *, is_single: bool = False) -> AbstractContextManager[None]:
        """Run the block in a write transaction, or in a savepoint of the transaction that is open.

        What the block has read with ``for_update``, and the key that it has claimed, nobody else
        changes before its end. The changes are durable when the outermost block has ended. An
        exception rolls the block back, and no more of an outer one that handles it.

        Args:
            is_single: Whether the block calls just one method that writes, after which nothing can
                fail. An engine that runs a statement alone in a transaction of its own needs no
                other.

        Raises:
            TransactionConflictError: Nothing was stored; the transaction may be run again.
            StorageUnavailableError: Nothing was stored.
            CommitOutcomeUnknownError: It is not known whether the changes are durable.
        """

    def transact(self, work: Callable[[], Result], *, is_single: bool = False) -> Result:
        """Run a function in a write transaction, and return what it returns.

        An engine may run those of several threads in one transaction, which is faster, and may run
        a function again after a transaction that was rolled back. The function must not begin a
        transaction itself, and has to raise its errors before it writes if it can.

        Args:
            work: The function. It may run in another thread, with this one's context variables.
            is_single: As for ``writing``.

        Raises:
            Exception: What the function has raised; nothing was stored.
            TransactionConflictError: As by ``writing``, as are the following.
            StorageUnavailableError: See there.
            CommitOutcomeUnknownError: See there.
        """

    def check_health(self) -> None:
        """Read from the database, on a temporary connection if this thread has none."""

    # Schema

    def exists(self) -> bool:
        """Return whether the database exists and has this package's tables.

        Raises:
            StorageUnusableError: It can't be read.
        """

    def migrate(self) -> list[str]:
        """Apply the pending migrations; create the database if it does not exist.

        Concurrent processes wait for the first one. The connection is closed afterwards unless it
        was open before.

        Returns:
            The names of the migrations that were applied.

        Raises:
            StorageUnusableError: The schema is newer than this code, or it can't be read or
                written.
        """

    def pending_migrations(self) -> list[str]:
        """Return the names of the migrations that have not been applied.

        Raises:
            StorageUnusableError: The schema is newer than this code, or it can't be read.
        """

    def distribute(self, *, of_known_users: bool) -> list[str]:
        """Distribute the tables over the nodes of a cluster, by the users who own what they hold.

        Args:
            of_known_users: Whether every owner of leads has to be one of ``users``.

        Returns:
            The names of the tables that were not distributed before.

        Raises:
            StorageUnusableError: The engine has no cluster, or a node can't be used.
        """

    # One user's leads

    def insert_lead(
        self, lead: Mapping[str, Any], *, of_known_user: bool, token: TokenKey | None = None
    ) -> dict[str, Any]:
        """Insert a lead and return it with its id.

        Args:
            lead: All its fields; ``id`` only if ``claim_key`` has returned one.
            of_known_user: Whether its owner has to be one of ``users``.
            token: A token that has to exist; None for no such condition.

        Raises:
            TokenGoneError: The token does not exist.
            UserGoneError: The owner has to be a user, and is not.
        """

    def lead(
        self, user_id: int, lead_id: int, *, for_update: bool = False
    ) -> dict[str, Any] | None:
        """Return a lead of the user's; None if the user has none with this id.

        Args:
            user_id: The user's id.
            lead_id: The lead's id.
            for_update: Whether nobody else may change the lead until the transaction ends.
        """

    def update_lead(self, lead: Mapping[str, Any]) -> dict[str, Any]:
        """Update the fields ``lead.CHANGING`` of a lead, and return the stored lead.

        Args:
            lead: All its fields. ``user_id`` and ``id`` identify it; it has to exist.
        """

    def add_status_change(self, lead: Mapping[str, Any], from_status: str) -> None:
        """Record that the status of a lead has changed, at its ``updated_at``.

        A change that is taken back within ``history.MAX_MISTAKE`` seconds is deleted instead.

        Args:
            lead: All its fields, as they are now.
            from_status: Its previous status.
        """

    def status_changes(self, user_id: int, lead_id: int) -> list[StatusChangeRecord]:
        """Return the status changes of a lead of the user's, oldest first."""

    def last_status_changes(self, user_id: int, lead_ids: Sequence[int]) -> dict[int, str]:
        """Return when the statuses of the user's leads last changed, by id.

        Those that have never changed, or that the user does not have, are missing.
        """

    def first_created(self, user_id: int, company_id: int | None = None) -> str | None:
        """Return when the first of the user's leads was created; None if there are none.

        Args:
            user_id: Whose leads.
            company_id: Of which company; None for all.
        """

    def counts_between(
        self, user_id: int, moments: Sequence[str], company_id: int | None = None
    ) -> list[Counts]:
        """Return what happened from each moment to before the next one.

        Args:
            user_id: Whose leads.
            moments: Two or more, ascending.
            company_id: Of which company; None for all.
        """

    def reached(
        self, user_id: int, since: str, until: str, company_id: int | None = None
    ) -> dict[str, int]:
        """Return how many of the leads created within a time ever reached each further status.

        Who has reached one of ``lead.FUNNEL`` has reached those before it. A status that none has
        reached is missing, and so is the first one.

        Args:
            user_id: Whose leads.
            since: The time's beginning.
            until: Its end, which does not belong to it.
            company_id: Of which company; None for all.
        """

    def stays(
        self, user_id: int, since: str, until: str, company_id: int | None = None
    ) -> dict[str, Lengths]:
        """Return how long leads were in each status, of the stays that ended within a time.

        Stays of which it is not known when they began are left out. A status without stays is
        missing.

        Args:
            user_id: Whose leads.
            since: The time's beginning.
            until: Its end, which does not belong to it.
            company_id: Of which company; None for all.
        """

    def drill_down(
        self, user_id: int, figure: Figure, *, after: tuple[str | int, int] | None, limit: int
    ) -> list[CountedLead]:
        """Return the leads that a figure counts, each one once.

        The newest or latest come first, and of ``left`` the longest stays.

        Args:
            user_id: Whose leads.
            figure: The figure.
            after: The ``place`` and the id of the previous page's last lead; None for the first
                page.
            limit: The maximum number of leads.
        """

    def delete_lead(self, user_id: int, lead_id: int) -> None:
        """Delete a lead and its status changes; keep its position, for cursors that refer to it."""

    def position(self, user_id: int, lead_id: int) -> Position | None:
        """Return the position of a lead that the user has or had; None if there never was one."""

    def page(
        self,
        user_id: int,
        filters: Mapping[str, Any],
        *,
        after: Position | None,
        limit: int,
        max_bytes: int,
    ) -> Page:
        """Return the user's newest leads that pass all filters.

        Args:
            user_id: Whose leads.
            filters: The values of some of ``lead.FILTERS`` by name.
            after: The position of the previous page's last lead; None for the first page.
            limit: The maximum number of leads, 1 or more.
            max_bytes: The maximum size of the leads' JSON in bytes of UTF-8, without the brackets
                around them. A first lead that is larger is returned alone.
        """

    def count(self, user_id: int, filters: Mapping[str, Any]) -> int:
        """Return how many of the user's leads pass all filters."""

    # Many leads

    def count_by_status(
        self, user_id: int | None = None, filters: Mapping[str, Any] | None = None
    ) -> dict[str, int]:
        """Return the number of leads by status; a status without leads is missing.

        Args:
            user_id: Whose leads; None for everybody's.
            filters: The values of some of ``lead.FILTERS`` by name; None for all leads.
        """

    def insert_leads(
        self, leads: Iterable[Mapping[str, Any]], confirm: Callable[[set[int]], None]
    ) -> int:
        """Insert leads, all or none, and return how many; ids ascend with ``created_at``.

        The iterable is consumed before the write transaction begins. An exception that it raises
        is passed on, and nothing is stored.

        Args:
            leads: Leads with all fields except ``id``.
            confirm: Called with the owners' ids within the write transaction; raises to cancel it.

        Raises:
            CommitOutcomeUnknownError: It is not known whether the leads are durable.
        """

    def export_leads(
        self, names: Iterable[str], filters: Mapping[str, Any], *, user_id: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a snapshot of the leads that pass all filters, by owner and oldest first.

        Args:
            names: The names of the fields to yield.
            filters: The values of some of ``lead.FILTERS`` by name.
            user_id: Whose leads; None for everybody's.

        Yields:
            For each lead a tuple: the owner's id, the owner's name (None if the owner is not one
            of ``users``), and the fields in the order of ``names``.
        """

    def leads_after(self, lead_id: int, limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` leads of all users with higher ids, in the order of their ids.

        Args:
            lead_id: The id that theirs exceed.
            limit: The maximum number of leads.
        """

    def set_score(self, lead: Mapping[str, Any], score: int) -> None:
        """Set the score of a lead; its other fields, ``updated_at`` included, stay.

        Nothing is changed if somebody else has changed the lead or deleted it.

        Args:
            lead: All its fields, as they were read.
            score: The score.
        """

    def move_leads(
        self,
        old: int,
        new: int,
        filters: Mapping[str, Any],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> int:
        """Move the leads of one user that pass all filters to another; return how many.

        The first user's cursors that refer to them stay valid. The idempotency keys that created
        them are copied to the second user, except keys that the second user has as well.

        Args:
            old: The id of their owner.
            new: The id of their new owner.
            filters: The values of some of ``lead.FILTERS`` by name.
            change: Called with each lead; returns the lead to store.
        """

    def forget_user(self, user_id: int, *, has_leads: bool = True) -> int:
        """Delete a user's leads, their history, positions and keys; return how many leads.

        Args:
            user_id: The user's id.
            has_leads: Whether there are leads to delete; otherwise those that there are stay.
        """

    # Users and tokens

    def add_user(self, name: str, created_at: str) -> int:
        """Add a user and return the id.

        Raises:
            NameTakenError: There is a user with this name.
        """

    def users(self) -> list[dict[str, Any]]:
        """Return every user's ``id``, ``name`` and ``created_at``, in the order of the ids."""

    def user_id(self, name: str, *, for_update: bool = False) -> int | None:
        """Return the id of the user with this name; None if there is none.

        Args:
            name: The user's name.
            for_update: Whether nobody else may change the user, or insert a lead with
                ``of_known_user``, until the transaction ends.
        """

    def has_user(self, user_id: int, *, for_update: bool = False) -> bool:
        """Return whether there is a user with this id.

        Args:
            user_id: The user's id.
            for_update: Whether nobody else may delete the user until the transaction ends.
        """

    def rename_user(self, user_id: int, name: str) -> None:
        """Rename a user.

        Raises:
            NameTakenError: There is a user with this name.
        """

    def delete_user(self, user_id: int) -> None:
        """Delete a user and the user's tokens; leads are kept."""

    def add_token(self, user_id: int, values: Mapping[str, Any]) -> None:
        """Store a token.

        Args:
            user_id: Whose it is.
            values: Its ``digest``, ``prefix``, ``label``, ``read_only``, ``created_at`` and
                ``expires_at``, which may be None; for a session also ``last_used_at`` and
                ``parent``.
        """

    def tokens(self, user_id: int | None = None) -> list[dict[str, Any]]:
        """Return tokens in the order of their ids, each with all columns and ``user_name``.

        Args:
            user_id: Whose tokens; None for everybody's.
        """

    def delete_token(self, token_id: int) -> bool:
        """Delete a token and the sessions that came from it; return whether there was one."""

    def delete_idle_sessions(self, user_id: int, last_used: str) -> None:
        """Delete the sessions of a user that were not used after ``last_used``."""

    def token(self, digest: str) -> TokenRecord | None:
        """Return the token with this digest; None if there is none."""

    def has_token(self, token: TokenKey) -> bool:
        """Return whether a token exists."""

    def note_token_use(self, token_id: int, now: str) -> None:
        """Note when a token was used, if that can be done at once.

        Does nothing, and raises nothing, if another writer has the lock or the storage fails.
        """

    # Idempotency keys

    def key(self, user_id: int, key: str, since: str) -> KeyRecord | None:
        """Return the record of a user's key that was used after ``since``; None without one."""

    def claim_key(self, user_id: int, key: str, digest: str, now: str, since: str) -> int | None:
        """Store a user's key, unless it was used after ``since``; delete some expired ones.

        An engine deletes expired keys of the user's, or of everybody's. If another transaction is
        storing the same key, its end is waited for.

        Args:
            user_id: Whose key.
            key: The key.
            digest: The digest of the request's body.
            now: When.
            since: Keys that were not used after this time have expired.

        Returns:
            The id for the lead that the key creates, to be inserted in the same transaction; None
            if the key has been used.
        """

    # A copy of everything

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all that the block reads be of one moment; it must not write."""

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table in the order of its primary key, as its model has the columns.

        Args:
            table: A name in ``models.TABLES``.
        """

    def is_empty(self) -> bool:
        """Return whether no table has a row; until the transaction ends, nobody else adds one.

        The schema may be of an older version: a table that is missing has no rows.
        """

    def insert_rows(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows as ``rows`` yields them, in a transaction.

        Args:
            table: A name in ``models.TABLES``.
            rows: The rows.
        """

    def last_ids(self) -> dict[str, int]:
        """Return the highest id that was ever given out, by table; 0 if there was none."""

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Give out only higher ids from now on; arguments as ``last_ids`` returns them."""

    # Maintenance

    def status(self) -> Iterator[tuple[str, str]]:
        """Yield facts about the database for ``db status``, as pairs of a heading and a text.

        Raises:
            StorageUnusableError: The schema is newer than this code, or it can't be read.
        """

    def problems(self) -> list[str]:
        """Check the integrity of the whole database; return a line for each problem.

        Raises:
            StorageUnusableError: There is no database.
        """

    def back_up(self, target: Path, *, replace: bool) -> None:
        """Write a snapshot of the database to a file, while others read and write.

        The copy is checked and flushed to the disk before it gets its name.

        Args:
            target: The file.
            replace: Whether to replace it if it exists.

        Raises:
            StorageUnusableError: There is no database, ``target`` can't be written or must not be
                replaced, the copy is damaged, or the engine has other means for backups.
        """

    def restore(self, backup: Path, *, replace: bool) -> Path | None:
        """Replace the database by a backup, migrated to this version's schema.

        Args:
            backup: The file.
            replace: Whether to replace a database that has data. It is kept under another name.

        Returns:
            The new path of the previous database; None if there was none.

        Raises:
            StorageUnusableError: The backup can't be used, a process has the database open, it has
                data and must not be replaced, or the engine has other means for backups.
        """
