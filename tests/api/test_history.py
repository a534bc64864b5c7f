"""Status changes, which the progress is made of, are recorded where they happen."""

from leads_service.state import AppState
from leads_service.storage.base import StatusChangeRecord
from tests.helpers import LATER, NOW, Caller, Clock, alone_and_embedded


def changes(service: AppState, owner: Caller, lead_id: int) -> list[StatusChangeRecord]:
    return service.storage.status_changes(owner.id, lead_id)


@alone_and_embedded
def test_a_change_of_status_is_recorded(alice: Caller, service: AppState, clock: Clock) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    path = f"/v1/leads/{lead['id']}"
    assert changes(service, alice, lead["id"]) == []
    clock.move(minutes=1)
    for body in ({"status": "contacted"}, {"status": "contacted"}, {"notes": "a"}, {}):
        assert alice.client.patch(path, json=body).status_code == 200
    assert changes(service, alice, lead["id"]) == [(LATER, "new", "contacted", False)]
    assert alice.client.delete(path).status_code == 204
    assert changes(service, alice, lead["id"]) == []


def test_a_change_that_is_refused_is_not_recorded(
    alice: Caller, service: AppState, clock: Clock
) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    clock.move(minutes=1)
    refused = alice.client.patch(
        f"/v1/leads/{lead['id']}", json={"status": "lost"}, headers={"If-Match": f'"{LATER}"'}
    )
    assert refused.status_code == 412
    assert lead["created_at"] == NOW
    assert changes(service, alice, lead["id"]) == []
