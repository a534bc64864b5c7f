"""PATCH /v1/leads/{id}."""

from typing import Any

import pytest

from leads_service.lead import STATUSES
from tests.helpers import LATER, Caller, Clock, alone_and_embedded, json_object

pytestmark = alone_and_embedded


@pytest.fixture
def lead(alice: Caller, clock: Clock) -> dict[str, Any]:
    lead = json_object(alice.client.post("/v1/leads", json={"company_id": 42, "notes": "Met"}))
    clock.move(minutes=1)
    return lead


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"status": "contacted"}, {"status": "contacted", "score": 30}),
        ({"notes": "Called"}, {"notes": "Called"}),
        ({"notes": None}, {"notes": ""}),
        ({"notes": ""}, {"notes": ""}),
        (
            {"status": "lost", "notes": "No budget"},
            {"status": "lost", "score": 0, "notes": "No budget"},
        ),
    ],
)
def test_update(
    alice: Caller, lead: dict[str, Any], changes: dict[str, Any], result: dict[str, Any]
) -> None:
    answer = alice.client.patch("/v1/leads/1", json=changes)
    assert answer.status_code == 200
    assert answer.json == lead | result | {"updated_at": LATER}
    assert alice.client.get("/v1/leads").get_json()["data"] == [answer.get_json()]


@pytest.mark.parametrize("changes", [{}, {"status": "new"}, {"notes": "Met"}])
def test_nothing_new_changes_nothing(
    alice: Caller, lead: dict[str, Any], changes: dict[str, Any]
) -> None:
    answer = alice.client.patch("/v1/leads/1", json=changes)
    assert answer.status_code == 200
    assert answer.json == lead


def test_any_status_may_follow_any_other(alice: Caller, lead: dict[str, Any]) -> None:
    for before in STATUSES:
        for after in STATUSES:
            for status in (before, after):
                answer = alice.client.patch("/v1/leads/1", json={"status": status})
                assert answer.get_json()["status"] == status


def test_a_clock_that_was_set_back(alice: Caller, lead: dict[str, Any], clock: Clock) -> None:
    clock.move(hours=-1)
    for notes, time in (("Called", "22:03:11.123457"), ("Again", "22:03:11.123458")):
        answer = alice.client.patch("/v1/leads/1", json={"notes": notes})
        assert answer.get_json()["updated_at"] == f"2026-11-22T{time}Z"
        assert answer.get_json()["created_at"] == lead["created_at"]
    assert alice.client.get("/v1/leads").get_json()["data"] == [answer.get_json()]


def test_two_changes_at_one_moment(alice: Caller, lead: dict[str, Any]) -> None:
    for notes, digit in (("Called", 6), ("Met", 7), ("Met", 7), ("Called", 8)):
        answer = alice.client.patch("/v1/leads/1", json={"notes": notes})
        assert answer.get_json()["updated_at"] == f"2026-11-22T22:04:11.12345{digit}Z"


@pytest.mark.parametrize("lead_id", ["2", str(2**63 - 1), str(2**63), str(2**64), "9" * 5000])
def test_unknown_id(alice: Caller, lead: dict[str, Any], lead_id: str) -> None:
    answer = alice.client.patch(f"/v1/leads/{lead_id}", json={"status": "lost"})
    assert answer.status_code == 404
    assert answer.json == {"code": 404, "status": "Not Found", "message": "There is no such lead."}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            {"status": "won"},
            {"status": ["Must be one of: new, contacted, qualified, converted, lost."]},
        ),
        ({"status": None}, {"status": ["Field may not be null."]}),
        ({"status": ["new"]}, {"status": ["Not a valid string."]}),
        ({"status": "lost", "company_id": 1}, {"company_id": ["Unknown field."]}),
        ({"id": 1}, {"id": ["Unknown field."]}),
        ([], {"_schema": ["Invalid input type."]}),
    ],
)
def test_bad_fields(
    alice: Caller, lead: dict[str, Any], body: object, errors: dict[str, list[str]]
) -> None:
    answer = alice.client.patch("/v1/leads/1", json=body)
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == {"json": errors}
    assert alice.client.get("/v1/leads").get_json()["data"] == [lead]
