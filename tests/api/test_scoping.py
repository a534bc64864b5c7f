"""Each user sees and changes their own leads and nobody else's."""

import pytest

from tests.helpers import Caller, alone_and_embedded, create, json_object

pytestmark = alone_and_embedded


@pytest.fixture
def lead_id(alice: Caller) -> int:
    return int(json_object(create(alice, 42, notes="secret"))["id"])


@pytest.mark.parametrize(
    "query",
    ["", "status=new", "company_id=42", "min_score=0&max_score=100", "created_after=0001-01-01"],
)
def test_lists_hold_own_leads_only(alice: Caller, bob: Caller, lead_id: int, query: str) -> None:
    own = bob.client.post("/v1/leads", json={"company_id": 42}).get_json()
    assert own["user_id"] == bob.id
    assert bob.client.get(f"/v1/leads?{query}").get_json()["data"] == [own]
    assert [lead["id"] for lead in alice.client.get("/v1/leads").get_json()["data"]] == [lead_id]


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("GET", None),
        ("PATCH", {"status": "lost"}),
        ("PATCH", {"notes": "mine"}),
        ("PATCH", {}),
        ("DELETE", None),
    ],
)
def test_another_users_lead_does_not_exist(
    alice: Caller, bob: Caller, lead_id: int, method: str, changes: dict[str, str] | None
) -> None:
    before = alice.client.get("/v1/leads").get_json()
    theirs, nobodys = (
        bob.client.open(
            f"/v1/leads/{number}", method=method, json=changes, headers={"X-Request-ID": "same"}
        )
        for number in (lead_id, 999_999)
    )
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.data == nobodys.data
    assert list(theirs.headers) == list(nobodys.headers)
    assert alice.client.get("/v1/leads").json == before


def test_another_users_lead_is_no_cursor(bob: Caller, lead_id: int) -> None:
    headers = {"X-Request-ID": "same"}
    theirs = bob.client.get(f"/v1/leads?cursor={lead_id}", headers=headers)
    nobodys = bob.client.get("/v1/leads?cursor=999999", headers=headers)
    assert theirs.status_code == nobodys.status_code == 422
    assert theirs.data == nobodys.data


@pytest.mark.parametrize("name", ["user_id", "owner", "id"])
def test_nobody_chooses_whose_leads(alice: Caller, bob: Caller, lead_id: int, name: str) -> None:
    assert bob.client.get(f"/v1/leads?{name}={alice.id}").status_code == 422
    assert bob.client.post("/v1/leads", json={"company_id": 1, name: 1}).status_code == 422
