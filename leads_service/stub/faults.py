"""What a stub does wrong when it is told to: answers late, or with an error."""

import re
from random import Random
from typing import Any

from flask import Response, request
from werkzeug.http import HTTP_STATUS_CODES

from leads_service.api.responses import json_response

MAX_DELAY = 60.0  # seconds
RETRY_AFTER_STATUSES = {429, 503}
ERROR_STATUSES = [status for status in HTTP_STATUS_CODES if status >= 400]  # noqa: PLR2004


def seconds(text: str) -> float:
    """Return a delay such as ``300ms`` or ``1.5s`` in seconds; ValueError for one over a minute."""
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(ms|s)", text)
    delay = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else MAX_DELAY + 1
    if delay > MAX_DELAY:
        raise ValueError(f"{text!r} is no delay: use 300ms or 1.5s, up to 60s")
    return delay


class Faults:
    """How late answers come, in seconds, and what share of them is an error instead."""

    def __init__(self, delay: float = 0.0, fail_rate: float = 0.0, seed: int = 0):
        self._delay = delay
        self._fail_rate = fail_rate
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Begin with the first of the failures again."""
        self._random = Random(self._seed)

    def delay_of(self, environ: dict[str, Any]) -> float:
        """Return how many seconds to wait before a request is answered."""
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return 0.0
        try:
            return seconds(environ.get("HTTP_X_STUB_DELAY", f"{self._delay:.3f}s"))
        except ValueError:
            return 0.0  # fail() says what is wrong with it

    def fail(self) -> Response | None:
        """Answer with an error if the request asks for it, or if it is its turn."""
        if request.method == "OPTIONS":  # a browser's preflight; what follows is to fail
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
