"""The service for users and their bearer tokens."""

import secrets
from datetime import timedelta
from hashlib import sha256
from shlex import quote
from typing import Any, NamedTuple

from leads_service.exceptions import AccountError, NameTakenError, TokenGoneError
from leads_service.lead import Clock, timestamp, utc_now
from leads_service.leads import LeadService, how_many
from leads_service.retries import retry_conflicts
from leads_service.storage.base import Storage, TokenKey, TokenRecord

TOKEN_PREFIX = "leads_"  # noqa: S105  # no secret, but what secret scanners can search for
TOKEN_BYTES = 32  # 256 bits of entropy
SESSION_LABEL = "a browser's session"
SHOWN_LENGTH = len(TOKEN_PREFIX) + 6  # characters; enough to recognise a token, not to guess it
MAX_NAME = 100  # characters
SESSION_IDLE = timedelta(hours=12)  # after which a session that is not used has ended
MINUTE_LENGTH = len("2026-11-22T22:03")  # a token's last use is recorded once a minute
MAX_RECENT = 10_000  # tokens that a process remembers


class Caller(NamedTuple):
    """An authenticated caller: the user's id, and whether writes are forbidden.

    ``unchecked`` is a token that may have been revoked meanwhile, which has to be checked before
    the caller gets an answer; None if there is nothing to check.
    """

    user_id: int
    read_only: bool = False
    unchecked: TokenKey | None = None


