"""WSGI middleware of the standalone application; a host application brings its own."""

import re
from collections.abc import Iterable
from threading import Lock
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

READ_METHODS = ("GET", "HEAD")
MAX_READ_WAIT = 0.05  # seconds; far longer than a page takes
VALID_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


class SerializeReads:
    """WSGI middleware that serializes GET and HEAD requests within a process.

    Under the GIL only one thread of a process runs Python at a time, and the GIL is released at
    every system call: concurrent reads contend for it ("serialized reads" in
    ``benchmarks/pieces.py``). Writes wait for the disk and for each other, and run concurrently. So
    do reads that wait for a database server.
    """

    def __init__(self, app: WSGIApplication, max_wait: float = MAX_READ_WAIT):
        """Wrap an application.

        Args:
            app: The application.
            max_wait: For how many seconds a read waits for the previous one; then it runs anyway.
        """
        self._app = app
        self._max_wait = max_wait
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application; for a read, wait up to ``max_wait`` seconds for the previous."""
        is_alone = environ["REQUEST_METHOD"] in READ_METHODS and self._lock.acquire(
            timeout=self._max_wait
        )
        try:
            return self._app(environ, start_response)
        finally:
            if is_alone:
                self._lock.release()


def behind_proxies(app: WSGIApplication, hops: int) -> WSGIApplication:
    """Return an application that trusts the ``X-Forwarded-*`` headers of proxies.

    An invalid forwarded scheme or prefix is ignored, since both become part of URLs in responses.

    Args:
        app: The application behind the proxies.
        hops: How many proxies there are; headers of further hops are not trusted.
    """

    def check_forwarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ["werkzeug.proxy_fix.orig"]
        if environ["wsgi.url_scheme"] not in ("http", "https"):
            environ["wsgi.url_scheme"] = sent["wsgi.url_scheme"]
        if not VALID_PREFIX.fullmatch(environ["SCRIPT_NAME"]):
            environ["SCRIPT_NAME"] = sent["SCRIPT_NAME"]
        return app(environ, start_response)

    return ProxyFix(check_forwarded, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)
