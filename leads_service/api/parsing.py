"""Reading requests strictly: what webargs would let pass or guess is an error here."""

from threading import Semaphore
from typing import Any

from flask import Request, request
from flask_smorest import abort
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from leads_service import strict_json
from leads_service.api.responses import RETRY_AFTER
from leads_service.config import THREADS

MAX_BODY = 256 * 1024  # bytes; the longest notes take 120,000, every character escaped
MAX_BODY_WAIT = 0.1  # seconds; far longer than to read a body that has arrived
GRANIAN = "Granian"  # which hands over a chunked body that broke off as if it were whole
MAX_READ = 1000  # query strings that are remembered, each of up to
MAX_READ_LENGTH = 200  # bytes


class StrictParser(FlaskParser):
    """Takes JSON of one media type, in UTF-8, as RFC 8259 has it, and each query parameter once."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[tuple[Schema, str | None, bytes], dict[str, Any]] = {}

    def parse(self, argmap: Any, req: Request | None = None, **kwargs: Any) -> Any:
        """Return what the schema makes of the request.

        What it makes of a query string is cached ("parse cache" in ``benchmarks/pieces.py``).
        """
        if kwargs.get("location") != "query" or not isinstance(argmap, Schema):
            return super().parse(argmap, req, **kwargs)
        key = (argmap, kwargs.get("unknown"), request.query_string)
        values = self._read.get(key)
        if values is None:
            values = super().parse(argmap, req, **kwargs)
            if len(self._read) >= MAX_READ:
                self._read.clear()
            if len(request.query_string) <= MAX_READ_LENGTH:
                self._read[key] = values
        return dict(values)  # the view's own

    def _raw_load_json(self, req: Request) -> Any:
        refuse_parameters(req)
        if req.mimetype != "application/json":
            abort(415, message="Send the body as Content-Type: application/json.")
        try:
            return strict_json.loads(_body(req).decode())
        except ValueError:
            abort(400, message="The body is not valid JSON in UTF-8.")

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, str]:
        """Return the query's parameters; raises ValidationError for one that is given twice."""
        for name, values in req.args.lists():
            if len(values) > 1:
                raise ValidationError({name: ["Must not be given more than once."]})
        return req.args.to_dict()


def refuse_parameters(req: Request) -> None:
    """Abort with 422 that names them if the request has parameters."""
    if req.query_string and req.args:
        abort(422, messages={"query": {name: ["Unknown field."] for name in req.args}})


# The threads that may wait for a client's body at a time: some have to go on.
_waiting = Semaphore(THREADS - 2)


def _body(req: Request) -> bytes:
    hosts = req.max_content_length
    limit = MAX_BODY if hosts is None else min(hosts, MAX_BODY)
    if not _waiting.acquire(timeout=MAX_BODY_WAIT):
        abort(
            503,
            message="Too many bodies are on their way; try again.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    try:
        if "stream" not in vars(req):  # a host has read it already
            # Of a body without a length, werkzeug reads as much as is allowed and leaves the rest:
            # one byte more tells that there is a rest.
            req.stream = get_input_stream(req.environ, max_content_length=limit + 1)
        body = req.get_data()
    except RequestEntityTooLarge:
        body = bytes(limit + 1)
    except Exception as error:  # every server has its own for a body that breaks off
        raise ValueError("the body is cut off") from error
    finally:
        _waiting.release()
    if len(body) > limit:
        size = f"{limit} bytes" if limit % 1024 else f"{limit // 1024} KiB"
        abort(413, message=f"The body is larger than {size}.")
    if "HTTP_TRANSFER_ENCODING" in req.environ and req.environ["SERVER_SOFTWARE"] == GRANIAN:
        abort(411, message="Send the body whole, with a Content-Length, not chunked.")
    if len(body) < (req.content_length or 0):
        raise ValueError("the body is cut off")
    return body