class Accounts:
    """The operations on users and tokens.

    All methods may raise StorageUnavailableError, and those that write CommitOutcomeUnknownError.
    """

    def __init__(self, storage: Storage, leads: LeadService, clock: Clock = utc_now):
        """Create the service.

        Args:
            storage: The storage of the users and tokens.
            leads: The service for leads in the same storage.
            clock: Returns the current time in UTC.
        """
        self._storage = storage
        self._leads = leads
        self._clock = clock
        self._recent: dict[str, TokenRecord] = {}  # by digest

    # Users

    @retry_conflicts
    def add_user(self, name: str) -> int:
        """Add a user and return the id.

        Raises:
            AccountError: The name is taken or not valid, or the database belongs to a host
                application and has leads of a user with the same id.
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
        """Return the id of the user with this name.

        Raises:
            AccountError: There is no such user, or the name is not valid.
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

    @retry_conflicts
    def rename_user(self, name: str, new_name: str) -> None:
        """Rename a user; id, tokens and leads stay.

        Raises:
            AccountError: There is no such user, or the new name is taken or not valid.
        """
        _check_name(new_name)
        try:
            with self._storage.writing():
                self._storage.rename_user(self.user_id(name), new_name)
        except NameTakenError as error:
            raise AccountError(f"{error}; choose another name") from error

    def count_to_remove(self, name: str, *, leads_to: str | None, erase: bool) -> int:
        """Return how many leads ``remove_user`` would move or delete, for a confirmation prompt.

        Args:
            name: As for ``remove_user``.
            leads_to: As for ``remove_user``.
            erase: As for ``remove_user``.

        Raises:
            AccountError: ``remove_user`` would raise it.
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

    @retry_conflicts
    def remove_user(self, name: str, *, leads_to: str | None = None, erase: bool = False) -> int:
        """Remove a user and the user's tokens; return how many leads were moved or deleted.

        Args:
            name: The user's name.
            leads_to: The name of the user to whom to move the leads; None for nobody.
            erase: Whether to delete the leads if ``leads_to`` is None.

        Raises:
            AccountError: There is no user with one of the names, both are the same, or the user has
                leads and neither argument says what to do with them.
            ScorerError: The scorer failed; nothing is changed.
        """
        with self._storage.writing():
            self._storage.user_id(name, for_update=True)  # so that no lead is created meanwhile
            count = self.count_to_remove(name, leads_to=leads_to, erase=erase)
            user_id = self.user_id(name)
            if leads_to is not None:
                self._leads.reassign(user_id, self.user_id(leads_to))
            # A lead that has come since it was counted is neither given away nor to be erased.
            self._leads.forget(user_id, has_leads=erase and leads_to is None)
            self._storage.delete_user(user_id)
        return count

    # Tokens

    @retry_conflicts
    def create_token(
        self,
        name: str,
        *,
        read_only: bool = False,
        lifetime: timedelta | None = None,
        label: str = "",
        token: str | None = None,
    ) -> str:
        """Create a token and return it; only its SHA-256 is stored.

        Args:
            name: The user's name.
            read_only: Whether the token forbids writes.
            lifetime: After what time it expires; None for never.
            label: A note on its purpose, up to ``MAX_NAME`` printable characters.
            token: The token, for a stub with well-known tokens; None for a random one.

        Raises:
            AccountError: There is no such user, or the label is not valid.
        """
        if len(label) > MAX_NAME or not label.isprintable():
            raise AccountError(f"{label!r} is no label: use up to {MAX_NAME} printable letters")
        token = token or _random_token()
        now = self._clock()
        values = _described(token) | {
            "label": label,
            "read_only": read_only,
            "created_at": timestamp(now),
            "expires_at": None if lifetime is None else timestamp(now + lifetime),
        }
        user_id = self.user_id(name)
        with self._storage.writing():
            self._storage.add_token(user_id, values)
        return token

    @retry_conflicts
    def create_session(self, token: str) -> str:
        """Create a session for a browser, and return its token.

        It may do what ``token`` may, and ends with it, or ``SESSION_IDLE`` after its last use.

        Args:
            token: A valid token, of which it becomes a part.

        Raises:
            AccountError: The token has been revoked meanwhile.
        """
        session = _random_token()
        now = self._clock()
        with self._storage.writing():
            origin = self._storage.token(_digest(token))
            if origin is None:
                raise AccountError("the token is revoked")
            self._storage.delete_idle_sessions(origin.user_id, timestamp(now - SESSION_IDLE))
            values = _described(session) | {
                "label": SESSION_LABEL,
                "read_only": bool(origin.read_only),
                "created_at": timestamp(now),
                "expires_at": origin.expires_at,
                "last_used_at": timestamp(now),
                "parent": origin.parent_id or origin.id,
            }
            self._storage.add_token(origin.user_id, values)
        return session

    @retry_conflicts
    def end_session(self, token: str) -> None:
        """Delete a session; do nothing if there is none with this token."""
        with self._storage.writing():
            session = self._storage.token(_digest(token))
            if session is not None and session.parent_id is not None:
                self._storage.delete_token(session.id)

    def tokens(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return tokens, oldest first: their columns and ``user_name``.

        Args:
            name: The name of the user whose tokens to return; None for everybody's.

        Raises:
            AccountError: There is no such user.
        """
        return self._storage.tokens(None if name is None else self.user_id(name))

    @retry_conflicts
    def revoke_token(self, token_id: int) -> None:
        """Delete a token, which takes effect at once in all processes.

        Raises:
            AccountError: There is no token with this id.
        """
        with self._storage.writing():
            revoked = self._storage.delete_token(token_id)
        if not revoked:
            raise AccountError(f"there is no token {token_id}; see: leads-service token list")

    def has_token(self, token: str) -> bool:
        """Return whether a token exists, expired or not."""
        return self._storage.token(_digest(token)) is not None

    def caller(self, token: str, *, may_defer: bool = False) -> Caller | None:
        """Return the caller that a token authenticates, and record its use.

        A token does not change while it exists, but for the time of its last use. So one that was
        used in this minute need not be read again, if what the caller does asks whether it exists:
        a round trip to the database's server less ("deferred check of tokens" in
        ``benchmarks/pieces.py``).

        Args:
            token: The token.
            may_defer: Whether ``Caller.unchecked`` will be checked.

        Returns:
            The caller; None if the token is unknown, revoked or expired.
        """
        moment = self._clock()
        now = timestamp(moment)
        digest = _digest(token)
        may_defer = may_defer and not self._storage.is_embedded
        record = self._recent.get(digest) if may_defer else None
        unchecked = None
        if record is not None and _is_in_minute(record.last_used_at, now):
            unchecked = (record.id, digest)
        elif (record := self._storage.token(digest)) is None:
            return None
        elif may_defer:
            if len(self._recent) >= MAX_RECENT:
                self._recent.clear()
            self._recent[digest] = record
        if record.expires_at is not None and record.expires_at <= now:
            return None
        last_used = record.last_used_at
        if record.parent_id is not None and (last_used or "") <= timestamp(moment - SESSION_IDLE):
            return None
        if not _is_in_minute(last_used, now):
            self._storage.note_token_use(record.id, now)
        return Caller(record.user_id, bool(record.read_only), unchecked)

    def check_token(self, token: TokenKey) -> None:
        """Check a token whose check was deferred.

        Raises:
            TokenGoneError: It has been revoked.
        """
        if not self._storage.has_token(token):
            raise TokenGoneError

    def forget_callers(self) -> None:
        """Read every token again when it is used next."""
        self._recent.clear()


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise AccountError(
            f"{name!r} is no name: use 1 to {MAX_NAME} printable characters, no space around them"
        )


def _is_in_minute(last_used: str | None, now: str) -> bool:
    return last_used is not None and last_used[:MINUTE_LENGTH] == now[:MINUTE_LENGTH]


def _random_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def _described(token: str) -> dict[str, Any]:
    return {"digest": _digest(token), "prefix": token[:SHOWN_LENGTH]}


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
