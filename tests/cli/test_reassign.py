"""Leads are given from one user to another."""

from collections.abc import Callable
from typing import Any

import pytest

from leads_service.exceptions import ScorerError
from leads_service.scoring import points_by_stage
from leads_service.state import AppState
from leads_service.storage.database import MOVE_BATCH
from leads_service.storage.models import Idempotency
from leads_service.storage.sqlite import storage
from tests.cli.conftest import WithScorer
from tests.helpers import Caller, Clock, Run, companies, create, database_of, indexes, leads


@pytest.mark.usefixtures("scored_by_user")
def test_reassign_with_filters(run: Run, alice: Caller, bob: Caller, clock: Clock) -> None:
    for company_id in (7, 8, 9):
        create(alice, company_id)
        clock.move(days=1)
    words = ("reassign", "--from", "alice", "--to", "bob", "--created-after", "2026-11-23")
    assert run(*words, "--company-id", "8").output == "1 lead reassigned.\n"
    assert (companies(alice), companies(bob)) == ([9, 7], [8])
    assert leads(bob)[0]["score"] == bob.id
    assert leads(bob)[0]["updated_at"] == "2026-11-25T22:03:11.123456Z"
    assert run(*words).output == "1 lead reassigned.\n"
    assert run(*words).output == "0 leads reassigned.\n"
    assert "--min-score: Must be from 0 to 100." in run(*words, "--min-score", "101", code=2).output


def test_reassign_to_nobody(run: Run, alice: Caller) -> None:
    create(alice, 7)
    for name, part in (("alice", "both are the same user"), ("bob", "there is no user 'bob'")):
        assert part in run("reassign", "--from", "alice", "--to", name, code=1).output
    assert companies(alice) == [7]


def test_to_a_user_who_is_removed_meanwhile(run: Run, service: AppState, alice: Caller) -> None:
    create(alice, 7)
    with pytest.raises(Exception, match="the user with id 99 does not exist any more"):
        service.leads.reassign(alice.id, 99)
    assert companies(alice) == [7]


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({}, "2026-11-22T22:03:11.123457Z"),
        ({"seconds": -1}, "2026-11-22T22:03:11.123457Z"),
        ({"seconds": 1}, "2026-11-22T22:03:12.123456Z"),
    ],
)
def test_two_states_of_a_lead_never_have_the_same_time(
    run: Run, alice: Caller, bob: Caller, clock: Clock, moved: dict[str, int], expected: str
) -> None:
    create(alice, 7)
    clock.move(**moved)
    run("reassign", "--from", "alice", "--to", "bob")
    assert leads(bob)[0]["updated_at"] == expected


def test_a_lead_of_the_last_moment_there_is(run: Run, alice: Caller, bob: Caller) -> None:
    last = "9999-12-31T23:59:59.999999Z"
    runner = alice.client.application.test_cli_runner()
    words = ["leads", "import", "-", "--format", "csv", "--user", "alice"]
    runner.invoke(args=words, input=f"company_id,created_at\n7,{last}\n")
    assert run("reassign", "--from", "alice", "--to", "bob").output == "1 lead reassigned.\n"
    assert leads(bob)[0]["updated_at"] == last


@pytest.fixture(params=[1, 10_000], ids=["indexes made anew", "indexes stay"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MIN_ROWS_TO_REINDEX", request.param)


@pytest.mark.slow
@pytest.mark.usefixtures("many")
@pytest.mark.usefixtures("of_sqlite")
def test_many_leads_all_or_none(
    run: Run,
    service: AppState,
    alice: Caller,
    bob: Caller,
    with_scorer: WithScorer,
    rows_of: Callable[[int], int],
    url: str,
) -> None:
    count = MOVE_BATCH + 1
    for company_id in range(1, count + 1):
        service.leads.create(alice.id, {"company_id": company_id})

    def score(*, company_id: int, **_: Any) -> int:
        if company_id == count:
            raise RuntimeError("the last one")
        return 50

    before = indexes(url)
    with pytest.raises(ScorerError, match="the last one"):
        with_scorer(score).reassign(alice.id, bob.id)
    with_scorer(points_by_stage)
    assert service.leads.count(alice.id) == count
    assert leads(alice)[-1]["score"] == 10
    assert (
        run("reassign", "--from", "alice", "--to", "bob").output == f"{count} leads reassigned.\n"
    )
    assert service.leads.count(bob.id) == count
    removed = run("user", "remove", "bob", "--erase", "--yes").output
    assert removed == f"bob is removed, {count} leads erased.\n"
    assert rows_of(bob.id) == 0
    assert indexes(url) == before
    assert service.storage.problems() == []


def test_keys_hold_for_both_users(run: Run, service: AppState, alice: Caller, bob: Caller) -> None:
    """Whichever of the two sends a create again, no second lead is made."""
    moved, kept = (
        create(alice, company_id, key=f"k{company_id}").get_json() for company_id in (7, 8)
    )
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "7")
    again = create(bob, 7, key="k7")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json()["id"] == moved["id"]
    keys = Idempotency.select(Idempotency.user_id, Idempotency.key, Idempotency.lead_id)
    assert set(keys.tuples().execute(database_of(service))) == {
        (alice.id, "k7", moved["id"]),
        (alice.id, "k8", kept["id"]),
        (bob.id, "k7", moved["id"]),
    }
    headers = {"Idempotency-Key": "k7"}
    answer = alice.client.post("/v1/leads", json={"company_id": 7}, headers=headers)
    assert answer.status_code == 410
    run("reassign", "--from", "bob", "--to", "alice")
    assert create(alice, 7, key="k7").get_json()["id"] == moved["id"]


def test_a_walk_goes_on_where_a_lead_stood_that_is_anothers_now(
    run: Run, alice: Caller, bob: Caller, clock: Clock
) -> None:
    ids = []
    for company_id in (7, 8, 9):
        ids.append(create(alice, company_id).get_json()["id"])
        clock.move(seconds=1)
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "8")
    page = alice.client.get(f"/v1/leads?cursor={ids[1]}").get_json()
    assert [lead["company_id"] for lead in page["data"]] == [7]
    run("reassign", "--from", "bob", "--to", "alice")
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "8")
    assert bob.client.delete(f"/v1/leads/{ids[1]}").status_code == 204
    assert bob.client.get(f"/v1/leads?cursor={ids[1]}").status_code == 200


def test_a_key_of_both_users(run: Run, alice: Caller, bob: Caller) -> None:
    create(alice, 7, key="k")
    own = create(bob, 8, key="k").get_json()
    run("reassign", "--from", "alice", "--to", "bob")
    again = create(bob, 8, key="k")
    assert (again.get_json()["id"], again.headers["Idempotency-Replayed"]) == (own["id"], "true")
    assert companies(bob) == [8, 7]
