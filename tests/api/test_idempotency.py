"""Idempotency-Key on POST /v1/leads: a retry makes nothing twice."""

from typing import Any

import orjson
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from leads_service import create_app
from leads_service.state import AppState
from leads_service.storage.models import Idempotency
from tests.helpers import Caller, Clock, alone_and_embedded, caller, database_of, json_object, leads

BODY = {"company_id": 42, "notes": "Met at the fair"}


PLAIN = {"company_id": 42}


KEYS = ("x", "X", "xx", " ", " x", "%", "~!\"'\\;%00", "x" * 254, "x" * 255)


UNFIT = "Must be 1 to 255 printable ASCII characters."


REUSED = "Came with another body less than 24 hours ago."


DELETED = "The lead that this Idempotency-Key made was deleted; send a new key for a new lead."


def post(who: Caller, key: str, body: Any = BODY) -> TestResponse:
    return who.client.post(
        "/v1/leads",
        data=body if isinstance(body, str) else orjson.dumps(body),
        content_type="application/json",
        environ_overrides={"HTTP_IDEMPOTENCY_KEY": key},  # as a header, werkzeug would refuse some
    )


def made(answer: TestResponse, mark: str | None = None) -> dict[str, Any]:
    assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (201, mark)
    return json_object(answer)


def replayed(answer: TestResponse) -> dict[str, Any]:
    return made(answer, "true")


def assert_refused(answer: TestResponse, problem: str) -> None:
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == {"headers": {"Idempotency-Key": [problem]}}


def keys(service: AppState) -> int:
    with database_of(service).connection_context():
        return Idempotency.select().count(database_of(service))


@alone_and_embedded
def test_a_retry_answers_with_the_lead_of_the_first_call(alice: Caller, clock: Clock) -> None:
    first = post(alice, "a")
    clock.move(minutes=1)
    again = post(alice, "a")
    assert replayed(again) == made(first)
    assert again.headers["Location"] == first.headers["Location"] == "http://localhost/v1/leads/1"
    other = made(alice.client.post("/v1/leads", json=BODY))
    assert leads(alice) == [other, first.json]


@alone_and_embedded
@pytest.mark.parametrize(
    ("body", "retry"),
    [
        (BODY, '{"notes":"Met at the fair","company_id":42}'),
        (BODY, '\n{ "company_id" : 42 ,\t"notes" : "Met \\u0061t the fair" }\r\n'),
        (PLAIN, PLAIN | {"notes": None}),
        (PLAIN | {"notes": None}, {"notes": "", "company_id": 42}),
        (PLAIN | {"notes": ""}, PLAIN),
    ],
)
def test_a_body_is_what_it_says(alice: Caller, body: object, retry: object) -> None:
    lead = made(post(alice, "a", body))
    assert replayed(post(alice, "a", retry)) == lead
    assert leads(alice) == [lead]


@alone_and_embedded
@pytest.mark.parametrize("other", [PLAIN, BODY | {"company_id": 43}, BODY | {"notes": "met"}])
def test_another_body_is_refused(alice: Caller, other: object) -> None:
    lead = made(post(alice, "a"))
    assert_refused(post(alice, "a", other), REUSED)
    assert leads(alice) == [lead]


@alone_and_embedded
def test_the_keys_of_two_users_never_meet(alice: Caller, bob: Caller) -> None:
    hers, his = made(post(alice, "a")), made(post(bob, "a", PLAIN))
    assert replayed(post(alice, "a")) == hers
    assert replayed(post(bob, "a", PLAIN)) == his
    assert_refused(post(bob, "a", BODY), REUSED)
    assert (leads(alice), leads(bob)) == ([hers], [his])


