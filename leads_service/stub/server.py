"""The server of a stub: one process, a thread for each request, loopback only."""

from werkzeug.http import http_date
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from leads_service.stub import Stub

HOST = "127.0.0.1"  # the tokens are known to all: nobody else may come


class Handler(WSGIRequestHandler):
    """Leaves the time to the stub, and the log to the service."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the stub's time for the header Date."""
        stub: Stub = self.server.app  # type: ignore[assignment]
        return http_date(stub.now)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def listen(stub: Stub, port: int = 0) -> tuple[BaseWSGIServer, str]:
    """Return a server that listens on the port, or on a free one, and its address."""
    server = make_server(HOST, port, stub, threaded=True, request_handler=Handler)
    return server, f"http://{HOST}:{server.server_port}"
