"""Fault injection of the stub: delays and error responses."""

import re
from random import Random
from typing import Any

from flask import Response, request
from werkzeug.http import HTTP_STATUS_CODES

from leads_service.api.responses import json_response

MAX_DELAY = 60.0  # seconds
RETRY_AFTER_STATUSES = {429, 503}
ERROR_STATUSES = [status for status in HTTP_STATUS_CODES if status >= 400]  # noqa: PLR2004  # an error


def seconds(text: str) -> float:
    """Return a delay such as ``300ms`` or ``1.5s`` in seconds.

    Raises:
        ValueError: It is malformed, or longer than ``MAX_DELAY``.
    """
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(ms|s)", text)
    delay = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else MAX_DELAY + 1
    if delay > MAX_DELAY:
        raise ValueError(f"{text!r} is no delay: use 300ms or 1.5s, up to 60s")
    return delay


class Faults:
    """The faults of a stub; requests can ask for others by ``X-Stub-Delay`` and ``X-Stub-Fail``."""

    def __init__(self, delay: float = 0.0, fail_rate: float = 0.0, seed: int = 0):
        """Create the faults.

        Args:
            delay: The delay of each response in seconds.
            fail_rate: The probability, from 0 to 1, that a request under /v1 fails with 503.
            seed: The seed of the random failures.
        """
        self._delay = delay
        self._fail_rate = fail_rate
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Restart the sequence of random failures."""
        self._random = Random(self._seed)

    def delay_of(self, environ: dict[str, Any]) -> float:
        """Return the delay of a request in seconds; none for a CORS preflight."""
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return 0.0
        try:
            return seconds(environ.get("HTTP_X_STUB_DELAY", f"{self._delay:.3f}s"))
        except ValueError:
            return 0.0  # fail() returns the error

    def fail(self) -> Response | None:
        """Return the error that the request asks for, or a random one; None to process it."""
        if request.method == "OPTIONS":  # a CORS preflight; the actual request is to fail
            return None
        try:
            seconds(request.headers.get("X-Stub-Delay", "0s"))
        except ValueError as error:
            return _error(400, f"X-Stub-Delay: {error}.")
        wanted = request.headers.get("X-Stub-Fail")
        if wanted is not None:
            if wanted not in map(str, ERROR_STATUSES):
                return _error(400, f"X-Stub-Fail: {wanted!r} is no status of an error.")
            return _error(int(wanted), "The stub was asked for this by X-Stub-Fail.")
        if request.path.startswith("/v1/") and self._random.random() < self._fail_rate:
            return _error(503, "The stub fails at times, as --fail-rate says.")
        return None


def _error(status: int, message: str) -> Response:
    payload = {"code": status, "status": HTTP_STATUS_CODES[status], "message": message}
    return json_response(
        payload, status, {"Retry-After": "1"} if status in RETRY_AFTER_STATUSES else None
    )
