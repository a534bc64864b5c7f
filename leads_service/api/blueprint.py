"""The blueprint that the views stand on: who may call them, and what goes before and after."""

from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_smorest import abort
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    default_exceptions,
)
from werkzeug.routing import BaseConverter

from leads_service._compat.flask import app_error_handler
from leads_service._compat.smorest import on_document_operation
from leads_service.api.middleware import READING
from leads_service.api.openapi import ERRORS_WITHOUT_TOKENS, SECURITY, DocumentedBlueprint
from leads_service.api.parsing import StrictParser
from leads_service.api.responses import error_response
from leads_service.exceptions import ScorerError, StorageUnavailableError, UserGoneError
from leads_service.logging import begin_request, request_id
from leads_service.state import EXTENSION, current_state
from leads_service.storage.base import Storage

NOT_ROUTED = (NotFound, MethodNotAllowed)  # what routing says of a path, or of a method for it


class LeadId(BaseConverter):
    """A lead's id in a path: digits as they are written out, of any length."""

    regex = "[1-9][0-9]*"

    def to_python(self, value: str) -> int:
        """Return the id, or for one of more than 20 digits another that is out of range as well."""
        return int(value[:20])


class LeadsBlueprint(DocumentedBlueprint):
    """A flask-smorest blueprint that reads requests strictly."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        on_document_operation(self, _document_access)


def _document_access(doc: dict[str, Any], responses: dict[str, Any], app: Flask) -> dict[str, Any]:
    """Say that an operation needs a token; a host's own login is not for us to describe."""
    if app.extensions[EXTENSION].takes_tokens:
        return doc | {"security": SECURITY}
    for status in responses.keys() - ERRORS_WITHOUT_TOKENS.keys():
        del responses[status]
    return doc


def handle_error(error: Exception) -> Any:
    """Answer an error, unless it is a host's own: then the host does."""
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
# Each status by itself: a host's page for one comes before a handler of ours for all. Whatever else
# goes wrong is Flask's to handle, in a host as the host's own mistakes are.
_handled: tuple[int | type[Exception], ...] = (
    *default_exceptions,
    ScorerError,
    StorageUnavailableError,
)
for _error in _handled:
    blp.register_error_handler(_error, handle_error)


@blp.errorhandler(UserGoneError)
def refuse_removed(_: UserGoneError) -> Response:
    """Answer as for a token that has ended: it has, while the request was under way."""
    challenge = WWWAuthenticate("bearer", {"realm": "leads", "error": "invalid_token"})
    return error_response(Unauthorized("The user has been removed.", www_authenticate=challenge))


@blp.before_request
def open_request() -> None:
    """Open the database, and find out who calls. In a host: give the request its id."""
    if current_state().is_hosted:
        begin_request()
    authenticate()


@blp.after_request
def add_request_id(response: Response) -> Response:
    """In a host: put the request's id on the answer."""
    if current_state().is_hosted:
        response.headers["X-Request-ID"] = request_id()
    return response


@blp.teardown_request
def close_request(_: BaseException | None = None) -> None:
    """Close the database, if it was not open when the request came."""
    if g.pop("leads_opened", False):
        current_state().storage.close()


def authenticate() -> None:
    """Find out who calls; abort with 401 for nobody, 403 for a write with a read-only token.

    The database is open from then on, until ``close_request``.
    """
    if request.method == "OPTIONS" and request.routing_exception is None:
        return  # a browser's preflight, which carries no token
    state = current_state()
    if state.takes_tokens:
        _open(state.storage)
    g.leads_caller = caller = state.caller()
    if caller.read_only and request.method not in READING:
        abort(403, message="This token is read-only; use one that may write.")
    _open(state.storage)  # not before a host has looked in its own for who calls


def _open(storage: Storage) -> None:
    g.leads_opened = g.get("leads_opened", False) or storage.connect()
