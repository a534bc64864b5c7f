"""A brake on guessing: invalid tokens are counted by the address that they come from."""

from functools import cached_property
from ipaddress import ip_address
from time import time

from flask import request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter


class Throttle:
    """Counts the failures of each address in this process; 0 ``per_minute`` counts nothing."""

    def __init__(self, per_minute: int, *, knows_addresses: bool):
        """``knows_addresses`` says whether X-Forwarded-For has been made sense of already."""
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._knows_addresses = knows_addresses

    def fail(self) -> int:
        """Count a failure of the current request's; return for how many seconds to refuse it.

        Behind a proxy that is not trusted, everybody has the proxy's address: nothing is counted.
        """
        address = request.remote_addr or ""
        if self._limit is None or self._is_proxy(address):
            return 0
        if self._limiter.hit(self._limit, address):
            return 0
        return max(
            1, round(self._limiter.get_window_stats(self._limit, address).reset_time - time())
        )

    def _is_proxy(self, address: str) -> bool:
        """Say whether the address may be a proxy's; one on the internet is taken for a client's."""
        if self._knows_addresses or "HTTP_X_FORWARDED_FOR" not in request.environ:
            return False
        try:
            return not ip_address(address).is_global
        except ValueError:
            return True

    @cached_property
    def _limiter(self) -> FixedWindowRateLimiter:
        return FixedWindowRateLimiter(MemoryStorage())  # has a thread: not before a worker forks
