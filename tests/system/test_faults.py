"""A server whose log is removed, whose file is locked, whose clients stall."""

import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.helpers import Server, serve

ID, KEY = {"X-Request-ID": "abc-1"}, {"Idempotency-Key": "a"}


REQUEST = (
    "POST /v1/leads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"company_id": 1, "notes": "'
)


Outcome = tuple[int, str | None]  # the status, and after how many seconds to try again


@pytest.mark.parametrize(
    "removed", [["leads.db-wal", "leads.db-shm"], ["leads.db-wal"], ["leads.db-shm"]], ids="+".join
)
def test_a_log_that_is_removed(url: str, tmp_path: Path, removed: list[str]) -> None:
    """What has been acknowledged before and after is there, on the same server and the next."""
    with serve(url, "--workers", "2") as server:
        for _ in range(3):
            assert [ask(server, "POST") for _ in range(10)] == [(201, None)] * 10
            for name in removed:
                (tmp_path / name).unlink()
        assert [ask(server, "POST") for _ in range(10)] == [(201, None)] * 10
    with closing(sqlite3.connect(tmp_path / "leads.db")) as database:
        assert database.execute("SELECT count(*) FROM leads_lead").fetchone() == (40,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def ask(server: Server, method: str = "GET", path: str = "/v1/leads") -> Outcome:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request(method, path, b'{"company_id": 1}' * (method == "POST"), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"]


def test_a_lock_that_is_held(url: str, tmp_path: Path) -> None:
    with (
        serve(url, "--workers", "2", LEADS_BUSY_TIMEOUT="1") as server,
        closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as other,
        ThreadPoolExecutor(32) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        writers = [pool.submit(ask, server, "POST") for _ in range(32)]
        while not all(writer.done() for writer in writers):
            assert ask(server) == (200, None)
        assert [writer.result() for writer in writers] == [(503, "1")] * 32
        other.execute("ROLLBACK")
        assert set(pool.map(lambda _: ask(server, "POST"), range(64))) == {(201, None)}


def stall(server: Server, clients: ExitStack, count: int, text: str) -> None:
    """Open connections that send ``text``, and then neither go on nor go away."""
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        clients.enter_context(client).sendall(text.format(token=server.token).encode())


@pytest.mark.parametrize(("workers", "bodies"), [("1", 5), ("2", 40)])
def test_slow_clients(url: str, workers: str, bodies: int) -> None:
    done: Outcome = (201, None)
    outcomes = [done] + [(503, "1")] * (bodies > 5)
    with serve(url, "--workers", workers) as server:
        with ExitStack() as clients:
            stall(server, clients, 25, "")
            stall(server, clients, 25, REQUEST[:30])
            stall(server, clients, bodies, REQUEST)
            for _ in range(8):
                assert ask(server, path="/healthz") == ask(server) == (200, None)
                assert ask(server, "POST") in outcomes
        with ThreadPoolExecutor(16) as pool:
            tries = (set(pool.map(lambda _: ask(server, "POST"), range(32))) for _ in range(100))
            assert {done} in tries, "they have gone, and nothing of them is left"
