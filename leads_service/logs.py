"""Logging: a request id on every answer, a line per request, JSON unless somebody is watching."""

import logging
import re
import sys
from datetime import UTC, datetime
from random import getrandbits
from time import perf_counter
from typing import Any, NamedTuple

import orjson
from flask import Response, g, has_request_context, request

from leads_service.models import timestamp

logger = logging.getLogger("leads_service")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Call(NamedTuple):
    """A request that is being answered: its id, and when it came, by perf_counter()."""

    id: str
    began: float


def begin_request() -> None:
    """Give the request its id, once: the caller's, if it sent a sane one, or a new one."""
    if "leads_call" not in g:
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        g.leads_call = Call(
            given if SANE_ID.fullmatch(given) else f"{getrandbits(128):032x}", perf_counter()
        )


def end_request(response: Response) -> Response:
    """Put the request's id on the answer and log the request, once."""
    if "X-Request-ID" not in response.headers:
        call: Call = g.leads_call
        response.headers["X-Request-ID"] = call.id
        if logger.isEnabledFor(logging.INFO):
            # logger.info() would look for the place in this file, which takes as long as the rest.
            record = logging.LogRecord(logger.name, logging.INFO, "", 0, "request", None, None)
            record.request = _summary(call, response)
            logger.handle(record)
    return response


def _summary(call: Call, response: Response) -> dict[str, Any]:
    environ = request.environ
    rule = request.url_rule
    caller = g.get("leads_caller")
    return {
        "request_id": call.id,
        "method": environ["REQUEST_METHOD"],
        "route": rule and rule.rule,  # not the path, which is whatever somebody sends
        "status": response.status_code,
        "ms": round((perf_counter() - call.began) * 1000, 3),
        "user_id": caller and caller.user_id,
        "bytes": response.content_length,
    }


class JsonLines(logging.Formatter):
    """One JSON object per line, for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **(getattr(record, "request", None) or {"request_id": _request_id()}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class ReadableLines(logging.Formatter):
    """One line for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base's name
        """Return the record as text, a request's figures behind it."""
        figures = getattr(record, "request", None) or {"request_id": _request_id()}
        request_id, *rest = figures.values()
        message = " ".join(map(str, rest)) or record.getMessage()
        return f"{_time(record)} {record.levelname} {message} [{request_id or '-'}]"


def _time(record: logging.LogRecord) -> str:
    return timestamp(datetime.fromtimestamp(record.created, UTC))


def _request_id() -> str | None:
    call = g.get("leads_call") if has_request_context() else None
    return call and call.id


def configure(level: str) -> None:
    """Send our log to stderr from ``level`` on; a second call only changes the level."""
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(ReadableLines() if sys.stderr.isatty() else JsonLines())
        logger.addHandler(handler)
        logger.propagate = False
