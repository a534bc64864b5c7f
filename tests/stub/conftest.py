"""Stubs in this process."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from werkzeug.test import Client

from leads_service.stub import Stub
from tests.stub.calls import Make


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:

        def make(**options: Any) -> Client:
            stub = Stub(log_level="error", **options)
            stack.callback(stub.close)
            return Client(stub)

        yield make
