"""Authentication: by bearer tokens of this service, or by the host application's own login."""

import logging
import re
from collections.abc import Callable
from functools import lru_cache, partial

from flask import request
from flask_httpauth import HTTPTokenAuth
from flask_smorest import abort
from werkzeug.datastructures import Authorization

from leads_service.accounts import Accounts, Caller
from leads_service.api.middleware import READ_METHODS
from leads_service.api.throttle import Throttle
from leads_service.exceptions import AccountError
from leads_service.lead import MAX_INTEGER
from leads_service.state import Authenticate

logger = logging.getLogger(__name__)

# Canonical form only: if 007 were accepted beside 7, two users of a host would share their leads.
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")

SESSION_COOKIE = "leads_session"

REALM = "leads"
TOKEN_IS_INVALID = "The token is unknown, expired or revoked."  # noqa: S105  # no secret
# https://www.rfc-editor.org/rfc/rfc6750#section-3.1
INVALID_TOKEN = {"WWW-Authenticate": f'Bearer realm="{REALM}", error="invalid_token"'}

UserId = Callable[[], int | str | None]


def bearer(accounts: Accounts, throttle: Throttle) -> Authenticate:
    """Return a function that authenticates the current request by its bearer token.

    It aborts the request with 401 if the token is missing or invalid, with 429 if the rate limiter
    refuses it.
    """
    auth = HTTPTokenAuth("Bearer", realm=REALM)

    def current_caller(*, may_defer: bool = False) -> Caller:
        credentials = auth.get_auth() or _session()
        if credentials is None:
            message = "A token is needed: send it as 'Authorization: Bearer TOKEN'."
            abort(401, message=message, headers={"WWW-Authenticate": auth.authenticate_header()})
        token = credentials.token or ""
        caller = throttle.look_up(token, partial(accounts.caller, token, may_defer=may_defer))
        if caller is None:
            abort(401, message=TOKEN_IS_INVALID, headers=INVALID_TOKEN)
        return caller

    return current_caller


def session_token() -> str | None:
    """Return the token in the cookie ``SESSION_COOKIE``; None if there is none that counts.

    A browser sends the cookie with what any page asks of this service. It counts only where the
    browser says that the page is of the same origin. One that does not say so by Sec-Fetch-Site,
    which needs HTTPS or a loopback address, sends Origin with all that writes; what reads is of no
    use to another origin, which can't see the answer.
    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is None:
        origin = request.headers.get("Origin")
        if origin is None:
            is_own = request.method in READ_METHODS
        else:
            is_own = origin.partition("://")[2] == request.host
    else:
        is_own = site == "same-origin"
    return request.cookies.get(SESSION_COOKIE) if is_own else None


def _session() -> Authorization | None:
    token = session_token()
    return None if token is None else Authorization("bearer", token=token)


def by_host(user_id: UserId) -> Authenticate:
    """Return a function that authenticates the current request by the host's login.

    It aborts the request with 401 if nobody is logged in, and raises TypeError if ``user_id``
    returns anything but an integer of 64 bits or None.

    Args:
        user_id: The host's function. It returns the user's id, as an integer or as its text (as
            Flask-Login's ``get_id()`` does), or None if nobody is logged in. AttributeError,
            LookupError and TypeError mean the same as None: ``current_user.id`` raises the first
            for Flask-Login's anonymous user, ``session["user_id"]`` the second for a new session.
    """

    def current_caller(*, may_defer: bool = False) -> Caller:
        try:
            found = user_id()
        except (AttributeError, LookupError, TypeError) as error:
            _warn_once(repr(error))
            found = None
        if found is None:
            abort(401, message="Log in first.")  # no WWW-Authenticate: the scheme is the host's
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
    """Log what the host's ``user_id`` raised, since it may be a bug; each error once."""
    logger.warning("user_id() raised %s, which means that nobody is logged in; said once", error)


def id_in_host(name: str) -> int:
    """Return the id of a host's user, whom a command names by that id.

    Raises:
        AccountError: ``name`` is not an integer of 64 bits.
    """
    if not INTEGER.fullmatch(name) or abs(int(name)) > MAX_INTEGER:
        raise AccountError(f"{name!r} is no user's id; users are known by their integer ids")
    return int(name)
