"""ETag and If-Match: two who change the same lead."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from leads_service.state import AppState
from leads_service.storage.models import Lead
from tests.helpers import LATER, NOW, Caller, Clock, alone_and_embedded, database_of, json_object

CHANGED = "The lead has changed since, so nothing was done; lead holds it as it is now."


UNFIT = "Must be a lead's ETag in its quotes, or several with commas between, or *."


writes = pytest.mark.parametrize(
    ("method", "body"), [("PATCH", {"notes": "mine"}), ("PATCH", {}), ("DELETE", None)]
)


@pytest.fixture
def lead(alice: Caller, clock: Clock) -> dict[str, Any]:
    """A lead that was created at NOW and changed at LATER."""
    alice.client.post("/v1/leads", json={"company_id": 42, "notes": "Met"})
    clock.move(minutes=1)
    lead = json_object(alice.client.patch("/v1/leads/1", json={"notes": "theirs"}))
    clock.move(minutes=1)
    assert (lead["created_at"], lead["updated_at"]) == (NOW, LATER)
    return lead


def send(who: Caller, method: str, body: Any, tags: str, lead_id: int = 1) -> TestResponse:
    return who.client.open(
        f"/v1/leads/{lead_id}",
        method=method,
        json=body,
        environ_overrides={"HTTP_IF_MATCH": tags},  # as a header, werkzeug would refuse some
    )


@alone_and_embedded
def test_answers_with_one_lead_have_a_tag(alice: Caller, clock: Clock) -> None:
    key = {"Idempotency-Key": "a"}
    answers = [alice.client.post("/v1/leads", json={"company_id": 42}, headers=key)]
    answers.append(alice.client.get("/v1/leads/1"))
    for body in ({"status": "lost"}, {"status": "lost"}, {}):
        clock.move(seconds=1)
        answers.append(alice.client.patch("/v1/leads/1", json=body))
    answers.append(alice.client.get("/v1/leads/1"))
    answers.append(alice.client.post("/v1/leads", json={"company_id": 42}, headers=key))
    assert answers[-1].headers["Idempotency-Replayed"] == "true"
    tags = [answer.headers["ETag"] for answer in answers]
    assert tags == [f'"{answer.get_json()["updated_at"]}"' for answer in answers]
    assert len(set(tags[:2])) == len(set(tags[2:])) == 1
    assert len(set(tags)) == 2
    assert "ETag" not in alice.client.get("/v1/leads").headers


@alone_and_embedded
@writes
@pytest.mark.parametrize(
    "tags",
    [
        f'"{LATER}"',
        f'"{NOW}", "{LATER}"',
        f'"{LATER}","{NOW}"',
        f' , \t"a,b" ,, W/"{NOW}" ,"{LATER}", ',
        f'"\xff","{LATER}"',
        "*",
    ],
)
def test_the_lead_is_as_the_caller_knows_it(
    alice: Caller, lead: dict[str, Any], method: str, body: Any, tags: str
) -> None:
    answer = send(alice, method, body, tags)
    if method == "DELETE":
        assert answer.status_code == 204
        assert alice.client.get("/v1/leads/1").status_code == 404
    else:
        assert answer.status_code == 200
        assert answer.get_json()["notes"] == body.get("notes", "theirs")
        assert answer.headers["ETag"] == f'"{answer.get_json()["updated_at"]}"'


@alone_and_embedded
@writes
@pytest.mark.parametrize(
    "tags",
    [
        f'"{NOW}"',
        f'W/"{LATER}"',
        f'W/"{LATER}", "{NOW}"',
        '"*"',
        '""',
        f'"!{LATER}"',
        f'"{LATER.lower()}"',
        '"\x80"',
    ],
)
def test_the_lead_has_changed_since(
    alice: Caller, lead: dict[str, Any], method: str, body: Any, tags: str
) -> None:
    answer = send(alice, method, body, tags)
    assert answer.status_code == 412
    assert answer.json == {
        "code": 412,
        "status": "Precondition Failed",
        "message": CHANGED,
        "lead": lead,
    }
    assert answer.headers["ETag"] == f'"{LATER}"'
    assert alice.client.get("/v1/leads").get_json()["data"] == [lead]
    assert send(alice, method, body, answer.headers["ETag"]).status_code in (200, 204)


NO_TAGS = [
    "",
    " ",
    ",",
    LATER,
    '"',
    '"a',
    f"'{LATER}'",
    f'w/"{LATER}"',
    f'W/ "{LATER}"',
    "W/",
    "**",
]


NO_TAGS += [f'*, "{LATER}"', f'"{LATER}" "{NOW}"', f'"{LATER}";', '"a b"', '"a\t"', '"\x7f"']


NO_TAGS += [f'"{LATER}"' + "," * 20_000 + "x"]


@alone_and_embedded
@writes
def test_what_is_no_list_of_tags(
    alice: Caller, lead: dict[str, Any], method: str, body: Any
) -> None:
    for tags in NO_TAGS:
        answer = send(alice, method, body, tags)
        assert answer.status_code == 422, tags[:30]
        assert answer.get_json()["errors"] == {"headers": {"If-Match": [UNFIT]}}
    assert alice.client.get("/v1/leads").get_json()["data"] == [lead]


@alone_and_embedded
@writes
@pytest.mark.parametrize("tags", [f'"{NOW}"', f'"{LATER}"', "*"])
def test_what_is_not_there_has_not_changed(
    alice: Caller, bob: Caller, lead: dict[str, Any], method: str, body: Any, tags: str
) -> None:
    headers = {"X-Request-ID": "same", "If-Match": tags}
    theirs = bob.client.open("/v1/leads/1", method=method, json=body, headers=headers)
    nobodys = bob.client.open("/v1/leads/2", method=method, json=body, headers=headers)
    assert theirs.status_code == 404
    assert (theirs.data, list(theirs.headers)) == (nobodys.data, list(nobodys.headers))
    assert alice.client.get("/v1/leads").get_json()["data"] == [lead]


@alone_and_embedded
def test_a_body_that_is_wrong_is_told_of_first(alice: Caller, lead: dict[str, Any]) -> None:
    answer = send(alice, "PATCH", {"status": "won"}, f'"{NOW}"')
    assert answer.get_json()["errors"].keys() == {"json"}


@alone_and_embedded
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("tags", [f'"{NOW}"', "nonsense"])
def test_other_methods_ignore_it(
    alice: Caller, lead: dict[str, Any], method: str, tags: str
) -> None:
    path = "/v1/leads" if method == "POST" else "/v1/leads/1"
    headers = {"If-Match": tags}
    answer = alice.client.open(path, method=method, json={"company_id": 1}, headers=headers)
    assert answer.status_code == (201 if method == "POST" else 200)


@alone_and_embedded
def test_the_last_moment_there_is(alice: Caller, service: AppState, lead: dict[str, Any]) -> None:
    """An imported lead may have it; there is none after it, but the lead can be changed."""
    last = "9999-12-31T23:59:59.999999Z"
    with database_of(service).connection_context():
        Lead.update(updated_at=last).execute(database_of(service))
    answer = send(alice, "PATCH", {"notes": "mine"}, f'"{last}"')
    assert (answer.status_code, answer.get_json()["notes"]) == (200, "mine")
    assert answer.get_json()["updated_at"] == last
