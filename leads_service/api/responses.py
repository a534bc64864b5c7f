"""Responses: JSON, security headers, and the common body of all errors."""

import json
import logging
from collections.abc import Callable, Iterable
from importlib.resources.abc import Traversable
from mimetypes import guess_type
from typing import Any

import orjson
from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from leads_service.exceptions import CommitOutcomeUnknownError, StorageUnavailableError
from leads_service.logging import request_id, shown

logger = logging.getLogger(__name__)

# https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
STATUSES_WITHOUT_BODY = (204, 304)
# Of pages. Swagger UI's icons are data: images.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
RETRY_AFTER = 1  # seconds: most locks are released by then, and a retry is cheap
UNAVAILABLE_MESSAGE = "The store can't be reached or is busy; nothing was stored. Try again."
OUTCOME_UNKNOWN_MESSAGE = (
    "The store failed at the last moment: it is not known whether this was stored. "
    "Look before you try again, or send creates with an Idempotency-Key, which makes a retry safe."
)


class WholeResponse(Response):
    """A response that passes its whole body to the WSGI server as a list.

    The server buffers a list and sends it without the worker thread. An iterator occupies the
    thread until a slow client has read the last chunk.
    """

    is_awaited = False  # whether somebody waits for the end of the body

    def call_on_close(self, func: Callable[[], Any]) -> Callable[[], Any]:
        """Call a function when the body has been sent."""
        self.is_awaited = True
        return super().call_on_close(func)

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        """Return the headers, with a Content-Length and a valid ``Location``.

        Most have both already ("headers as they are" in ``benchmarks/pieces.py``).
        """
        headers = self.headers
        has_body = self.status_code >= 200 and self.status_code not in STATUSES_WITHOUT_BODY  # noqa: PLR2004  # not interim
        if has_body and "Content-Length" in headers and headers.get("Location", "").isascii():
            return headers
        return super().get_wsgi_headers(environ)

    def get_wsgi_response(
        self, environ: dict[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return the response with ``SECURITY_HEADERS``, except those that are set already."""
        body, status, headers = super().get_wsgi_response(environ)
        present = {name for name, _ in headers}
        return body, status, headers + [pair for pair in SECURITY_HEADERS if pair[0] not in present]

    def get_app_iter(self, environ: dict[str, Any]) -> Iterable[bytes]:
        """Return the body as a list, unless it is empty, streamed, or has ``call_on_close``."""
        has_body = (
            environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in STATUSES_WITHOUT_BODY
        )
        if has_body and self.is_sequence and not self.is_awaited:
            return list(self.iter_encoded())
        return super().get_app_iter(environ)


def json_response(
    payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return ``payload`` as a JSON response."""
    return WholeResponse(_encode(payload), status, headers, content_type="application/json")


def file_response(file: Traversable, max_age: int) -> Response:
    """Return a file of a page, which a browser may cache.

    It is read into memory, so that a slow client does not occupy a thread.

    Args:
        file: The file.
        max_age: For how many seconds it is not asked for again; 0 to ask each time whether it has
            changed.
    """
    response = WholeResponse(file.read_bytes(), mimetype=guess_type(file.name)[0])
    response.cache_control.max_age = max_age
    response.add_etag()
    response.make_conditional(request)
    return response


def page_response(page: str) -> Response:
    """Return an HTML page, which may use files of this service only, none of it inline."""
    return WholeResponse(page, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def empty_response(status: int = 204) -> Response:
    """Return a response without a body and Content-Type."""
    response = WholeResponse(status=status)
    del response.headers["Content-Type"]
    return response


def _encode(payload: Any) -> bytes:
    try:
        return orjson.dumps(payload, option=orjson.OPT_APPEND_NEWLINE)  # for terminals
    except TypeError:  # the name of an unknown field with lone surrogates, which json escapes
        return json.dumps(payload).encode() + b"\n"


def error_response(
    error: Exception, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """Return the response to any exception.

    A StorageUnavailableError becomes 503, anything that is not an HTTP error 500. Both are logged
    with their cause, which the response does not disclose.

    Args:
        error: The exception.
        headers: Further headers of the response.
        members: Members of the body besides ``code``, ``status``, ``message`` and ``errors``.
    """
    problem = _as_http(error)
    details = getattr(problem, "data", None)
    details = details if isinstance(details, dict) else {}
    errors = details.get("errors") or details.get("messages")
    payload = {
        "code": problem.code,
        "status": problem.name,
        "message": details.get("message")
        or ("The request is not valid; see errors." if errors else problem.description),
    }
    if errors:  # sorted: unknown fields come from a set, whose order differs between processes
        payload["errors"] = {place: dict(sorted(errors[place].items())) for place in errors}
    sent = dict(problem.get_headers()) | (details.get("headers") or {}) | (headers or {})
    del sent["Content-Type"]  # werkzeug's text/html
    return json_response(payload | members, problem.code or 500, sent)


def _as_http(error: Exception) -> HTTPException:
    if isinstance(error, HTTPException) and not isinstance(error, InternalServerError):
        return error
    if isinstance(error, StorageUnavailableError):
        logger.error("the store failed: %s", error)
        is_unknown = isinstance(error, CommitOutcomeUnknownError)
        return ServiceUnavailable(
            OUTCOME_UNKNOWN_MESSAGE if is_unknown else UNAVAILABLE_MESSAGE, retry_after=RETRY_AFTER
        )
    cause = getattr(error, "original_exception", None) or error
    where = f"{request.method} {shown(request.path)}"
    logger.error("request %s failed: %s", request_id(), where, exc_info=cause)
    return InternalServerError(f"Something went wrong here; it was logged as {request_id()}.")
