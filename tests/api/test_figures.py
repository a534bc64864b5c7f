"""The leads that a figure of the progress counts, as the board asks for them."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from leads_service.state import AppState
from tests.helpers import Caller, Clock

UNTIL = "until=2027-01-01"


@pytest.fixture
def ids(alice: Caller, bob: Caller, clock: Clock) -> list[int]:
    """The leads of alice, oldest first: one new, two contacted and lost, of companies 1, 2, 1."""
    made = []
    for company in (1, 2, 1):
        clock.move(hours=1)
        made.append(alice.client.post("/v1/leads", json={"company_id": company}).get_json()["id"])
    for status in ("contacted", "lost"):
        for lead_id in made[1:]:
            clock.move(hours=1)
            alice.client.patch(f"/v1/leads/{lead_id}", json={"status": status})
    theirs = bob.client.post("/v1/leads", json={"company_id": 1}).get_json()["id"]
    bob.client.patch(f"/v1/leads/{theirs}", json={"status": "lost"})
    return made


def leads(client: FlaskClient, query: str) -> dict[str, Any]:
    answer = client.get(f"/board/figures/leads?{UNTIL}&{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.mark.parametrize(
    ("query", "counted"),
    [
        ("reached=new", [2, 1, 0]),
        ("reached=new&company_id=2", [1]),
        ("reached=new&since=2027-01-01", []),
        ("reached=contacted", [2, 1]),
        ("reached=lost&company_id=1", [2]),
        ("became=lost", [2, 1]),
        ("became=converted", []),
        ("left=new", [2, 1]),
        ("left=contacted", [2, 1]),
    ],
)
def test_which_leads(alice: Caller, ids: list[int], query: str, counted: list[int]) -> None:
    found = leads(alice.client, query)
    assert [lead["id"] for lead in found["data"]] == [ids[number] for number in counted]
    assert (found["count"], found["next_cursor"]) == (len(counted), None)


def test_what_is_said_of_a_lead(alice: Caller, ids: list[int]) -> None:
    (lead,) = leads(alice.client, "left=new&company_id=2")["data"]
    changes = alice.client.get(f"/board/leads/{ids[1]}/history").get_json()["data"]
    stored = alice.client.get(f"/v1/leads/{ids[1]}").get_json()
    assert lead == stored | {"counted_at": changes[0]["changed_at"], "place": 2 * 3600}


@pytest.mark.parametrize("query", ["reached=new", "became=lost", "left=new"])
def test_pages(alice: Caller, clock: Clock, service: AppState, query: str) -> None:
    for _ in range(101):
        lead_id = service.leads.create(alice.id, {"company_id": 1})["id"]
        clock.move(minutes=2)
        service.leads.update(alice.id, lead_id, {"status": "lost"})
    first = leads(alice.client, query)
    pages = [first]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(leads(alice.client, f"{query}&cursor={cursor}"))
    assert [len(page["data"]) for page in pages] == [50, 50, 1]
    assert [page["count"] for page in pages] == [101, None, None]
    assert len({lead["id"] for page in pages for lead in page["data"]}) == 101


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "reached"),
        ("reached=new&left=new", "reached"),
        ("reached=none", "reached"),
        ("became=contacted", "became"),
        ("left=new&since=yesterday", "since"),
        ("left=new&company_id=0", "company_id"),
        ("left=new&span=90d", "span"),
        ("left=new&left=lost", "left"),
        ("left=new&cursor=", "cursor"),
        ("left=new&cursor=7", "cursor"),
        ("left=new&cursor=7,x", "cursor"),
        ("left=new&cursor=2026-01-01,7", "cursor"),
        ("reached=new&cursor=7,7", "cursor"),
        ("reached=new&cursor=2026-13-01,7", "cursor"),
        (f"left=new&cursor={'9' * 19},7", "cursor"),
    ],
)
def test_what_is_not_valid(alice: Caller, query: str, name: str) -> None:
    answer = alice.client.get(f"/board/figures/leads?{UNTIL}&{query}")
    assert answer.status_code == 422
    assert answer.get_json()["errors"]["query"].keys() == {name}


def test_a_time_needs_an_end(alice: Caller, client: FlaskClient) -> None:
    answer = alice.client.get("/board/figures/leads?reached=new")
    assert answer.get_json()["errors"]["query"].keys() == {"until"}
    assert client.get(f"/board/figures/leads?reached=new&{UNTIL}").status_code == 401
