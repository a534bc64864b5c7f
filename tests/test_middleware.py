"""Reads of one process are answered one at a time, but none waits for long."""

import threading
from collections.abc import Iterable
from threading import Event, Thread
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from leads_service import create_app
from leads_service.api import middleware
from leads_service.api.middleware import MAX_READ_WAIT, SerializeReads
from tests import postgres


class WatchedLock:
    """A lock that tells who has asked for it, and for how long it was to be waited for."""

    def __init__(self, lock: threading.Lock):
        self.lock = lock
        self.waits: list[float] = []
        self.second_asks = Event()

    def acquire(self, timeout: float) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == 2:
            self.second_asks.set()
        return self.lock.acquire(timeout=timeout)

    def release(self) -> None:
        self.lock.release()


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> WatchedLock:
    """The lock of what is made in the test."""
    watched = WatchedLock(threading.Lock())
    monkeypatch.setattr(middleware, "Lock", lambda: watched)
    return watched


def send(app: SerializeReads, method: str = "GET", path: str = "/") -> None:
    run_wsgi_app(app, EnvironBuilder(path, method=method).get_environ())


def test_a_second_read_waits_for_the_first_one_to_end(lock: WatchedLock) -> None:
    seen: list[str] = []

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        seen.append(f"{path} begins")
        if path == "/first":
            second.start()
            assert lock.second_asks.wait(timeout=30), "the second one did not ask for the lock"
        seen.append(f"{path} ends")
        start_response("200 OK", [])
        return []

    reads = SerializeReads(answer, max_wait=30)
    second = Thread(target=send, args=(reads, "HEAD", "/second"))
    send(reads, "GET", "/first")
    second.join()
    assert seen == ["/first begins", "/first ends", "/second begins", "/second ends"]
    assert lock.waits == [30, 30]


def test_a_read_that_has_waited_long_enough_goes_on(lock: WatchedLock) -> None:
    depth: list[None] = []

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        depth.append(None)
        if len(depth) == 1:
            send(reads)
            assert lock.lock.locked(), "the second one does not release what the first one holds"
        start_response("200 OK", [])
        return []

    reads = SerializeReads(answer, max_wait=0)
    send(reads)
    assert len(depth) == 2
    assert not lock.lock.locked()


def test_a_read_that_fails_lets_the_next_one_in(lock: WatchedLock) -> None:
    def fail(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send(SerializeReads(fail))
    assert lock.waits == [MAX_READ_WAIT]
    assert not lock.lock.locked()


@pytest.mark.parametrize("hops", [0, 1])
def test_an_application_of_its_own_serializes_reads_and_no_writes(
    url: str, lock: WatchedLock, hops: int
) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": hops})
    for method in ("POST", "PATCH", "DELETE", "OPTIONS"):
        app.test_client().open("/v1/leads/1", method=method)
    assert lock.waits == []
    for method in ("GET", "HEAD"):
        app.test_client().open("/v1/leads/1", method=method)
    assert lock.waits == [MAX_READ_WAIT, MAX_READ_WAIT]


@pytest.mark.skipif(not postgres.IS_THERE, reason="needs PostgreSQL")
def test_reads_that_wait_for_a_server_do_so_at_once(postgresql_url: str, lock: WatchedLock) -> None:
    app = create_app({"LEADS_DATABASE": postgresql_url})
    app.test_client().get("/v1/leads/1")
    assert lock.waits == []
