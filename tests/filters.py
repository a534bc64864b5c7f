"""The filters of a list: values for them, and what they let pass, written out a second time."""

from typing import Any

from hypothesis import strategies as st

from leads_service.lead import STATUSES

DAYS = ["0001-01-01", *(f"2026-11-{day}" for day in range(21, 27)), "9999-12-31"]
SCORES = [0, 10, 11, 59, 60, 100]
COMPANIES = st.integers(1, 3)


def is_valid(filters: dict[str, Any]) -> bool:
    scores = filters.get("min_score", 0), filters.get("max_score", 100)
    days = filters.get("created_after", DAYS[0]), filters.get("created_before", DAYS[-1])
    return bool(scores[0] <= scores[1] and days[0] <= days[1])


FILTERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(STATUSES),
        "company_id": COMPANIES,
        "min_score": st.sampled_from(SCORES),
        "max_score": st.sampled_from(SCORES),
        "created_after": st.sampled_from(DAYS),
        "created_before": st.sampled_from(DAYS),
    },
).filter(is_valid)


def passes(lead: dict[str, Any], filters: dict[str, Any]) -> bool:
    """Return whether a list with these filters shows the lead."""
    day = lead["created_at"][:10]
    return all(
        (
            lead["status"] == filters.get("status", lead["status"]),
            lead["company_id"] == filters.get("company_id", lead["company_id"]),
            filters.get("min_score", 0) <= lead["score"] <= filters.get("max_score", 100),
            filters.get("created_after", day) <= day <= filters.get("created_before", day),
        )
    )
