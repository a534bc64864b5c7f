"""Users are removed; their leads are erased or given away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from leads_service import create_app
from leads_service.leads import LeadService
from leads_service.state import EXTENSION, AppState
from leads_service.storage.models import TABLES_WITH_OWNER
from tests.cli.conftest import WithScorer
from tests.helpers import (
    Caller,
    Clock,
    Run,
    companies,
    create,
    database_of,
    leads,
    sqlite_of,
)
from tests.scorers import raises


def test_every_table_of_a_users_is_known(service: AppState) -> None:
    database = database_of(service)
    with_user = {
        table
        for table in database.get_tables()
        if "user_id" in [column.name for column in database.get_columns(table)]
    }
    # Tokens go with their user, and only then.
    assert {table._meta.table_name for table in TABLES_WITH_OWNER} == with_user - {"leads_token"}


def test_remove_a_user_without_leads(run: Run, alice: Caller, bob: Caller) -> None:
    assert run("user", "remove", "bob", "--yes").output == "bob is removed, 0 leads erased.\n"
    assert bob.client.get("/v1/leads").status_code == 401
    assert "bob" not in run("token", "list").output + run("user", "list").output
    assert run("user", "add", "bob").output == "3\n", "an id is never used again"
    assert alice.client.get("/v1/leads").status_code == 200


def test_leads_have_to_go_somewhere(run: Run, alice: Caller, bob: Caller) -> None:
    create(alice, 7)
    message = run("user", "remove", "alice", "--yes", code=1).output
    assert "'alice' has 1 lead;" in message
    assert "--leads-to" in message
    assert "--erase" in message
    both = ("--leads-to", "bob", "--erase")
    assert "exclude each other" in run("user", "remove", "alice", "--yes", *both, code=2).output
    for name, part in (("alice", "can't get the leads"), ("carol", "there is no user 'carol'")):
        assert part in run("user", "remove", "alice", "--yes", "--leads-to", name, code=1).output
    assert (
        "there is no user 'eve'" in run("user", "remove", "eve", "--yes", "--erase", code=1).output
    )
    assert companies(alice) == [7]


@pytest.mark.usefixtures("scored_by_user")
def test_remove_a_user_whose_leads_stay(
    run: Run,
    service: AppState,
    alice: Caller,
    bob: Caller,
    clock: Clock,
    rows_of: Callable[[int], int],
) -> None:
    before = [create(alice, company_id, key=f"k{company_id}").get_json() for company_id in (7, 8)]
    clock.move(seconds=1)
    words = ("user", "remove", "alice", "--yes", "--leads-to", "bob")
    assert run(*words).output == "alice is removed, 2 leads given to bob.\n"
    assert alice.client.get("/v1/leads").status_code == 401
    changes = {"user_id": bob.id, "score": bob.id, "updated_at": "2026-11-22T22:03:12.123456Z"}
    assert leads(bob) == [lead | changes for lead in reversed(before)]
    assert rows_of(alice.id) == 0
    assert create(bob, 7, key="k7").headers["Idempotency-Replayed"] == "true"


def test_remove_a_user_with_all_leads(
    run: Run,
    service: AppState,
    alice: Caller,
    bob: Caller,
    database_file: Path,
    rows_of: Callable[[int], int],
) -> None:
    create(alice, 7, key="k", notes="hush, a secret " * 100)
    create(bob, 8)
    sqlite_of(service).pragma("secure_delete", 0)  # what is deleted could be read in the file
    words = ("user", "remove", "alice", "--yes", "--erase")
    assert run(*words).output == "alice is removed, 1 lead erased.\n"
    assert companies(bob) == [8]
    assert rows_of(alice.id) == 0
    sqlite_of(service).pragma("wal_checkpoint")
    assert b"hush" not in database_file.read_bytes()
    assert sqlite_of(service).pragma("secure_delete") == 0


def test_a_removal_that_fails_leaves_everything(
    run: Run, app: Flask, alice: Caller, bob: Caller, clock: Clock, with_scorer: WithScorer
) -> None:
    create(alice, 7)
    with_scorer(raises)
    assert (
        "the scorer raised"
        in run("user", "remove", "alice", "--yes", "--leads-to=bob", code=1).output
    )
    assert (companies(alice), companies(bob)) == ([7], [])


def test_a_lead_on_its_way_is_not_left_behind(
    url: str, service: AppState, alice: Caller, bob: Caller, rows_of: Callable[[int], int]
) -> None:
    """Its user was there when it was looked who calls, and is removed before it is stored."""

    def score(**_: Any) -> int:
        service.accounts.remove_user("alice", erase=True)
        return 50

    app = create_app({"LEADS_DATABASE": url})
    leads = LeadService(service.storage, score, has_own_users=True)
    app.extensions[EXTENSION] = app.extensions[EXTENSION]._replace(leads=leads)
    answer = app.test_client().post(
        "/v1/leads", json={"company_id": 1}, headers={"Authorization": f"Bearer {alice.token}"}
    )
    assert (answer.status_code, answer.get_json()["message"]) == (401, "The user has been removed.")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="leads", error="invalid_token"'
    assert rows_of(alice.id) == 0


def test_without_a_terminal_nobody_is_asked(run: Run, alice: Caller) -> None:
    create(alice, 7)
    message = run("user", "remove", "alice", "--erase", code=1).output
    assert "Remove alice and erase 1 lead?" in message
    assert "--yes" in message
    assert companies(alice) == [7]
