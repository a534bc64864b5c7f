"""Answers: how JSON goes out, and the one shape of all errors."""

import logging
from collections.abc import Iterable
from typing import Any

import orjson
from flask import Response, g, request
from peewee import DataError, IntegrityError, InterfaceError, PeeweeException, ProgrammingError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

logger = logging.getLogger(__name__)

RETRY_AFTER = 1  # seconds: a lock is gone by then as a rule, and asking again costs little
OUR_MISTAKES = (DataError, IntegrityError, InterfaceError, ProgrammingError)


class JsonResponse(Response):
    """An answer whose body is there whole, and goes to the server as it is."""

    def get_app_iter(self, environ: dict[str, Any]) -> Iterable[bytes]:
        """Return the body as a list, which a server sends at once, if nobody waits for its end."""
        if self._on_close or environ["REQUEST_METHOD"] == "HEAD":
            return super().get_app_iter(environ)
        return self.response  # type: ignore[return-value]  # bytes: json_response made it

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        """Return the headers as they are: the length is there, and addresses are whole."""
        return self.headers


def json_response(
    payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return ``payload`` as a JSON answer."""
    return JsonResponse(_encode(payload), status, headers, content_type="application/json")


def _encode(payload: Any) -> bytes:
    return orjson.dumps(payload, option=orjson.OPT_APPEND_NEWLINE)  # a terminal likes lines


def error_response(error: Exception) -> Response:
    """Return the answer to any error: one that HTTP knows, a store out of reach, our mistake.

    The last two are logged with their cause, which the answer does not name.
    """
    problem = _as_http(error)
    details: dict[str, Any] = getattr(problem, "data", None) or {}
    errors = details.get("errors") or details.get("messages")
    payload = {
        "code": problem.code,
        "status": problem.name,
        "message": details.get("message")
        or ("The request is not valid; see errors." if errors else problem.description),
    }
    if errors:
        payload["errors"] = errors
    response = problem.get_response()  # with the headers that its status asks for: Allow, …
    response.data = _encode(payload)
    response.mimetype = "application/json"
    response.headers.update(details.get("headers") or {})
    return response  # type: ignore[return-value]  # werkzeug's own class, which Flask takes as well


def _as_http(error: Exception) -> HTTPException:
    if isinstance(error, HTTPException) and not isinstance(error, InternalServerError):
        return error
    cause = getattr(error, "original_exception", None) or error
    if isinstance(cause, PeeweeException) and not isinstance(cause, OUR_MISTAKES):
        logger.error("the store failed: %s", cause)
        return ServiceUnavailable(
            "The store can't be reached or is busy; nothing was stored. Try again.",
            retry_after=RETRY_AFTER,
        )
    logger.error("%s %s failed", request.method, request.path, exc_info=cause)
    return InternalServerError(f"Something went wrong here; it was logged as {g.leads_call.id}.")
