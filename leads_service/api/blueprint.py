"""The blueprint of the views: authentication, request hooks and error handlers."""

from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_smorest import abort
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    default_exceptions,
)
from werkzeug.routing import BaseConverter

from leads_service._compat.flask import app_error_handler
from leads_service._compat.smorest import on_document_operation
from leads_service.accounts import Caller
from leads_service.api.auth import INVALID_TOKEN, TOKEN_IS_INVALID
from leads_service.api.middleware import READ_METHODS
from leads_service.api.openapi import ERRORS_WITHOUT_TOKENS, SECURITY, DocumentedBlueprint
from leads_service.api.parsing import StrictParser
from leads_service.api.responses import error_response
from leads_service.exceptions import (
    ScorerError,
    StorageUnavailableError,
    TokenGoneError,
    UserGoneError,
)
from leads_service.logging import begin_request, request_id
from leads_service.state import EXTENSION, current_state
from leads_service.storage.base import Storage

ROUTING_ERRORS = (NotFound, MethodNotAllowed)  # no route for the path, or not for the method


class LeadId(BaseConverter):
    """URL converter for a lead's id: decimal digits without leading zeros, of any length."""

    regex = "[1-9][0-9]*"

    def to_python(self, value: str) -> int:
        """Return the id.

        Of more than 20 digits only the first 20 are used: the id is out of range either way, and
        int() raises ValueError beyond 4300 digits.
        """
        return int(value[:20])


class LeadsBlueprint(DocumentedBlueprint):
    """A flask-smorest blueprint that parses requests with ``StrictParser``."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        on_document_operation(self, _document_access)


def _document_access(doc: dict[str, Any], responses: dict[str, Any], app: Flask) -> dict[str, Any]:
    """Document that an operation needs a token, or remove the errors about tokens.

    How a host's login works is left to the host's own document.
    """
    if app.extensions[EXTENSION].takes_tokens:
        return doc | {"security": SECURITY}
    for status in responses.keys() - ERRORS_WITHOUT_TOKENS.keys():
        del responses[status]
    return doc


def handle_error(error: Exception) -> Any:
    """Return the response to an error.

    In a host, an HTTP error that carries its own response, or that the host has defined itself, is
    handled as elsewhere in the host.
    """
    if isinstance(error, HTTPException) and current_state().is_hosted:
        if error.response is not None:
            return error.get_response()
        if type(error) is not default_exceptions.get(error.code or 0):
            handler = app_error_handler(current_app, error)
            if handler is not None:
                return handler(error)
    return error_response(error)


blp = LeadsBlueprint(
    "leads_service", __name__, tag="Leads", description="Leads and where they stand."
)
# One handler for each status: Flask prefers a host's handler for a status to a blueprint's handler
# for HTTPException. Any other exception is left to the application, as the host's own are.
HANDLED: tuple[int | type[Exception], ...] = (
    *default_exceptions,
    ScorerError,
    StorageUnavailableError,
)
for _error in HANDLED:
    blp.register_error_handler(_error, handle_error)


@blp.errorhandler(UserGoneError)
def user_gone(_: UserGoneError) -> Response:
    """Return 401: the user, and thus the token, was removed while the request was processed."""
    del g.leads_caller  # who is nobody
    return error_response(Unauthorized("The user has been removed."), INVALID_TOKEN)


@blp.errorhandler(TokenGoneError)
def token_gone(_: TokenGoneError) -> Response:
    """Return 401: the token has been revoked."""
    del g.leads_caller  # who is nobody
    current_state().accounts.forget_callers()
    return error_response(Unauthorized(TOKEN_IS_INVALID), INVALID_TOKEN)


@blp.before_request
def open_request() -> None:
    """Connect to the database and authenticate the request; in a host, give it a request id."""
    if current_state().is_hosted:
        begin_request()
    # A create without a key checks the token by its INSERT.
    sent = request.environ
    is_plain = sent["REQUEST_METHOD"] == "POST" and "HTTP_IDEMPOTENCY_KEY" not in sent
    authenticate(may_defer=is_plain)


@blp.after_request
def add_request_id(response: Response) -> Response:
    """Add the header X-Request-ID in a host; elsewhere ``logging.end_request`` does so."""
    if current_state().is_hosted:
        response.headers["X-Request-ID"] = request_id()
    return response


# Before add_request_id: Flask calls these hooks in reverse order.
@blp.after_request
def answer_callers_only(response: Response) -> Response:
    """Return 401 instead of an answer if the caller's token, not checked so far, is revoked.

    A failure stays what it is: it tells nothing but, perhaps, that the lead may have been stored.
    """
    caller: Caller | None = g.get("leads_caller")
    if caller is None or caller.unchecked is None:
        return response
    try:
        if response.status_code < InternalServerError.code:
            current_state().accounts.check_token(caller.unchecked)
            return response
    except TokenGoneError as error:
        return token_gone(error)
    except StorageUnavailableError as error:
        response = error_response(error)
    del g.leads_caller  # who may be nobody: the log is not to name them
    return response


@blp.teardown_request
def close_request(_: BaseException | None = None) -> None:
    """Close the database connection if this request opened it."""
    storage: Storage | None = g.pop("leads_opened", None)
    if storage is not None:
        storage.close()


def authenticate(*, may_defer: bool = False) -> None:
    """Do as ``identify``; abort with 403 for a write with a read-only token."""
    if request.method == "OPTIONS" and request.routing_exception is None:
        return  # a CORS preflight carries no token
    identify(may_defer=may_defer)
    if g.leads_caller.read_only and request.method not in READ_METHODS:
        abort(403, message="This token is read-only; use one that may write.")


def identify(*, may_defer: bool = False) -> None:
    """Store the caller in ``g.leads_caller`` and open the database until ``close_request``.

    Aborts with 401 without a valid login or token, with 429 if the rate limiter refuses the token.

    Args:
        may_defer: Whether ``answer_callers_only`` may check the token.

    Raises:
        StorageUnavailableError: The database can't be opened.
    """
    state = current_state()
    if state.takes_tokens:
        open_storage(state.storage)
        g.leads_caller = state.caller(may_defer=may_defer)
    else:  # the host's user_id() may open and close the same database
        g.leads_caller = state.caller()
        open_storage(state.storage)


def note_checked(caller: Caller) -> None:
    """Note that the caller's token has been checked."""
    if caller.unchecked is not None:
        g.leads_caller = caller._replace(unchecked=None)


def open_storage(storage: Storage) -> None:
    """Open the database for the request, unless it is open; ``close_request`` closes it."""
    if storage.connect():
        g.leads_opened = storage
