"""What every server has to answer before it is measured."""

import json
from datetime import UTC, datetime
from typing import Any

from data import OTHERS, Lead, leads
from servers import NOTES, BenchError, Server

PAGE = 50


def check(server: Server, base: str, token: str, count: int) -> None:
    """Check a list, a create and updates: the answers, and that the list has what was stored.

    Args:
        server: The server, as it was filled.
        base: Its URL.
        token: The first user's token.
        count: How many leads it was filled with.

    Raises:
        BenchError: Something is not as with the other servers.
    """

    def demand(are_equal: bool, what: str, found: object) -> None:
        if not are_equal:
            raise BenchError(f"{server.title}: {what} is not as expected: {found}")

    page = server.page(base, token)
    expected = [lead for lead in leads(count) if lead.user_id == 1][: -PAGE - 1 : -1]
    demand([_common(lead) for lead in page] == expected, "the page", page)

    body = server.create.replace("{number}", "0")
    status, text = server.ask(base + server.collection, token, "POST", body)
    demand(status == server.created, "the status of a create", (status, text))
    made = _fields(json.loads(text))
    lead = _common(made | {"id": 0})  # PocketBase's are not numbers
    demand(lead[:6] == (0, 1, 42, "new", f"{NOTES} 0", 10), "the created lead", made)
    first, second, *_ = map(_fields, server.page(base, token))
    demand(first == made and _common(second) == expected[0], "the page after a create", first)

    body = server.update.replace("{number}", "1").replace("{status}", "qualified")
    before = expected[0]
    status, text = server.ask(base + server.lead % before.id, token, "PATCH", body)
    demand(status == 200, "the status of an update", (status, text))
    changed = _fields(json.loads(text))
    after = _common(changed)
    # Only leads-service has a score that depends on the status.
    kept = before._replace(updated_at=after.updated_at, score=after.score)
    demand(after == kept._replace(status="qualified", notes=f"{NOTES} 1"), "the update", changed)
    demand(after.updated_at > before.updated_at, "the time of an update", changed)
    page = server.page(base, token)
    demand(_fields(page[1]) == changed, "the page after an update", page[1])

    status, text = server.ask(base + server.lead % OTHERS, token, "PATCH", body)
    demand(status == 404, "the status of an update of somebody else's", (status, text))


def _fields(lead: dict[str, Any]) -> dict[str, Any]:
    """Return the lead without what only this server adds."""
    return {name: lead[name] for name in Lead._fields}


def _common(lead: dict[str, Any]) -> Lead:
    """Return the lead in the format of all."""
    lead = _fields(lead)
    integers = {name: int(lead[name]) for name in ("id", "user_id", "company_id")}
    moments = {name: _utc(lead[name]) for name in ("created_at", "updated_at")}
    return Lead(**lead | integers | moments)


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)  # without a time zone from SQLModel, meaning UTC
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
