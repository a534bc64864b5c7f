"""Which versions of SQLite are safe."""

import pytest

from leads_service.storage.sqlite.database import has_safe_wal_reset


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
    ],
)
def test_versions_of_sqlite(version: tuple[int, int, int], is_safe: bool) -> None:
    assert has_safe_wal_reset(version) == is_safe
