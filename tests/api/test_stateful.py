"""Whatever three users do in whatever order, each one sees what a plain model of it says."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st
from hypothesis.stateful import rule
from werkzeug.test import TestResponse

from leads_service import create_app
from tests import postgres
from tests.filters import COMPANIES, FILTERS, passes
from tests.helpers import Clock

EXAMPLES = os.environ.get("STATEFUL_EXAMPLES")  # as many, by chance, instead of the same 60
MARKS = {"alice": "<alice's>", "bob": "<bob's>", "carol": "<carol's>"}  # in all their notes
SCORES = {"new": 10, "contacted": 30, "qualified": 60, "converted": 100, "lost": 0}
SPANS = [{"microseconds": 1}, {"microseconds": -1}, {"hours": 6}, {"hours": 24}, {"hours": -1}]

WHO = st.sampled_from(sorted(MARKS))
KNOWN = st.sampled_from(["", "*", '"{now}"', '"{old}"', 'W/"{now}"', '"{old}", "{now}"'])
WHICH = st.integers(0, 20)  # of what there is, counted in a circle
NOTES = st.none() | st.just("") | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
BODIES = st.fixed_dictionaries({"company_id": COMPANIES}, optional={"notes": NOTES})
CHANGES = st.fixed_dictionaries({}, optional={"status": st.sampled_from([*SCORES]), "notes": NOTES})


def signed(who: str, body: dict[str, Any]) -> dict[str, Any]:
    notes = body.get("notes") or MARKS[who]
    return body if notes.startswith(MARKS[who]) else body | {"notes": MARKS[who] + notes}


class Users(stateful.RuleBasedStateMachine):
    """The service on an empty database, and beside it what its users should see of it."""

    url: str
    clear: Callable[[], None]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.leads: dict[int, dict[str, Any]] = {}  # those that have not been deleted
        self.places: dict[int, tuple[int, str]] = {}  # of all leads: whose, and since when
        self.past: dict[int, set[str]] = {}  # every updated_at that a lead has had before
        self.keys: dict[tuple[str, str | None], tuple[dict[str, Any], int, datetime]] = {}
        self.clear()
        self.start()
        self.ids = {who: self.service.accounts.add_user(who) for who in MARKS}
        self.tokens = {who: self.service.accounts.create_token(who) for who in MARKS}

    def start(self) -> None:
        given = {"LEADS_LOG_LEVEL": "error", "LEADS_AUTH_FAILURES": 0}
        given["LEADS_DATABASE"] = self.url
        app = create_app(given, clock=self.clock)
        self.client, self.service = app.test_client(), app.extensions["leads_service"]

    def call(self, who: str, method: str, path: str, status: int, **request: Any) -> TestResponse:
        """Return the answer, which has the status, and nothing of anybody else's."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} | request.pop("headers", {})
        answer = self.client.open(path, method=method, headers=headers, **request)
        assert answer.status_code == status
        assert not any(MARKS[other].encode() in answer.data for other in MARKS if other != who)
        if status == 204:
            return answer
        for lead in answer.get_json().get("data", [answer.get_json()] if status < 300 else []):
            assert lead["user_id"] == self.ids[who]
        if tag := answer.headers.get("ETag"):
            assert tag == f'"{answer.get_json().get("lead", answer.get_json())["updated_at"]}"'
        return answer

    def pick(self, which: int) -> tuple[dict[str, Any], str]:
        """Return one of the leads, and its owner."""
        lead = list(self.leads.values())[which % len(self.leads)]
        (who,) = (who for who in MARKS if self.ids[who] == lead["user_id"])
        return lead, who

    def known(self, lead: dict[str, Any], known: str) -> tuple[dict[str, str], bool]:
        """Return the header that says how the lead is known, and whether it is as it says."""
        old = min(self.past[lead["id"]] - {lead["updated_at"]}, default="")
        tags = known.format(now=lead["updated_at"], old=old)
        return {"If-Match": tags} if tags else {}, known not in ('"{old}"', 'W/"{now}"')

    def own(self, who: str) -> list[dict[str, Any]]:
        """Return the user's leads, newest first."""
        own = [lead for lead in self.leads.values() if lead["user_id"] == self.ids[who]]
        return sorted(own, key=lambda lead: (lead["created_at"], lead["id"]), reverse=True)

    def now(self) -> str:
        return f"{self.clock.now:%Y-%m-%dT%H:%M:%S.%fZ}"

    @stateful.initialize(chance=st.randoms(use_true_random=False))
    def begin(self, chance: Random) -> None:
        """Give each of them leads at several times and of any status."""
        for which in range(18):
            body = {"company_id": chance.choice((1, 2))}
            self.create(chance.choice([*MARKS]), body, chance.choice((None, "a", "b")))
            self.wait(chance.choice(SPANS))
            self.update(which, {"status": chance.choice([*SCORES]), "notes": "…"})

    @rule(who=WHO, body=BODIES, key=st.none() | st.sampled_from("abc"))
    def create(self, who: str, body: dict[str, Any], key: str | None) -> None:
        body = signed(who, body)
        request = {"json": body, "headers": {} if key is None else {"Idempotency-Key": key}}
        says = {"company_id": body["company_id"], "notes": body.get("notes") or ""}
        ended = self.clock.now - timedelta(hours=24)
        said, number, since = self.keys.get((who, key), (says, 0, ended))
        if since > ended and (says != said or number not in self.leads):
            status = 422 if says != said else 410
            self.call(who, "POST", "/v1/leads", status, **request)
            return
        answer = self.call(who, "POST", "/v1/leads", 201, **request)
        if since > ended:
            assert answer.headers["Idempotency-Replayed"] == "true"
        else:
            assert "Idempotency-Replayed" not in answer.headers
            number = answer.get_json()["id"]
            assert number > max(self.places, default=0)
            facts = {"id": number, "user_id": self.ids[who], "status": "new", "score": 10}
            self.leads[number] = facts | says | {"created_at": self.now(), "updated_at": self.now()}
            self.places[number] = (self.ids[who], self.now())
            self.past[number] = {self.now()}
            if key is not None:
                self.keys = {each: kept for each, kept in self.keys.items() if kept[2] > ended}
                self.keys[who, key] = (says, number, self.clock.now)
        assert answer.json == self.leads[number]
        assert answer.headers["Location"] == f"http://localhost/v1/leads/{number}"

    @stateful.precondition(lambda self: self.keys)
    @rule(which=WHICH, company_id=st.none() | COMPANIES)
    def retry(self, which: int, company_id: int | None) -> None:
        """Send an earlier key once more, in other words, and now and then with another body."""
        who, key = list(self.keys)[which % len(self.keys)]
        says = self.keys[who, key][0]
        says = {"notes": says["notes"] or None, "company_id": company_id or says["company_id"]}
        self.create(who, says, key)

    @stateful.precondition(lambda self: self.leads)
    @rule(which=WHICH)
    def get(self, which: int) -> None:
        lead, who = self.pick(which)
        assert self.call(who, "GET", f"/v1/leads/{lead['id']}", 200).json == lead

    @stateful.precondition(lambda self: self.leads)
    @rule(which=WHICH, changes=CHANGES, known=KNOWN)
    def update(self, which: int, changes: dict[str, Any], known: str = "") -> None:
        lead, who = self.pick(which)
        changes = signed(who, changes)
        headers, is_right = self.known(lead, known)
        request = {"json": changes, "headers": headers}
        said = {name: value or "" for name, value in changes.items()}
        if is_right and said != {name: lead[name] for name in said}:
            moment = datetime.fromisoformat(lead["updated_at"]) + timedelta(microseconds=1)
            self.past[lead["id"]].add(lead["updated_at"])
            lead |= said | {"updated_at": max(self.now(), f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}")}
            lead["score"] = SCORES[lead["status"]]
            assert lead["updated_at"] not in self.past[lead["id"]]
        status = 200 if is_right else 412
        answer = self.call(who, "PATCH", f"/v1/leads/{lead['id']}", status, **request).get_json()
        assert (answer if is_right else answer["lead"]) == lead

    @stateful.precondition(lambda self: self.leads)
    @rule(which=WHICH, known=KNOWN)
    def delete(self, which: int, known: str) -> None:
        lead, who = self.pick(which)
        headers, is_right = self.known(lead, known)
        status = 204 if is_right else 412
        answer = self.call(who, "DELETE", f"/v1/leads/{lead['id']}", status, headers=headers)
        if is_right:
            del self.leads[lead["id"]]
        else:
            assert answer.get_json()["lead"] == lead

    @rule(who=WHO, which=WHICH, changes=CHANGES)
    def meddle(self, who: str, which: int, changes: dict[str, Any]) -> None:
        """Ask for leads that are somebody else's, or nobody's, or not there any more."""
        others = {*range(1, max(self.places) + 2)} - {lead["id"] for lead in self.own(who)}
        number = sorted(others)[which % len(others)]
        for method in ("GET", "PATCH", "DELETE"):
            self.call(who, method, f"/v1/leads/{number}", 404, json=changes)
        user_id, _ = self.places.get(number, (None, ""))
        is_own = user_id == self.ids[who]
        self.call(who, "GET", f"/v1/leads?cursor={number}", 200 if is_own else 422)

    @rule(filters=FILTERS, limit=st.integers(1, 6))
    def walk(self, filters: dict[str, Any], limit: int) -> None:
        for who in MARKS:
            rest = [lead for lead in self.own(who) if passes(lead, filters)]
            path = f"/v1/leads?{urlencode({'limit': limit} | filters)}"
            while path:
                answer = self.call(who, "GET", path, 200)
                data, rest = rest[:limit], rest[limit:]
                cursor = data[-1]["id"] if rest else None
                assert answer.json == {"data": data, "next_cursor": cursor, "has_more": bool(rest)}
                path = answer.headers.get("Link", "").removeprefix("<").partition(">")[0]
                assert bool(path) is bool(rest)

    @rule(which=WHICH, filters=FILTERS, limit=st.integers(1, 6))
    def resume(self, which: int, filters: dict[str, Any], limit: int) -> None:
        """Go on from a lead that has been deleted meanwhile, or may have been changed."""
        numbers = sorted(self.places.keys() - self.leads.keys()) or [*self.leads]
        number = numbers[which % len(numbers)]
        user_id, since = self.places[number]
        (who,) = (who for who in MARKS if self.ids[who] == user_id)
        rest = [
            lead for lead in self.own(who) if (lead["created_at"], lead["id"]) < (since, number)
        ]
        query = urlencode({"limit": limit, "cursor": number} | filters)
        answer = self.call(who, "GET", f"/v1/leads?{query}", 200)
        assert answer.get_json()["data"] == [lead for lead in rest if passes(lead, filters)][:limit]

    @rule(who=WHO)
    def change_token(self, who: str) -> None:
        accounts, old = self.service.accounts, self.tokens[who]
        self.tokens[who] = accounts.create_token(who)
        accounts.revoke_token(next(iter(accounts.tokens(who)))["id"])
        for method in ("GET", "POST"):
            self.call(who, method, "/v1/leads", 401, headers={"Authorization": f"Bearer {old}"})

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: dict[str, int]) -> None:
        self.clock.move(**span)

    @rule()
    def restart(self) -> None:
        self.service.storage.dispose()
        self.start()

    def teardown(self) -> None:
        for who in MARKS:
            assert self.call(who, "GET", "/v1/leads?limit=200", 200).get_json()["data"] == self.own(
                who
            )
        self.service.storage.dispose()


@pytest.mark.slow
def test_any_sequence(url: str, engine_name: str, tmp_path: Path) -> None:
    def clear() -> None:
        if engine_name == "sqlite":
            for file in tmp_path.glob("leads.db*"):
                file.unlink()
        else:
            postgres.empty(url)

    class Machine(Users):
        pass

    Machine.url, Machine.clear = url, staticmethod(clear)
    chosen = settings(
        max_examples=int(EXAMPLES or 30),
        stateful_step_count=30,
        derandomize=EXAMPLES is None,
        database=None,
    )
    stateful.run_state_machine_as_test(Machine, settings=chosen)
