"""A rate limiter for invalid tokens, by client network."""

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
MAX_KNOWN = 10_000  # pairs of network and valid token
IPV6_PREFIX = 64  # bits; a client can choose the other 64 freely
WITH_PORT = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")  # some proxies forward the port as well

Found = TypeVar("Found")


class Throttle:
    """Refuses the tokens of a network that has sent too many invalid ones in the last minute.

    Valid tokens are refused as well, so that a guess can't be confirmed. Tokens that were valid
    before, from the same network, are accepted: otherwise one client could lock out everybody who
    shares its address, such as a proxy's. Each process counts for itself.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic):
        """Create a limiter.

        Args:
            per_minute: How many invalid tokens a network may send in a minute; 0 for no limit.
            clock: Returns the time in seconds, from any start.
        """
        self._per_minute = per_minute
        self._clock = clock
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._ends = 0.0  # when the current window ends, by the clock
        self._known: set[int] = set()

    def look_up(self, token: str, find: Callable[[], Found | None]) -> Found | None:
        """Return what ``find`` returns for the current request's token.

        Aborts with 429, without calling ``find``, if the client's network has sent too many
        invalid tokens and this one is not known to be valid.

        Args:
            token: The token.
            find: Looks the token up; returns None if it is invalid.
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
        # Counted before the lookup, so that concurrent requests can't exceed the limit.
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
        """Count an invalid token; if the limit is reached, return the seconds left, otherwise 0."""
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
    """Return the network that an address is counted under.

    Args:
        address: An IP address, with or without a port.

    Returns:
        The IPv4 address, or the IPv6 network of ``IPV6_PREFIX`` bits; an empty string for anything
        else, such as the peer of a Unix socket.
    """
    match = WITH_PORT.fullmatch(address)
    try:
        ip = ip_address((match[1] or match[2]) if match else address)
    except ValueError:
        return ""
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((int(ip), IPV6_PREFIX), strict=False))
