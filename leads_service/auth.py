"""Who sent a request: the token in it, and what is said to those who have none."""

from collections.abc import Callable
from typing import NoReturn

from flask_httpauth import HTTPTokenAuth
from webargs.flaskparser import abort

from leads_service.accounts import Accounts, Caller


def bearer(accounts: Accounts) -> Callable[[], Caller]:
    """Return a function that says who sent the current request, or aborts it with 401."""
    auth = HTTPTokenAuth("Bearer", realm="leads")
    auth.verify_token(accounts.caller)

    def current_caller() -> Caller:
        credentials = auth.get_auth()
        caller: Caller | None = auth.authenticate(credentials, None)
        return caller or _refuse(auth.authenticate_header(), known_scheme=credentials is not None)

    return current_caller


def _refuse(challenge: str, *, known_scheme: bool) -> NoReturn:
    if known_scheme:
        message = "The token is unknown, expired or revoked."
        challenge += ', error="invalid_token"'  # RFC 6750, section 3.1
    else:
        message = "A token is needed: send it as 'Authorization: Bearer TOKEN'."
    abort(401, message=message, headers={"WWW-Authenticate": challenge})
