"""Where a page is cut that would be too large."""

import pytest

from leads_service.storage.queries import truncate_page


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 1), (1, 1), (10, 1), (21, 1), (22, 2), (33, 2), (34, 3), (35, 3), (100, 3)],
)
def test_the_leads_that_fit(size: int, expected: int) -> None:
    """Whole ones, and one at least; each takes ten bytes, and two lie between them."""
    leads = ["aaaaaaaaaa", "\u00e9\u00e9\u00e9\u00e9\u00e9", "\U0001f600\U0001f600bb"]
    assert truncate_page(",\n".join(leads), size) == ",\n".join(leads[:expected])
    assert truncate_page(leads[0], size) == leads[0]