@alone_and_embedded
def test_after_24_hours_the_key_is_new(alice: Caller, service: AppState, clock: Clock) -> None:
    first = made(post(alice, "a"))
    clock.move(hours=24, microseconds=-1)
    assert replayed(post(alice, "a")) == first
    clock.move(microseconds=1)
    second = made(post(alice, "a", PLAIN))
    assert keys(service) == 1
    clock.move(hours=23)
    assert replayed(post(alice, "a", PLAIN)) == second
    assert leads(alice) == [second, first]


@pytest.mark.slow
@alone_and_embedded
def test_old_keys_are_removed_in_passing(alice: Caller, service: AppState, clock: Clock) -> None:
    for number in range(150):
        made(post(alice, f"old {number}"))
    clock.move(seconds=1)
    made(post(alice, "kept"))
    clock.move(hours=24, seconds=-1)
    for key, left in (("old 149", 51), ("newer", 3), ("newest", 4)):
        made(post(alice, key))
        assert keys(service) == left, "a hundred at a time, and none of the last day"
    replayed(post(alice, "kept"))


@alone_and_embedded
def test_keys_that_will_do(alice: Caller) -> None:
    created = [made(post(alice, key)) for key in KEYS]
    assert [replayed(post(alice, key)) for key in KEYS] == created
    assert leads(alice) == created[::-1]


@alone_and_embedded
@pytest.mark.parametrize("key", ["", "x" * 256, "é", "\x80", "\xff", "a\tb", "a\n", "a\0", "\x7f"])
def test_keys_that_will_not(alice: Caller, service: AppState, key: str) -> None:
    assert_refused(post(alice, key), UNFIT)
    assert (leads(alice), keys(service)) == ([], 0)


@alone_and_embedded
def test_an_answer_that_was_an_error_is_not_kept(app: Flask, alice: Caller, url: str) -> None:
    reader = caller(app, "reader", read_only=True)
    broken = create_app(
        {"LEADS_DATABASE": url, "LEADS_SCORER": "tests.scorers:raises"}
    ).test_client()
    broken.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {alice.token}"
    assert post(alice, "a", {"company_id": 0}).status_code == 422
    assert post(alice, "a", "{").status_code == 400
    assert post(reader, "a").status_code == 403
    assert post(alice._replace(client=broken), "a").status_code == 500
    assert keys(app.extensions["leads_service"]) == 0
    assert [made(post(alice, "a", PLAIN))] == leads(alice)


@alone_and_embedded
def test_a_replay_shows_the_lead_as_it_is_now(alice: Caller, clock: Clock) -> None:
    made(post(alice, "a"))
    clock.move(minutes=1)
    changed = alice.client.patch(
        "/v1/leads/1", json={"status": "lost", "notes": "No budget"}
    ).get_json()
    assert replayed(post(alice, "a")) == changed
    assert leads(alice) == [changed]


@alone_and_embedded
def test_a_key_whose_lead_was_deleted(alice: Caller, service: AppState, clock: Clock) -> None:
    made(post(alice, "a"))
    assert alice.client.delete("/v1/leads/1").status_code == 204
    for minutes in (1, 60 * 23):
        clock.move(minutes=minutes)
        answer = post(alice, "a")
        assert answer.status_code == 410
        assert answer.json == {"code": 410, "status": "Gone", "message": DELETED}
        assert_refused(post(alice, "a", PLAIN), REUSED)
    assert (leads(alice), keys(service)) == ([], 1)
    clock.move(hours=1)
    assert made(post(alice, "a", PLAIN))["id"] > 1, "its day is over"


@alone_and_embedded
@pytest.mark.parametrize("key", ["a", "b", "", "x" * 256])
def test_other_methods_ignore_the_key(alice: Caller, service: AppState, key: str) -> None:
    made(post(alice, "a"))
    for method, path in (("PATCH", "/v1/leads/1"), ("GET", "/v1/leads")):
        environ = {"HTTP_IDEMPOTENCY_KEY": key}
        answer = alice.client.open(path, method=method, json={}, environ_overrides=environ)
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (200, None)
    assert keys(service) == 1
