"""WSGI middleware of an application of its own; a host has its own."""

import re
from collections.abc import Iterable
from threading import Lock
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

READING = ("GET", "HEAD")
MAX_READ_WAIT = 0.05  # seconds; far longer than a page takes
SANE_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


class SerializeReads:
    """Lets a process answer one read at a time; a read waits for the one before, but not for long.

    Only one thread of a process runs Python at a time, and the GIL changes hands whenever one calls
    the system: threads that read side by side answer fewer requests than one by one ("serialized
    reads" in ``benchmarks/pieces.py``). Writes wait for the disk and for each other, and run
    concurrently.
    """

    def __init__(self, app: WSGIApplication, max_wait: float = MAX_READ_WAIT):
        self._app = app
        self._max_wait = max_wait
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; a read after the one before, or ``max_wait`` seconds later."""
        is_alone = environ["REQUEST_METHOD"] in READING and self._lock.acquire(
            timeout=self._max_wait
        )
        try:
            return self._app(environ, start_response)
        finally:
            if is_alone:
                self._lock.release()


def behind_proxies(app: WSGIApplication, hops: int) -> WSGIApplication:
    """Return an application that believes what so many proxies forward about the client.

    A forwarded scheme or prefix that is none is ignored: they stand in addresses that it sends.
    """

    def only_sane(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ["werkzeug.proxy_fix.orig"]
        if environ["wsgi.url_scheme"] not in ("http", "https"):
            environ["wsgi.url_scheme"] = sent["wsgi.url_scheme"]
        if not SANE_PREFIX.fullmatch(environ["SCRIPT_NAME"]):
            environ["SCRIPT_NAME"] = sent["SCRIPT_NAME"]
        return app(environ, start_response)

    return ProxyFix(only_sane, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)
