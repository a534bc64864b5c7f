"""Strict request parsing: what webargs would accept or coerce is an error here."""

from threading import Semaphore
from typing import Any

from flask import Request, request
from flask_smorest import abort
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from leads_service import strict_json
from leads_service._compat.flask import current_request
from leads_service.api.responses import RETRY_AFTER
from leads_service.config import THREADS

MAX_BODY = 256 * 1024  # bytes; the longest notes take 120,000, every character escaped
MAX_BODY_WAIT = 0.1  # seconds; far longer than to read a body that has arrived
GRANIAN = "Granian"  # SERVER_SOFTWARE of a server that passes truncated chunked bodies as complete
MAX_CACHED_QUERIES = 1000  # query strings
MAX_CACHED_QUERY_LENGTH = 200  # bytes; longer query strings are not cached


class StrictParser(FlaskParser):
    """A webargs parser for ``application/json`` in UTF-8 and for unrepeated query parameters.

    JSON is read by ``strict_json``: RFC 8259 without Python's extensions.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parsed_queries: dict[tuple[Schema, str | None, bytes], dict[str, Any]] = {}

    def parse(self, argmap: Any, req: Request | None = None, **kwargs: Any) -> Any:
        """Return the request's values as loaded by the schema ``argmap``.

        The values of a query string are cached by schema ("parse cache" in
        ``benchmarks/pieces.py``).
        """
        if kwargs.get("location") != "query" or not isinstance(argmap, Schema):
            return super().parse(argmap, req, **kwargs)
        key = (argmap, kwargs.get("unknown"), request.query_string)
        values = self._parsed_queries.get(key)
        if values is None:
            values = super().parse(argmap, req, **kwargs)
            if len(self._parsed_queries) >= MAX_CACHED_QUERIES:
                self._parsed_queries.clear()
            if len(request.query_string) <= MAX_CACHED_QUERY_LENGTH:
                self._parsed_queries[key] = values
        return dict(values)  # a copy, which the view may change

    def get_default_request(self) -> Request:
        """Return the request itself: Flask's proxy looks it up at each access."""
        return current_request()

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return what the body says; aborts with 400, 411, 413, 415, 422 or 503."""
        refuse_parameters(req)
        if req.mimetype != "application/json":
            abort(415, message="Send the body as Content-Type: application/json.")
        try:
            return strict_json.loads(_body(req).decode())
        except ValueError:
            abort(400, message="The body is not valid JSON in UTF-8.")

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, str]:
        """Return the query parameters.

        Raises:
            ValidationError: A parameter is given more than once.
        """
        for name, values in req.args.lists():
            if len(values) > 1:
                raise ValidationError({name: ["Must not be given more than once."]})
        return req.args.to_dict()


def refuse_parameters(req: Request) -> None:
    """Abort with 422 if the request has query parameters; ``errors`` names them."""
    if req.query_string and req.args:
        abort(422, messages={"query": {name: ["Unknown field."] for name in req.args}})


# Held by a thread that reads a body. Two threads stay free for other requests, so that slow or
# stalled uploads can't block a worker.
_body_slots = Semaphore(THREADS - 2)


def _body(req: Request) -> bytes:
    hosts = req.max_content_length
    limit = MAX_BODY if hosts is None else min(hosts, MAX_BODY)
    if not _body_slots.acquire(timeout=MAX_BODY_WAIT):
        abort(
            503,
            message="Too many bodies are on their way; try again.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    try:
        if "stream" not in vars(req):  # not set by a host that has read the body already
            # Without a Content-Length, werkzeug silently truncates the body at the limit. With one
            # byte more, a body that is too large can be told from one of exactly the limit.
            req.stream = get_input_stream(req.environ, max_content_length=limit + 1)
        body = req.get_data()
    except RequestEntityTooLarge:
        body = bytes(limit + 1)
    except Exception as error:  # each WSGI server raises its own error for a truncated body
        raise ValueError("the body is cut off") from error
    finally:
        _body_slots.release()
    if len(body) > limit:
        size = f"{limit} bytes" if limit % 1024 else f"{limit // 1024} KiB"
        abort(413, message=f"The body is larger than {size}.")
    if "HTTP_TRANSFER_ENCODING" in req.environ and req.environ["SERVER_SOFTWARE"] == GRANIAN:
        abort(411, message="Send the body whole, with a Content-Length, not chunked.")
    if len(body) < (req.content_length or 0):
        raise ValueError("the body is cut off")
    return body
