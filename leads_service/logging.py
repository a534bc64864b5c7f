"""Logging: a request id on every answer, a line per request, JSON unless somebody is watching."""

import logging
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from flask import Response, g, has_request_context, request

from leads_service.accounts import TOKEN_PREFIX

logger = logging.getLogger("leads_service")

# Without what looks like a token, or a part of one: it would get into the log.
SANE_ID = re.compile(rf"(?!.*{TOKEN_PREFIX})[A-Za-z0-9._:-]{{1,128}}")
# One of our tokens, or the better part of one: somebody has pasted it into an address.
TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{32,}}")
MAX_SHOWN = 200  # characters of a path
# What begins a line for people, and is clear without a label.
PLAIN = ("time", "level", "message", "method", "route", "path", "status")


class Call(NamedTuple):
    """A request that is being answered: its id, and when it came, by perf_counter()."""

    id: str
    began: float


def begin_request() -> None:
    """Give the request its id: the caller's, if it sent a sane one, or a new one."""
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    sane = SANE_ID.fullmatch(given)
    g.leads_call = Call(given if sane else f"{getrandbits(128):032x}", perf_counter())


def request_id() -> str:
    """Return the request's id."""
    if "leads_call" not in g:  # a host has failed before it was our turn
        begin_request()
    return str(g.leads_call.id)


def end_request(response: Response) -> Response:
    """Put the request's id on the answer, and log the request."""
    call: Call = g.leads_call
    response.headers["X-Request-ID"] = call.id
    if logger.isEnabledFor(logging.INFO):
        # Not through logger.info(): "request log written directly" in benchmarks/pieces.py.
        write("info", "request", _summary(call, response))
    return response


def _summary(call: Call, response: Response) -> dict[str, Any]:
    environ = request.environ
    rule = request.url_rule
    caller = g.get("leads_caller")
    fields = {
        "request_id": call.id,
        "method": environ["REQUEST_METHOD"],
        "route": rule and rule.rule,
        "status": response.status_code,
        "ms": round((perf_counter() - call.began) * 1000, 3),
        "user_id": caller and caller.user_id,
        "bytes": response.content_length,
    }
    if rule is None:  # both are whatever somebody has sent
        fields |= {"method": shown(environ["REQUEST_METHOD"]), "path": shown(request.path)}
    return fields


def shown(path: str) -> str:
    """Return a path as a log may hold it: quoted, without a token, 200 characters at most."""
    path = TOKEN.sub("[token]", quote(path[: 5 * MAX_SHOWN]))  # room for tokens, which shrink
    return path if len(path) <= MAX_SHOWN else f"{path[: MAX_SHOWN - 3]}..."


def printable(text: str) -> str:
    """Return the text with what could begin a line or command a terminal escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write(level: str, message: str, fields: dict[str, Any]) -> None:
    """Write a line to stderr: for people if they are watching, otherwise for programs, as JSON.

    All texts have to be printable, but for the line ends in an ``exception``.
    """
    line = {"time": datetime.now(UTC), "level": level, "message": message, **fields}
    if sys.stderr.isatty():
        text = _for_people(line)
    else:
        text = orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()
    with suppress(OSError):  # a full disk or a closed pipe must not fail the request
        sys.stderr.write(text + "\n")  # in one piece: those of several processes do not mix
        sys.stderr.flush()


def _for_people(line: dict[str, Any]) -> str:
    known = {name: value for name, value in line.items() if value is not None}
    exception = known.pop("exception", "")
    words = [str(known.pop(name)) for name in PLAIN if name in known]
    words += [f"{name}={value}" for name, value in known.items()]
    # Indented, no line of an exception's message passes for a line of the log.
    return "\n".join([" ".join(words), *(f"    {part}" for part in exception.splitlines())])


class JsonHandler(logging.Handler):
    """Writes what is logged beside the requests in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, with the request's id, and with a traceback if there is one."""
        call: Call | None = g.get("leads_call") if has_request_context() else None
        fields = {"request_id": call.id if call else None}
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            fields["exception"] = "\n".join(map(printable, text.split("\n")))
        write(record.levelname.lower(), printable(record.getMessage()), fields)


def configure(level: str) -> None:
    """Log from ``level`` on; a second call only changes the level."""
    logger.setLevel(level.upper())
    if not logger.handlers:
        logger.addHandler(JsonHandler())
        logger.propagate = False
