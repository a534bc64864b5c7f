"""The HTTP server of the stub: one process, a thread for each request, loopback only."""

from werkzeug.http import http_date
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from leads_service.stub import Stub

HOST = "127.0.0.1"  # the tokens are public, so it must not be reachable from elsewhere


class Handler(WSGIRequestHandler):
    """A request handler with the stub's time in the header Date, and without a log of its own."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time of the stub's clock for the header Date."""
        stub: Stub = self.server.app  # type: ignore[assignment]  # see listen()
        return http_date(stub.now)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the service logs its requests."""


def listen(stub: Stub, port: int = 0) -> tuple[BaseWSGIServer, str]:
    """Start to listen, and return the server and its URL.

    Args:
        stub: The application.
        port: The port; 0 for a free one.
    """
    server = make_server(HOST, port, stub, threaded=True, request_handler=Handler)
    return server, f"http://{HOST}:{server.server_port}"
