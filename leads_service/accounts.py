"""Users and their tokens: who exists, and whom a token speaks for."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from shlex import quote
from typing import Any, NamedTuple

from peewee import IntegrityError, OperationalError, SqliteDatabase

from leads_service.models import Clock, Lead, Token, User, timestamp, utc_now
from leads_service.sqlite import no_wait, writing
from leads_service.statements import Statement, finds_any, parameter

TOKEN_MARK = "leads_"  # noqa: S105  # what a secret scanner can look for; no secret itself
TOKEN_BYTES = 32  # 256 bits of entropy
PREFIX_LENGTH = len(TOKEN_MARK) + 6  # enough to recognise a token by, far too little to guess it
MAX_NAME = 100
TO_THE_MINUTE = len("2026-11-22T22:03")  # how exactly a token's last use is noted


class AccountError(Exception):
    """A request about users or tokens that can't be met; the message names the remedy."""


class Caller(NamedTuple):
    """Whose leads a request is about, and whether it may change them."""

    user_id: int
    read_only: bool = False


class Accounts:
    """The users and tokens in one database."""

    def __init__(self, database: SqliteDatabase, clock: Clock = utc_now):
        self._database = database
        self._clock = clock
        self._find = Statement(
            database,
            Token.select(
                Token.id, Token.user, Token.read_only, Token.expires_at, Token.last_used_at
            ).where(Token.digest == parameter("digest")),
        )
        self._note_use = Statement(
            database,
            Token.update({Token.last_used_at: parameter("now")}).where(
                Token.id == parameter("token_id")
            ),
        )

    def add_user(self, name: str) -> int:
        """Add a user and return the id.

        Raises AccountError if the name is taken or unfit, or if there are leads of an application's
        user with that id: they would become the new user's.
        """
        _check_name(name)
        user = User.insert(name=name, created_at=timestamp(self._clock()))
        try:
            with writing(self._database):
                user_id = int(user.execute(self._database))
                if finds_any(Lead.select().where(Lead.user_id == user_id), self._database):
                    raise AccountError(
                        f"the store has leads of a user {user_id} who is not one of its own: it "
                        "belongs to an application, whose own command is: flask leads"
                    )
                return user_id
        except IntegrityError as error:
            raise AccountError(
                f"user {name!r} exists already; "
                f"for a token: leads-service token create {quote(name)}"
            ) from error

    def user_id(self, name: str) -> int:
        """Return the id of the user called ``name``; raises AccountError if there is none."""
        _check_name(name)
        user = User.select(User.id).where(User.name == name).tuples().first(self._database)
        if user is None:
            raise AccountError(
                f"there is no user {name!r}; add one with: leads-service user add {quote(name)}"
            )
        return int(user[0])

    def exists(self, user_id: int) -> bool:
        """Say whether there is a user with this id."""
        return finds_any(User.select().where(User.id == user_id), self._database)

    def rename_user(self, name: str, new_name: str) -> None:
        """Call a user otherwise, who keeps id, tokens and leads.

        Raises AccountError if there is none, or if the new name is taken or unfit.
        """
        _check_name(new_name)
        try:
            with writing(self._database):
                user_id = self.user_id(name)
                User.update(name=new_name).where(User.id == user_id).execute(self._database)
        except IntegrityError as error:
            raise AccountError(f"user {new_name!r} exists already; choose another name") from error

    def delete_user(self, user_id: int) -> None:
        """Delete a user and end all tokens; the leads are for ``Owners`` to see to before."""
        with writing(self._database):
            # Not left to the foreign key: in a host's database those may be off.
            Token.delete().where(Token.user == user_id).execute(self._database)
            User.delete().where(User.id == user_id).execute(self._database)

    def users(self) -> list[dict[str, Any]]:
        """Return every user, in the order they were added."""
        return list(User.select().order_by(User.id).dicts().execute(self._database))

    def create_token(
        self,
        name: str,
        *,
        read_only: bool = False,
        lifetime: timedelta | None = None,
        label: str = "",
        token: str | None = None,
    ) -> str:
        """Return a new token for the user called ``name``: the only time that anybody sees it.

        Without a ``lifetime`` it never expires. ``token`` is for a stub, whose tokens are known.
        Raises AccountError if there is no such user.
        """
        if len(label) > MAX_NAME or not label.isprintable():
            raise AccountError(f"{label!r} is no label: use up to {MAX_NAME} printable letters")
        token = token or TOKEN_MARK + secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock()
        row = Token.insert(
            user=self.user_id(name),
            digest=_digest(token),
            prefix=token[:PREFIX_LENGTH],
            label=label,
            read_only=read_only,
            created_at=timestamp(now),
            expires_at=None if lifetime is None else timestamp(now + lifetime),
        )
        with writing(self._database):
            row.execute(self._database)
        return token

    def tokens(self, name: str | None = None) -> Iterable[dict[str, Any]]:
        """Return every token, or those of the user called ``name``, oldest first."""
        tokens = Token.select(Token, User.name.alias("user_name")).join(User).order_by(Token.id)
        if name is not None:
            tokens = tokens.where(Token.user == self.user_id(name))
        return list(tokens.dicts().execute(self._database))

    def revoke_token(self, token_id: int) -> None:
        """End a token at once, for every process; raises AccountError if there is none."""
        with writing(self._database):
            revoked = Token.delete().where(Token.id == token_id).execute(self._database)
        if not revoked:
            raise AccountError(f"there is no token {token_id}; see: leads-service token list")

    def caller(self, token: str | None) -> Caller | None:
        """Return whom ``token`` speaks for; None if it is unknown, revoked or expired."""
        rows = self._find.rows({"digest": _digest(token or "")})
        if not rows:
            return None
        token_id, user_id, read_only, expires_at, last_used_at = rows[0]
        now = timestamp(self._clock())
        if expires_at is not None and expires_at <= now:
            return None
        if last_used_at is None or last_used_at[:TO_THE_MINUTE] != now[:TO_THE_MINUTE]:
            with suppress(OperationalError), no_wait(self._database):
                self._note_use.rows({"token_id": token_id, "now": now})
        return Caller(user_id, bool(read_only))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise AccountError(
            f"{name!r} is no name: use 1 to {MAX_NAME} printable characters, no space around them"
        )


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
