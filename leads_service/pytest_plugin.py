"""For the tests of a tool that uses leads: pytest finds the fixture ``leads_stub`` by itself."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from leads_service.exceptions import ConfigError
from leads_service.stub import Stub
from leads_service.stub.samples import TOKENS
from leads_service.stub.server import listen

POLL = 0.05  # seconds that the end of the session waits for the server at most


class LeadsStub:
    """A running stub: the real service, on a port of its own, with 200 leads of alice and bob."""

    def __init__(self, stub: Stub, url: str):
        self._stub = stub
        self.url = url  # the API is at {url}/v1
        self.tokens = dict(TOKENS)  # by user, and "alice-read-only"

    def reset(self) -> None:
        """Put the first state back."""
        self._stub.reset()

    def leads(self, user: str) -> list[dict[str, Any]]:
        """Return all leads of ``"alice"`` or ``"bob"``, newest first; for others, AccountError."""
        return self._stub.leads(user)


@pytest.fixture(scope="session")
def _leads_stub_of_the_session() -> Iterator[LeadsStub]:
    try:
        stub = Stub(log_level="warning")
    except ConfigError as error:
        pytest.fail(f"leads_stub: {error}", pytrace=False)
    server, url = listen(stub)
    thread = Thread(target=server.serve_forever, args=[POLL], daemon=True)
    thread.start()
    yield LeadsStub(stub, url)
    server.shutdown()
    thread.join()
    server.server_close()
    stub.close()


@pytest.fixture
def leads_stub(_leads_stub_of_the_session: LeadsStub) -> LeadsStub:
    """Return the stub that serves the whole session, in its first state."""
    _leads_stub_of_the_session.reset()
    return _leads_stub_of_the_session
