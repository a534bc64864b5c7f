"""Everything here starts processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import Server, serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two workers for all tests that need a real one."""
    with serve(
        f"sqlite:///{tmp_path_factory.mktemp('server') / 'leads.db'}",
        *("--workers", "2"),
        LEADS_AUTH_FAILURES="0",  # tests guess a lot
    ) as it:
        yield it
