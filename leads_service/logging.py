"""Logging: request ids, and a line per request, as JSON or, on a terminal, as text."""

import logging
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from random import getrandbits
from time import perf_counter
from typing import Any, NamedTuple, TextIO
from urllib.parse import quote

import orjson
from flask import Response, g, has_request_context

from leads_service._compat.flask import current_request
from leads_service.accounts import TOKEN_PREFIX

logger = logging.getLogger("leads_service")

# Excludes what looks like a token, so that none gets into the log.
VALID_ID = re.compile(rf"(?!.*{TOKEN_PREFIX})[A-Za-z0-9._:-]{{1,128}}")
# A token, or most of one, that somebody has pasted into a URL.
TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{32,}}")
MAX_SHOWN = 200  # characters of a path
# The fields that begin a line of text, without their names.
UNLABELLED_FIELDS = ("time", "level", "message", "method", "route", "path", "status")


class Call(NamedTuple):
    """The current request: its id, and when it began, as returned by ``perf_counter()``."""

    id: str
    began: float


def begin_request() -> None:
    """Give the request an id: that of its header X-Request-ID if valid, or a new one."""
    given = current_request().environ.get("HTTP_X_REQUEST_ID", "")
    sane = VALID_ID.fullmatch(given)
    g.leads_call = Call(given if sane else f"{getrandbits(128):032x}", perf_counter())


def request_id() -> str:
    """Return the id of the current request."""
    if "leads_call" not in g:  # a hook of the host failed before ours ran
        begin_request()
    return str(g.leads_call.id)


def end_request(response: Response) -> Response:
    """Add the header X-Request-ID to the response, and log the request."""
    call: Call = g.leads_call
    response.headers["X-Request-ID"] = call.id
    if logger.isEnabledFor(logging.INFO):
        # Not through logger.info(): "request log written directly" in benchmarks/pieces.py.
        write("info", "request", _summary(call, response))
    return response


def _summary(call: Call, response: Response) -> dict[str, Any]:
    request = current_request()
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
        "bytes": response.headers.get("Content-Length", type=int),
    }
    if rule is None:  # not routed: method and path may be anything, and have to be escaped
        fields |= {"method": shown(environ["REQUEST_METHOD"]), "path": shown(request.path)}
    return fields


def shown(path: str) -> str:
    """Return a path for the log: quoted, with tokens redacted, truncated to ``MAX_SHOWN``."""
    path = TOKEN.sub("[token]", quote(path[: 5 * MAX_SHOWN]))  # more, for redaction shortens it
    return path if len(path) <= MAX_SHOWN else f"{path[: MAX_SHOWN - 3]}..."


def printable(text: str) -> str:
    """Return a text with line ends and control characters escaped, against log injection."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write(level: str, message: str, fields: dict[str, Any]) -> None:
    """Write a line to stderr: as text on a terminal, otherwise as JSON.

    Args:
        level: The level in lower case.
        message: The message.
        fields: Further fields by name. All texts have to be printable, except for line ends in
            ``exception``, a traceback.
    """
    line = {"time": datetime.now(UTC), "level": level, "message": message, **fields}
    if _is_terminal(sys.stderr):
        text = _as_text(line)
    else:
        text = orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()
    with suppress(OSError):  # a full disk or a closed pipe must not fail the request
        sys.stderr.write(text + "\n")  # one write, so that lines of several processes do not mix
        sys.stderr.flush()


@lru_cache(maxsize=1)
def _is_terminal(stream: TextIO) -> bool:
    """Ask the system once, not for each line."""
    return stream.isatty()


def _as_text(line: dict[str, Any]) -> str:
    known = {name: value for name, value in line.items() if value is not None}
    exception = known.pop("exception", "")
    words = [str(known.pop(name)) for name in UNLABELLED_FIELDS if name in known]
    words += [f"{name}={value}" for name, value in known.items()]
    # Indented, so that no line of an exception's message looks like a line of the log.
    return "\n".join([" ".join(words), *(f"    {part}" for part in exception.splitlines())])


class JsonHandler(logging.Handler):
    """A logging handler that writes records in the same format as the lines of requests."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, with the id of the current request and the traceback, if any."""
        call: Call | None = g.get("leads_call") if has_request_context() else None
        fields = {"request_id": call.id if call else None}
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            fields["exception"] = "\n".join(map(printable, text.split("\n")))
        write(record.levelname.lower(), printable(record.getMessage()), fields)


def configure(level: str) -> None:
    """Configure the package's logger; further calls only change the level.

    Args:
        level: The lowest level to log, as in ``LEADS_LOG_LEVEL``.
    """
    logger.setLevel(level.upper())
    if not logger.handlers:
        logger.addHandler(JsonHandler())
        logger.propagate = False
