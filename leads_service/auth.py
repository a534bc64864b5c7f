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

    @auth.error_handler
    def refuse() -> NoReturn:
        challenge = auth.authenticate_header()
        if auth.get_auth() is None:
            abort(
                401,
                message="A token is needed: send it as 'Authorization: Bearer TOKEN'.",
                headers={"WWW-Authenticate": challenge},
            )
        abort(
            401,
            message="The token is unknown, expired or revoked.",
            headers={"WWW-Authenticate": f'{challenge}, error="invalid_token"'},
        )

    @auth.login_required
    def current_caller() -> Caller:
        return auth.current_user()  # type: ignore[no-any-return]

    return current_caller  # type: ignore[no-any-return]
