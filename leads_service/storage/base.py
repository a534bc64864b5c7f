"""What the services need of a storage engine: the ``Storage`` protocol, and what it hands over."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Position(NamedTuple):
    """Where a lead stands in the list, which is in descending order of both."""

    created_at: str
    id: int


class Page(NamedTuple):
    """Leads as JSON, newest first, and the cursor of the next page: None if this is the last."""

    data: str  # a JSON array
    next_cursor: int | None
    has_more: bool


class TokenRecord(NamedTuple):
    """What is kept of a token, as far as it decides who calls."""

    id: int
    user_id: int
    read_only: bool
    expires_at: str | None
    last_used_at: str | None


class KeyRecord(NamedTuple):
    """What a create with an idempotency key was made of, and the lead that it made."""

    digest: str
    lead_id: int


class Storage(Protocol):
    """Where users, tokens and leads are kept.

    A lead is a mapping with the names of ``lead.FIELDS``, times are texts as ``lead.timestamp``
    writes them, filters are those of ``lead.FILTERS`` by name.

    Each method may raise ``StorageUnavailableError`` (unreachable, locked for longer than the busy
    timeout, full, damaged; nothing was stored) unless it names ``StorageUnusableError``, and what
    else it names. No error of a database or a driver leaves a storage.

    Threads may share a storage; each has a connection of its own between ``connect`` and ``close``.
    A method that finds none opens one, which then stays until ``close``; a host's database that
    does not connect by itself raises StorageUnavailableError instead.

    Methods that change something are called within ``writing``, but for ``migrate``,
    ``insert_leads``, ``note_token_use`` and ``restore``, which see to it themselves.
    """

    location: str  # what messages call it: a path, or an address without a password

    # Connections and transactions

    def connect(self) -> bool:
        """Open a connection for this thread, unless it has one; return whether it had none."""

    def close(self) -> None:
        """Give this thread's connection back; does nothing if it has none."""

    def dispose(self) -> None:
        """Close this thread's connection and those that are idle: before a fork, and at the end."""

    def opened(self) -> AbstractContextManager[None]:
        """Connect for the block, and ``dispose`` after it if this thread had no connection.

        Raises:
            StorageUnusableError: No connection can be opened. What it leads to may still turn out
                to be no database, at the first method that reads it.

        """

    def writing(self, *, bulk: bool = False) -> AbstractContextManager[None]:
        """Run the block in a transaction that may write; within another one, as a part of it.

        Writers take turns: what the block reads stays true until its end, at which all is stored
        durably. An exception rolls the block back, and no more of an outer one that handles it.

        Args:
            bulk: Whether it changes a great part of the database.

        Raises:
            StorageUnavailableError: Nothing was stored.
            CommitOutcomeUnknownError: Whether it was stored is not known.

        """

    def check_health(self) -> None:
        """Read something, over a connection of its own if this thread has none."""

    # Schema

    def exists(self) -> bool:
        """Return whether there is a database with our tables.

        Raises:
            StorageUnusableError: It can't be read.

        """

    def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations that this took.

        Processes that call this together wait for the first one. The connection is closed again
        unless it was open.

        Raises:
            StorageUnusableError: The schema is newer than this code, or can't be read or written.

        """

    def pending_migrations(self) -> list[str]:
        """Return the names of the migrations that have not been applied.

        Raises:
            StorageUnusableError: The schema is newer than this code, or it can't be read.

        """

    # One user's leads

    def insert_lead(self, lead: Mapping[str, Any], *, of_known_user: bool) -> dict[str, Any]:
        """Store a new lead and return it with its id.

        Args:
            lead: All its fields but ``id``.
            of_known_user: Whether its owner has to be one of ``users``.

        Raises:
            UserGoneError: The owner is not.

        """

    def lead(self, user_id: int, lead_id: int) -> dict[str, Any] | None:
        """Return a lead of the user's, None if the user has none with this id."""

    def update_lead(self, lead: Mapping[str, Any]) -> dict[str, Any]:
        """Set what may change of a lead, and return it as it is stored then.

        Args:
            lead: All its fields. It is found by ``user_id`` and ``id``, and has to be there.

        """

    def delete_lead(self, user_id: int, lead_id: int) -> None:
        """Erase a lead; its position remains, for cursors that name it."""

    def position(self, user_id: int, lead_id: int) -> Position | None:
        """Return where a lead of the user's stands, or stood until it was deleted or moved."""

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
            after: Where the page before ended; None for the first page.
            limit: How many leads at most.
            max_bytes: How many bytes of JSON in UTF-8 at most, without the brackets around the
                leads, unless a single lead has more.

        """

    def count(self, user_id: int, filters: Mapping[str, Any]) -> int:
        """Return how many of the user's leads pass all filters."""

    # Many leads

    def count_by_status(self, user_id: int | None = None) -> dict[str, int]:
        """Return how many leads stand at each status that there are leads at.

        Args:
            user_id: Whose leads; None for everybody's.

        """

    def insert_leads(
        self, leads: Iterable[Mapping[str, Any]], confirm: Callable[[set[int]], None]
    ) -> int:
        """Store leads, all or none, and return how many; ids grow with ``created_at``.

        The leads are read first, while others write.

        Args:
            leads: All their fields but ``id``. What the iterable raises ends the import.
            confirm: Called with the owners in the transaction that stores the leads; may raise.

        """

    def export_leads(
        self, names: Iterable[str], filters: Mapping[str, Any], *, user_id: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield leads as they were at the first, each user's together and oldest first.

        Each is a tuple: the owner's id, the owner's name (None if it is not one of ``users``), and
        the fields in the order of ``names``.

        Args:
            names: The names of fields.
            filters: Those that the leads pass.
            user_id: Whose leads; None for everybody's.

        """

    def leads_after(self, lead_id: int, limit: int) -> list[dict[str, Any]]:
        """Return everybody's leads with a higher id, in the order of their ids."""

    def set_score(self, lead_id: int, score: int) -> None:
        """Set the score of a lead and nothing else of it."""

    def move_leads(
        self,
        old: int,
        new: int,
        filters: Mapping[str, Any],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> int:
        """Give the leads of one user that pass the filters to another; return how many.

        The first user keeps their positions. The idempotency keys that made them hold for both
        users from then on, unless the second user has the same key.

        Args:
            old: The user who has them.
            new: The user who gets them.
            filters: Those that they pass.
            change: Called with each lead; returns it as it becomes.

        """

    def forget_user(self, user_id: int) -> int:
        """Erase a user's leads, their positions and the user's keys; return how many leads."""

    # Users and tokens

    def add_user(self, name: str, created_at: str) -> int:
        """Add a user and return the id.

        Raises:
            NameTakenError: There is one with this name.

        """

    def users(self) -> list[dict[str, Any]]:
        """Return every user's ``id``, ``name`` and ``created_at``, in the order of the ids."""

    def user_id(self, name: str) -> int | None:
        """Return the id of the user with this name, None if there is none."""

    def has_user(self, user_id: int) -> bool:
        """Return whether there is a user with this id."""

    def rename_user(self, user_id: int, name: str) -> None:
        """Give a user another name.

        Raises:
            NameTakenError: There is one with this name.

        """

    def delete_user(self, user_id: int) -> None:
        """Delete a user and the user's tokens, but no leads."""

    def add_token(self, user_id: int, values: Mapping[str, Any]) -> None:
        """Store a token.

        Args:
            user_id: Whose it is.
            values: Its ``digest``, ``prefix``, ``label``, ``read_only``, ``created_at`` and
                ``expires_at``, which may be None.

        """

    def tokens(self, user_id: int | None = None) -> list[dict[str, Any]]:
        """Return tokens in the order of their ids: what was stored, and the ``user_name``.

        Args:
            user_id: Whose tokens; None for everybody's.

        """

    def delete_token(self, token_id: int) -> bool:
        """Delete a token; return whether there was one."""

    def token(self, digest: str) -> TokenRecord | None:
        """Return the token with this digest, None if there is none."""

    def note_token_use(self, token_id: int, now: str) -> None:
        """Note when a token was used, if that can be done at once.

        Does nothing, and raises nothing, if another writer has the lock or the storage fails.
        """

    # Idempotency keys

    def key(self, user_id: int, key: str, since: str) -> KeyRecord | None:
        """Return what a user's key was used for after ``since``, None if it was not."""

    def keep_key(self, user_id: int, key: str, record: KeyRecord, now: str, since: str) -> None:
        """Remember what a user's key was used for, and forget some that are not after ``since``."""

    # Maintenance

    def status(self) -> Iterator[tuple[str, str]]:
        """Yield what there is to say about the database, each with its heading.

        Raises:
            StorageUnusableError: The schema is newer than this code, or can't be read.
        """

    def problems(self) -> list[str]:
        """Look for damage in the whole database; return a line for each, none if it is sound.

        Raises:
            StorageUnusableError: There is no database.

        """

    def back_up(self, target: Path, *, replace: bool) -> None:
        """Copy the database as it is at one moment into a file, while others read and write.

        The copy is checked, and on the disk before it gets its name.

        Args:
            target: The file.
            replace: Whether to replace it if it exists.

        Raises:
            StorageUnusableError: There is no database, ``target`` can't take a file or must not be
                replaced, the copy is damaged, or the engine has other means for this.

        """

    def restore(self, backup: Path, *, replace: bool) -> Path | None:
        """Put a backup in the database's place, migrated if it is an older one.

        Args:
            backup: The file.
            replace: Whether to set a database aside that has data.

        Returns:
            Where the database that was there has gone; None if there was none.

        Raises:
            StorageUnusableError: The backup can't be used, a process has the database open, it has
                data and must not be replaced, or the engine has other means for this.

        """
