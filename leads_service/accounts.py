"""Users and their tokens: who exists, and whom a token speaks for."""

import secrets
from datetime import timedelta
from hashlib import sha256
from shlex import quote
from typing import Any, NamedTuple

from leads_service.exceptions import AccountError, NameTakenError
from leads_service.lead import Clock, timestamp, utc_now
from leads_service.leads import LeadService, how_many
from leads_service.storage.base import Storage

TOKEN_PREFIX = "leads_"  # noqa: S105  # what a secret scanner can look for; no secret itself
TOKEN_BYTES = 32  # 256 bits of entropy
SHOWN_LENGTH = len(TOKEN_PREFIX) + 6  # enough to recognise a token by, far too little to guess it
MAX_NAME = 100
TO_THE_MINUTE = len("2026-11-22T22:03")  # how exactly a token's last use is noted


class Caller(NamedTuple):
    """Whose leads a request is about, and whether it may change them."""

    user_id: int
    read_only: bool = False


class Accounts:
    """The users and tokens in one storage; all methods may raise StorageUnavailableError."""

    def __init__(self, storage: Storage, leads: LeadService, clock: Clock = utc_now):
        self._storage = storage
        self._leads = leads
        self._clock = clock

    # Users

    def add_user(self, name: str) -> int:
        """Add a user and return the id.

        Raises:
            AccountError: The name is taken or unfit, or there are leads of an application's user
                with that id, which would become the new user's.

        """
        _check_name(name)
        try:
            with self._storage.writing():
                user_id = self._storage.add_user(name, timestamp(self._clock()))
                if self._leads.count(user_id):
                    raise AccountError(
                        f"the store has leads of a user {user_id} who is not one of its own: it "
                        "belongs to an application, whose own command is: flask leads"
                    )
                return user_id
        except NameTakenError as error:
            raise AccountError(
                f"{error}; for a token: leads-service token create {quote(name)}"
            ) from error

    def user_id(self, name: str) -> int:
        """Return the id of a user.

        Raises:
            AccountError: There is none with this name.

        """
        _check_name(name)
        user_id = self._storage.user_id(name)
        if user_id is None:
            raise AccountError(
                f"there is no user {name!r}; add one with: leads-service user add {quote(name)}"
            )
        return user_id

    def users(self) -> list[dict[str, Any]]:
        """Return every user's ``id``, ``name`` and ``created_at``, in the order they were added."""
        return self._storage.users()

    def rename_user(self, name: str, new_name: str) -> None:
        """Give a user another name; id, tokens and leads stay.

        Raises:
            AccountError: There is no such user, or the new name is taken or unfit.

        """
        _check_name(new_name)
        try:
            with self._storage.writing():
                self._storage.rename_user(self.user_id(name), new_name)
        except NameTakenError as error:
            raise AccountError(f"{error}; choose another name") from error

    def count_to_remove(self, name: str, *, leads_to: str | None, erase: bool) -> int:
        """Return how many leads ``remove_user`` would find, or raise the error that it would.

        So a command that asks for a confirmation asks what makes sense.
        """
        user_id = self.user_id(name)
        if leads_to is not None and self.user_id(leads_to) == user_id:
            raise AccountError(f"{name!r} can't get the leads of {name!r}; name another user")
        count = self._leads.count(user_id)
        if count and leads_to is None and not erase:
            raise AccountError(
                f"{name!r} has {how_many(count)}; give them to another user with --leads-to, "
                "or erase them with --erase"
            )
        return count

    def remove_user(self, name: str, *, leads_to: str | None = None, erase: bool = False) -> int:
        """Remove a user, whose tokens end at once; return how many leads there were.

        Args:
            name: The user's name.
            leads_to: The name of the user who gets the leads.
            erase: Whether to erase the leads.

        Raises:
            AccountError: A name is nobody's, or there are leads and nothing is said about them.
            ScorerError: The scorer failed.

        """
        with self._storage.writing():
            count = self.count_to_remove(name, leads_to=leads_to, erase=erase)
            user_id = self.user_id(name)
            if leads_to is not None:
                self._leads.reassign(user_id, self.user_id(leads_to))
            self._leads.forget(user_id)
            self._storage.delete_user(user_id)
        return count

    # Tokens

    def create_token(
        self,
        name: str,
        *,
        read_only: bool = False,
        lifetime: timedelta | None = None,
        label: str = "",
        token: str | None = None,
    ) -> str:
        """Return a new token for a user; it can't be read again.

        Args:
            name: The user's name.
            read_only: Whether writes with it are refused.
            lifetime: When it expires; None for never.
            label: What it is for, up to ``MAX_NAME`` printable characters.
            token: The token itself, for a stub, whose tokens are known.

        Raises:
            AccountError: There is no such user, or the label is unfit.

        """
        if len(label) > MAX_NAME or not label.isprintable():
            raise AccountError(f"{label!r} is no label: use up to {MAX_NAME} printable letters")
        token = token or TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock()
        values = {
            "digest": _digest(token),
            "prefix": token[:SHOWN_LENGTH],
            "label": label,
            "read_only": read_only,
            "created_at": timestamp(now),
            "expires_at": None if lifetime is None else timestamp(now + lifetime),
        }
        user_id = self.user_id(name)
        with self._storage.writing():
            self._storage.add_token(user_id, values)
        return token

    def tokens(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return every token, or those of the user called ``name``, oldest first.

        Raises:
            AccountError: There is no such user.

        """
        return self._storage.tokens(None if name is None else self.user_id(name))

    def revoke_token(self, token_id: int) -> None:
        """End a token at once, for every process.

        Raises:
            AccountError: There is none with this id.

        """
        with self._storage.writing():
            revoked = self._storage.delete_token(token_id)
        if not revoked:
            raise AccountError(f"there is no token {token_id}; see: leads-service token list")

    def has_token(self, token: str) -> bool:
        """Return whether there is this token, expired or not."""
        return self._storage.token(_digest(token)) is not None

    def caller(self, token: str | None) -> Caller | None:
        """Return whom a token speaks for; None if it is unknown, revoked or expired."""
        record = self._storage.token(_digest(token or ""))
        if record is None:
            return None
        now = timestamp(self._clock())
        if record.expires_at is not None and record.expires_at <= now:
            return None
        last_used = record.last_used_at
        if last_used is None or last_used[:TO_THE_MINUTE] != now[:TO_THE_MINUTE]:
            self._storage.note_token_use(record.id, now)
        return Caller(record.user_id, bool(record.read_only))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise AccountError(
            f"{name!r} is no name: use 1 to {MAX_NAME} printable characters, no space around them"
        )


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
