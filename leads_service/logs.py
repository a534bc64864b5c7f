"""Logging: a request id on every answer, a line per request, JSON unless somebody is watching."""

import logging
import re
import sys
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from uuid import uuid4

import orjson
from flask import Response, g, has_request_context, request

from leads_service.models import timestamp

logger = logging.getLogger("leads_service")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def begin_request() -> None:
    """Give the request its id: the caller's, if it sent a sane one, or a new one."""
    if "leads_request_id" not in g:
        given = request.headers.get("X-Request-ID", "")
        g.leads_request_id = given if SANE_ID.fullmatch(given) else uuid4().hex
        g.leads_began = perf_counter()


def end_request(response: Response) -> Response:
    """Put the request's id on the answer, and log the request once."""
    if "X-Request-ID" not in response.headers:
        response.headers["X-Request-ID"] = g.leads_request_id
        if logger.isEnabledFor(logging.INFO):
            logger.info("request", extra={"request": _summary(response)})
    return response


def _summary(response: Response) -> dict[str, Any]:
    caller = g.get("leads_caller")
    return {
        "method": request.method,
        # The rule, not the path: a path is whatever somebody sends.
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "ms": round((perf_counter() - g.leads_began) * 1000, 3),
        "user_id": caller.user_id if caller else None,
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
            "request_id": _request_id(),
            **getattr(record, "request", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class ReadableLines(logging.Formatter):
    """One line for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base's name
        """Return the record as text, a request's figures behind it."""
        figures = getattr(record, "request", {})
        message = " ".join(str(figure) for figure in figures.values()) or record.getMessage()
        return f"{_time(record)} {record.levelname} {message} [{_request_id() or '-'}]"


def _time(record: logging.LogRecord) -> str:
    return timestamp(datetime.fromtimestamp(record.created, UTC))


def _request_id() -> str | None:
    return g.get("leads_request_id") if has_request_context() else None


def configure(level: str) -> None:
    """Send our log to stderr from ``level`` on; a second call only changes the level."""
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(ReadableLines() if sys.stderr.isatty() else JsonLines())
        logger.addHandler(handler)
        logger.propagate = False
