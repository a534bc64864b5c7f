"""Kill the whole server while it is written to: what was acknowledged is there, once and whole."""

import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from threading import Semaphore
from typing import Any

import orjson

from leads_service.state import AppState
from tests.helpers import BIN, ROOT, Caller, free_port, wait_until_ready

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
WRITERS = 16
SCORES = {"new": 10, "contacted": 30, "qualified": 60, "converted": 100, "lost": 0}
KEYS = 'SELECT "key", company_id FROM leads_idempotency k LEFT JOIN leads_lead l ON lead_id = l.id'


@dataclass
class Attempt:
    """What was asked for of one lead, and what of it was acknowledged."""

    company_id: int  # no two have the same
    key: str | None
    states: list[tuple[str, str]]  # status and notes, in the order in which they were sent
    sure: int = 0  # which one was acknowledged last
    created: dict[str, Any] = field(default_factory=dict)  # the answer, empty if there was none


class Writer:
    """A client that sends one write after the other, and remembers all of them."""

    def __init__(self, number: int, token: str):
        self.number = number
        self.chance = Random(number)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.attempts: list[Attempt] = []
        self.changes = 0  # acknowledged

    def write(self, port: int, acknowledged: Semaphore) -> None:
        """Write until the server is gone."""
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            while True:
                try:
                    self.step(connection)
                except (OSError, HTTPException):
                    return
                acknowledged.release()

    def step(self, connection: HTTPConnection) -> None:
        known = [attempt for attempt in self.attempts if attempt.created]
        if known and self.chance.random() < 0.4:
            self.update(connection, self.chance.choice(known))
            return
        company_id = self.number * 1_000_000 + len(self.attempts) + 1
        key = self.chance.choice((None, f"key {company_id}"))
        self.attempts.append(Attempt(company_id, key, [("new", self.notes())]))
        self.create(connection, self.attempts[-1])

    def notes(self) -> str:
        return f"{self.chance.random()} " * self.chance.choice((1, 10, 400))

    def create(self, connection: HTTPConnection, attempt: Attempt) -> None:
        body = {"company_id": attempt.company_id, "notes": attempt.states[0][1]}
        key = {} if attempt.key is None else {"Idempotency-Key": attempt.key}
        connection.request("POST", "/v1/leads", orjson.dumps(body), self.headers | key)
        attempt.created = read(connection, 201)

    def update(self, connection: HTTPConnection, attempt: Attempt) -> None:
        state = (self.chance.choice([*SCORES]), self.notes())
        attempt.states.append(state)
        body = dict(zip(("status", "notes"), state, strict=True))
        path = f"/v1/leads/{attempt.created['id']}"
        connection.request("PATCH", path, orjson.dumps(body), self.headers)
        read(connection, 200)
        attempt.sure = len(attempt.states) - 1
        self.changes += 1

    def retry(self, port: int) -> None:
        """Ask again for what has a key and was not answered."""
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            for attempt in self.attempts:
                if attempt.key and not attempt.created:
                    self.create(connection, attempt)


def read(connection: HTTPConnection, status: int) -> dict[str, Any]:
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == status, body
    document: dict[str, Any] = orjson.loads(body)
    return document


@contextmanager
def killed(url: str) -> Iterator[int]:
    """Run a server with two workers, and kill all of it at the end of the block."""
    port = free_port()
    process = subprocess.Popen(
        [BIN / "leads-service", "serve", "--port", str(port), "--workers", "2"],
        env=os.environ | {"LEADS_DATABASE": url, "LEADS_LOG_LEVEL": "warning"},
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        process_group=0,
    )
    with process:
        try:
            wait_until_ready(port)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def what_is_wrong(file: Path, attempts: list[Attempt]) -> Counter[str]:
    with closing(sqlite3.connect(file)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        keys = dict(store.execute(KEYS))
        store.row_factory = sqlite3.Row
        rows = [dict(row) for row in store.execute("SELECT * FROM leads_lead")]
    leads = {row["company_id"]: row for row in rows}
    wrong = Counter(doubled=len(rows) - len(leads))
    wrong["never asked for"] = len(leads.keys() - {attempt.company_id for attempt in attempts})
    for attempt in attempts:
        lead = leads.get(attempt.company_id)
        if lead is None:
            wrong["lost"] += bool(attempt.created)
            wrong["keys of nothing"] += attempt.key in keys
            continue
        state = (lead["status"], lead["notes"])
        wrong["changes lost"] += state in attempt.states[: attempt.sure]
        wrong["torn"] += state not in attempt.states or lead["score"] != SCORES[state[0]]
        wrong["keys lost"] += (
            attempt.key is not None and keys.get(attempt.key) != lead["company_id"]
        )
        if attempt.created:
            names = ("id", "user_id", "created_at")
            wrong["others"] += any(lead[name] != attempt.created[name] for name in names)
    return +wrong


def test_kill(url: str, alice: Caller, service: AppState, tmp_path: Path) -> None:
    service.storage.dispose()  # the servers are to be alone with the file
    writers = [Writer(number, alice.token) for number in range(1, WRITERS + 1)]
    chance = Random(0)
    for round_ in range(ROUNDS + 1):
        attempts = [attempt for writer in writers for attempt in writer.attempts]
        acknowledged = Semaphore(0)
        with ThreadPoolExecutor(WRITERS) as pool, killed(url) as port:
            assert what_is_wrong(tmp_path / "leads.db", attempts) == {}
            list(pool.map(Writer.retry, writers, [port] * WRITERS))
            assert what_is_wrong(tmp_path / "leads.db", attempts) == {}
            if round_ < ROUNDS:
                writing = [pool.submit(writer.write, port, acknowledged) for writer in writers]
                for _ in range(chance.randrange(300, 700)):
                    assert acknowledged.acquire(timeout=20)
        for each in writing:
            each.result()
    creates = sum(bool(attempt.created) for attempt in attempts)
    changes = sum(writer.changes for writer in writers)
    print(f"{ROUNDS} kills, {creates} creates and {changes} changes acknowledged, all there once")
