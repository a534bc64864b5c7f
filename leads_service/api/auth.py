"""Who sent a request: whom its token speaks for, or whom the host application knows."""

import logging
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NoReturn

from flask_httpauth import HTTPTokenAuth
from flask_smorest import abort

from leads_service.accounts import Accounts, Caller
from leads_service.api.throttle import Throttle
from leads_service.exceptions import AccountError
from leads_service.lead import MAX_INTEGER

logger = logging.getLogger(__name__)

# As Python writes it: with 007 beside 7, two users of a host would be one here.
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")

UserId = Callable[[], int | str | None]


def bearer(accounts: Accounts, throttle: Throttle) -> Callable[[], Caller]:
    """Return a function that says who sent the current request, or aborts it with 401 or 429."""
    auth = HTTPTokenAuth("Bearer", realm="leads")
    auth.verify_token(accounts.caller)

    def current_caller() -> Caller:
        credentials = auth.get_auth()
        if credentials is None:
            message = "A token is needed: send it as 'Authorization: Bearer TOKEN'."
            _refuse(message, auth.authenticate_header())
        find = partial(auth.authenticate, credentials, None)
        caller: Caller | None = throttle.look_up(credentials.token or "", find)
        if caller is None:
            # RFC 6750, section 3.1
            challenge = f'{auth.authenticate_header()}, error="invalid_token"'
            _refuse("The token is unknown, expired or revoked.", challenge)
        return caller

    return current_caller


def by_host(user_id: UserId) -> Callable[[], Caller]:
    """Return a function that says who sent the current request, or aborts it with 401.

    ``user_id`` is the host's; it says None for nobody, or raises AttributeError, LookupError or
    TypeError: to ask nobody for an id is what it comes to in ``current_user.id``, of
    Flask-Login's anonymous user, or ``session["user_id"]``. An integer may come as text, as from
    Flask-Login's ``get_id()``. The function raises TypeError for anything else.
    """

    def current_caller() -> Caller:
        try:
            found = user_id()
        except (AttributeError, LookupError, TypeError) as error:
            _warn_once(repr(error))
            found = None
        if found is None:
            abort(401, message="Log in first.")  # how, is the host's to say
        user = int(found) if isinstance(found, str) and INTEGER.fullmatch(found) else found
        if type(user) is not int or abs(user) > MAX_INTEGER:
            raise TypeError(
                f"user_id returned {found!r:.80}, but leads belong to integers of 64 bits: return "
                "the user's integer key or, beside a UUID or a name, a number that you keep for "
                "each user; None for nobody"
            )
        return Caller(user)

    return current_caller


@lru_cache(maxsize=16)
def _warn_once(error: str) -> None:
    """Log what the host's function raised: meant for nobody being logged in, or a mistake."""
    logger.warning("user_id() raised %s, which means that nobody is logged in; said once", error)


def id_in_host(name: str) -> int:
    """Return a host's user's id, by which alone we know them; AccountError if it is no integer."""
    if not INTEGER.fullmatch(name) or abs(int(name)) > MAX_INTEGER:
        raise AccountError(f"{name!r} is no user's id; users are known by their integer ids")
    return int(name)


def _refuse(message: str, challenge: str) -> NoReturn:
    abort(401, message=message, headers={"WWW-Authenticate": challenge})
