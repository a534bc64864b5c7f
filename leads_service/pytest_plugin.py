"""A pytest plugin with the fixture ``leads_stub``, for the tests of clients of this service.

pytest loads it by the entry point ``pytest11``.
"""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from leads_service.exceptions import ConfigError
from leads_service.stub import Stub
from leads_service.stub.samples import TOKENS
from leads_service.stub.server import listen

POLL = 0.05  # seconds between the server's checks for a shutdown


class LeadsStub:
    """A running stub: the real service on a free port, with 200 leads of alice and bob.

    Attributes:
        url: The root of the server; the API is at ``{url}/v1``.
        tokens: The tokens by user, ``"alice"`` and ``"bob"``, and ``"alice-read-only"``.
    """

    def __init__(self, stub: Stub, url: str):
        self._stub = stub
        self.url = url
        self.tokens = dict(TOKENS)

    def reset(self) -> None:
        """Restore the initial state."""
        self._stub.reset()

    def leads(self, user: str) -> list[dict[str, Any]]:
        """Return all leads of ``"alice"`` or ``"bob"``, newest first.

        Raises:
            AccountError: There is no such user.
        """
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
    """Return the session's stub of the leads service, reset to its initial state."""
    _leads_stub_of_the_session.reset()
    return _leads_stub_of_the_session
