"""Many leads at once: their indexes are dropped and made again where that is faster."""

import re
from collections.abc import Callable
from functools import partial
from itertools import groupby

import pytest

from leads_service._compat.peewee import sqlite_connection
from leads_service.lead import new_lead
from leads_service.state import AppState
from leads_service.storage.sqlite import storage as sqlite_storage
from tests.helpers import Caller, sqlite_of

OLD = "2020-02-29T23:59:59.000001Z"


@pytest.mark.parametrize(("count", "is_made_anew"), [(9, False), (10, True)])
def test_many_leads_are_indexed_after_they_are_stored(
    service: AppState,
    alice: Caller,
    bob: Caller,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    is_made_anew: bool,
) -> None:
    monkeypatch.setattr(sqlite_storage, "MIN_ROWS_TO_REINDEX", 10)
    storage = service.storage
    fields = new_lead({"company_id": 1})
    fields |= {"user_id": alice.id, "score": 0, "created_at": OLD, "updated_at": OLD}
    made = ["DROP", "INSERT", "CREATE"] if is_made_anew else ["INSERT"]
    moved = ["DROP", "DELETE", "INSERT", "CREATE"] if is_made_anew else ["DELETE", "INSERT"]
    with storage.opened():
        insert = partial(storage.insert_leads, [fields] * count, lambda _: None)
        assert steps(service, insert) == made
        assert steps(service, partial(service.leads.reassign, alice.id, bob.id)) == moved


def steps(service: AppState, action: Callable[[], object]) -> list[str]:
    """Run an action, and return the kinds of its statements on leads and indexes, in order."""
    statements: list[str] = []
    connection = sqlite_connection(sqlite_of(service))
    connection.set_trace_callback(statements.append)
    action()
    connection.set_trace_callback(None)
    form = re.compile(
        r'(DROP|CREATE) INDEX "?leads_lead|(INSERT) INTO "?leads_lead|(DELETE) FROM "leads_lead"'
    )
    found = [match[0].split()[0] for match in map(form.match, statements) if match]
    return [name for name, _ in groupby(found)]
