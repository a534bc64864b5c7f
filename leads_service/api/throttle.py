"""A brake on guessing: invalid tokens are counted by the network that they come from."""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from math import ceil
from threading import Lock
from time import monotonic
from typing import TypeVar

from flask import request
from flask_smorest import abort

WINDOW = 60  # seconds
MAX_KNOWN = 10_000
IPV6_PREFIX = 64  # bits; the other 64 a client can choose as it likes
WITH_PORT = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")  # some proxies send addresses like that

Found = TypeVar("Found")


class Throttle:
    """Refuses the tokens of a network that has sent too many invalid ones within a minute.

    It does so unseen: right guesses are refused like wrong ones. Tokens that were valid before,
    from the same network, go on: otherwise one client could lock out all who share its address,
    be it a proxy's. Each process has counts of its own.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic):
        """``per_minute`` is how many invalid tokens a network may send, 0 for no limit."""
        self._per_minute = per_minute
        self._clock = clock
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._ends = 0.0  # when counting begins anew
        self._known: set[int] = set()

    def look_up(self, token: str, find: Callable[[], Found | None]) -> Found | None:
        """Return what ``find`` finds for the current request's token: None if it is invalid.

        Aborts with 429, before that, if the request's network is to be refused.
        """
        if not self._per_minute:
            return find()
        network = network_of(request.remote_addr or "")
        key = hash((network, token))
        if key in self._known:
            found = find()
            if found is None:  # it was revoked, or has expired
                self._known.discard(key)
                self._count(network)
            return found
        # Counted first: of many that come at once, no more are looked up than of those in a row.
        if seconds := self._count(network):
            message = "Too many invalid tokens came from your address; try again later."
            abort(429, message=message, headers={"Retry-After": str(seconds)})
        is_invalid = False
        try:
            found = find()
            is_invalid = found is None
        finally:
            if not is_invalid:
                self._uncount(network)
        if not is_invalid:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known.add(key)
        return found

    def _count(self, network: str) -> int:
        """Count an invalid token; return for how many seconds there may be no further ones."""
        with self._lock:
            now = self._clock()
            if now >= self._ends:
                self._counts.clear()
                self._ends = now + WINDOW
            if self._counts[network] >= self._per_minute:
                return ceil(self._ends - now)
            self._counts[network] += 1
            return 0

    def _uncount(self, network: str) -> None:
        with self._lock:
            self._counts[network] = max(self._counts[network] - 1, 0)


@lru_cache
def network_of(address: str) -> str:
    """Return the network whose tokens are counted together: an IPv4 address, or an IPv6 prefix.

    Of what is no address, as on a Unix socket, all is one.
    """
    match = WITH_PORT.fullmatch(address)
    try:
        ip = ip_address((match[1] or match[2]) if match else address)
    except ValueError:
        return ""
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((int(ip), IPV6_PREFIX), strict=False))
