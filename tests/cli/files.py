"""Leads as files have them."""

from typing import Any

from tests.helpers import Caller


def portable(caller: Caller) -> list[dict[str, Any]]:
    """Return a user's leads, oldest first, as a file brings them."""
    data = caller.client.get("/v1/leads?limit=200").get_json()["data"]
    names = ("company_id", "status", "notes", "created_at", "updated_at")
    return [{name: lead[name] for name in names} for lead in reversed(data)]
