"""The service as its users meet it: processes, sockets, HTTP."""

import json
import os
import re
import resource
import select
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leads_service.cli.supervisor import next_pause, processors_for
from leads_service.cli.workers import schedule_in_batches
from tests.helpers import (
    BIN,
    Server,
    free_port,
    running,
    serve,
    stdout_of,
    wait_for_token,
    wait_until_ready,
)


def create(base: str, token: str) -> tuple[int, dict[str, Any], str]:
    """Create a lead over HTTP; return the status, the lead and its address."""
    request = urllib.request.Request(
        f"{base}/v1/leads",
        json.dumps({"company_id": 42}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.load(answer), answer.headers["Location"]


def test_serve(server: Server) -> None:
    status, lead, address = create(server.url, server.token)
    assert status == 201
    assert address == f"{server.url}/v1/leads/{lead['id']}"


def test_a_stop_loses_nothing(url: str, tmp_path: Path) -> None:
    with serve(url, "--workers", "2") as first:
        _, lead, _ = create(first.url, first.token)
        assert len(list(tmp_path.iterdir())) == 3
        first.process.terminate()
        assert first.process.wait(timeout=30) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["leads.db"], "the file alone has it all"
    with closing(sqlite3.connect(tmp_path / "leads.db")) as database:
        assert database.execute("SELECT id FROM leads_lead").fetchall() == [(lead["id"],)]
    port = free_port()
    command = [str(BIN / "leads-service"), "serve", "--port", str(port)]
    with running(command, {"LEADS_DATABASE": url}):
        wait_until_ready(port)
        status, second, _ = create(f"http://127.0.0.1:{port}", first.token)
    assert (status, second["id"]) == (201, lead["id"] + 1)


def test_reads_go_on_beside_an_import(url: str, tmp_path: Path) -> None:
    """At every moment a page has none of the file's leads or the last 200 of all."""
    (tmp_path / "in.csv").write_text("company_id\n" + "7\n" * 30_000)
    command = [str(BIN / "leads-service"), "import", str(tmp_path / "in.csv"), "--user", "admin"]
    with serve(url) as server:
        page = urllib.request.Request(
            f"{server.url}/v1/leads?limit=200", headers={"Authorization": f"Bearer {server.token}"}
        )
        with running(command, {"LEADS_DATABASE": url}) as importing:
            counts = set()
            while importing.poll() is None:
                with urllib.request.urlopen(page) as answer:
                    counts.add(len(json.load(answer)["data"]))
            assert importing.returncode == 0
        with urllib.request.urlopen(page) as answer:
            counts.add(len(json.load(answer)["data"]))
    assert counts == {0, 200}


def test_gunicorn(url: str, tmp_path: Path) -> None:
    """Any WSGI server can run wsgi.py."""
    environment = {"LEADS_DATABASE": url}
    with running([str(BIN / "leads-service"), "user", "add", "alice"], environment) as command:
        assert command.wait() == 0
    with running([str(BIN / "leads-service"), "token", "create", "alice"], environment) as command:
        token = stdout_of(command).read().strip()
    port = free_port()
    gunicorn = [str(BIN / "gunicorn"), "wsgi:app", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    with running(gunicorn, environment) as process:
        wait_until_ready(port)
        server = Server(f"http://127.0.0.1:{port}", token, process)
        assert create(server.url, token)[0] == 201
        assert send_chunked(server, WHOLE) == 201
        assert {send_chunked(server, chunks) for chunks in CUT_OFF} == {400}
    assert [path.name for path in tmp_path.iterdir()] == ["leads.db"]


def test_wsgi_ends_with_one_line_when_a_setting_is_wrong(tmp_path: Path) -> None:
    command = [str(BIN / "python"), "-c", "import wsgi"]
    for name, value in (
        ("LEADS_DATABASE", f"sqlite:///{tmp_path}/no/leads.db"),
        ("LEADS_LOG_LEVEL", "x"),
    ):
        with running(command, {name: value}, stderr=subprocess.PIPE) as process:
            _, errors = process.communicate()
            assert process.returncode == 1
            (line,) = errors.splitlines()
        assert line.startswith("leads-service: ")
        assert name in line


def test_a_host_by_name(url: str) -> None:
    with serve(url, "--host", "localhost") as server:
        assert create(server.url, server.token)[0] == 201


def test_hosts_that_are_none(url: str) -> None:
    for host in ("a..b", "192.0.2.1", "x" * 64):
        command = [str(BIN / "leads-service"), "serve", "--host", host, "--first-user", "admin"]
        with running(command, {"LEADS_DATABASE": url}, stderr=subprocess.PIPE) as process:
            _, errors = process.communicate()
            assert process.returncode == 1
            (line,) = errors.splitlines()
        assert line.startswith(f"Error: cannot listen on {host}")


def test_ctrl_c_reaches_everybody_at_once(url: str) -> None:
    """As a terminal sends it: to the whole group, the workers included."""
    port = free_port()
    command = [str(BIN / "leads-service"), "serve", "--port", str(port), "--workers", "2"]
    process = subprocess.Popen(
        command, env=os.environ | {"LEADS_DATABASE": url}, stdout=subprocess.PIPE, process_group=0
    )
    with process:
        wait_until_ready(port)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def kill_and_wait_for_workers(server: "subprocess.Popen[str]", count: int) -> None:
    """Kill a server, and wait until so many workers have ended as well."""
    watches = [os.pidfd_open(worker) for worker in workers_of(server.pid)]
    assert len(watches) == count
    server.kill()
    for watch in watches:
        poll = select.poll()
        poll.register(watch)
        assert poll.poll(20_000), "the worker has ended"
        os.close(watch)


def test_workers_end_with_a_server_that_is_killed(url: str) -> None:
    with serve(url, "--workers", "2") as server:
        kill_and_wait_for_workers(server.process, 2)


# The server's program, whose workers miss SIGTERM.
DEAF = """
import os, signal
from leads_service.cli import server
server.STOP_TIMEOUT = 1
deaf = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.register_at_fork(after_in_child=deaf)
from leads_service.__main__ import main
main()
"""


def test_workers_that_do_not_stop_with_a_killed_server_are_killed(url: str, tmp_path: Path) -> None:
    port = free_port()
    command = [str(BIN / "python"), "-c", DEAF, "serve", "--port", str(port), "--workers", "1"]
    log = (tmp_path / "log").open("w+")
    with log, running(command, {"LEADS_DATABASE": url}, log) as it:
        wait_until_ready(port)
        kill_and_wait_for_workers(it, 1)


# The server's program, whose idle threads end after as many seconds as the first argument says.
SHORT_IDLE = """
import sys
from functools import partial
from leads_service.cli import supervisor
idle = {"blocking_threads_idle_timeout": int(sys.argv.pop(1))}
supervisor.Supervisor = partial(supervisor.Supervisor, **idle)
from leads_service.__main__ import main
main()
"""


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.parametrize("seconds", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_threads_that_end_do_not_take_the_worker_with_them(
    url: str, tmp_path: Path, seconds: int
) -> None:
    """Granian ends threads that were idle for so long; each of them had a connection."""
    port = free_port()
    command = [str(BIN / "python"), "-c", SHORT_IDLE, str(seconds), "serve", "--port", str(port)]
    log = (tmp_path / "log").open("w+")
    command += ["--workers", "1", "--first-user", "admin"]
    with log, running(command, {"LEADS_DATABASE": url}, log) as it:
        base, token = f"http://127.0.0.1:{port}", wait_for_token(it)
        wait_until_ready(port)
        (worker,) = workers_of(it.pid)
        exited = select.poll()
        exited.register(os.pidfd_open(worker))
        few = threads_of(worker)
        with ThreadPoolExecutor(12) as clients:
            list(clients.map(lambda _: create(base, token), range(36)))
        many = threads_of(worker)
        assert many > few
        while threads_of(worker) > few:
            assert exited.poll(100) == [], "the worker lives on"
        assert [create(base, token)[0] for _ in range(3)] == [201] * 3
        assert workers_of(it.pid) == [worker]
        log.seek(0)
        assert "died" not in log.read()


def listeners(port: int) -> int:
    """Return how many workers take connections: each has a socket of its own for that."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def kill(worker: int) -> None:
    """Kill a worker, and return when it is gone."""
    watch = os.pidfd_open(worker)
    os.kill(worker, signal.SIGKILL)
    poll = select.poll()
    poll.register(watch)
    assert poll.poll(20_000)
    os.close(watch)


def ask_until_there_are_two(server: Server) -> list[int]:
    """Ask how the service is, until two workers answer, and return their ids."""
    port = int(server.url.rpartition(":")[2])
    while True:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=20) as answer:
            assert answer.status == 200
        if listeners(port) == 2:
            return workers_of(server.process.pid)


def test_a_worker_that_is_killed_is_replaced_every_time(url: str, tmp_path: Path) -> None:
    """And whatever happens to it, the other one answers."""
    log = tmp_path / "log"
    with log.open("w") as stderr, serve(url, "--workers", "2", log=stderr) as server:
        steady, victim = ask_until_there_are_two(server)
        for _ in range(4):
            kill(victim)
            workers = ask_until_there_are_two(server)
            assert steady in workers
            (victim,) = {*workers} - {steady}
    assert len(re.findall(r"worker-2 died \(exit code -9\)", log.read_text())) == 4


def test_workers_that_die_at_once_are_replaced_later_and_later() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(next_pause(pauses[-1], lifetime=1))
    assert pauses == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert next_pause(5, lifetime=60) == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_each_worker_is_bound_to_a_processor(url: str) -> None:
    """So are those that take the place of one that died."""
    all_processors = os.sched_getaffinity(0)
    two = set(sorted(all_processors)[:2])
    os.sched_setaffinity(0, two)  # which the server inherits
    try:
        with serve(url) as server:  # with a worker for each
            for _ in range(2):
                workers = ask_until_there_are_two(server)
                processors = [os.sched_getaffinity(worker) for worker in workers]
                assert [len(bound) for bound in processors] == [1, 1]
                assert set.union(*processors) == two
                kill(max(workers))
    finally:
        os.sched_setaffinity(0, all_processors)


ON_LINUX = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="needs Linux")


@ON_LINUX
def test_all_threads_of_a_worker_are_scheduled_in_batches(url: str) -> None:
    with serve(url, "--workers", "2") as server:
        for worker in ask_until_there_are_two(server):
            threads = [int(thread) for thread in os.listdir(f"/proc/{worker}/task")]
            assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


@ON_LINUX
def test_a_scheduling_policy_that_somebody_has_chosen_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, _: changed.append(policy))
    for policy in (os.SCHED_IDLE, os.SCHED_OTHER):
        monkeypatch.setattr(os, "sched_getscheduler", lambda pid, policy=policy: policy)
        schedule_in_batches()
    assert changed == [os.SCHED_BATCH]


def test_processors_are_shared_equally_or_left_to_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 3})
    found = [processors_for(workers) for workers in (1, 2, 3, 4)]
    assert found == [[], [3, 5], [], [3, 5, 3, 5]]
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert processors_for(2) == []


def test_a_stop_while_a_worker_is_missing(url: str) -> None:
    with serve(url, "--workers", "2") as server:
        for _ in range(2):
            kill(max(ask_until_there_are_two(server)))
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0


@contextmanager
def at_most(files: int) -> Iterator[None]:
    """Let this process, and what it starts, open no more files than that."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def connected(server: Server, count: int = 1) -> Iterator[list[socket.socket]]:
    """Hold connections to a server, on each of which a wait takes at most 20 seconds."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with ExitStack() as stack:
        connection = partial(socket.create_connection, address, timeout=20)
        yield [stack.enter_context(connection()) for _ in range(count)]


def test_1100_connections_that_send_nothing_keep_nobody_out(url: str) -> None:
    """One worker holds them all, though the limit that it inherits is too low for that."""
    options = ("--workers", "1", "--idle-timeout", "600")
    with at_most(1300), serve(url, *options) as server, connected(server, 1100) as silent:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=20) as answer:
            assert answer.status == 200
        poll = select.poll()
        for connection in silent:
            poll.register(connection)
        assert not [found for found in poll.poll(0) if found[1] & select.POLLIN], "none is closed"


def test_silent_connections_are_closed(url: str) -> None:
    """Those that send nothing, a part of a request, or a request and then no other."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve(url, "--idle-timeout", "2") as server, connected(server, 3) as connections:
        answers = []
        for connection, sent in zip(connections, (b"", request[:-9], request), strict=True):
            connection.sendall(sent)
        for connection in connections:
            with connection.makefile("rb") as stream:
                answers.append(stream.read()[:15])  # once it is at its end
    assert answers == [b"", b"", b"HTTP/1.1 200 OK"]


WHOLE = b'11\r\n{"company_id": 1}\r\n0\r\n\r\n'
CUT_OFF = [WHOLE[:-2], WHOLE[:-5], WHOLE[:-7], WHOLE[:-5] + b"5\r\n  "]  # the JSON is whole


def send_chunked(server: Server, chunks: bytes) -> int:
    """Create a lead with a chunked body, or a part of one, and return the status."""
    head = (
        "POST /v1/leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with connected(server) as (connection,):
        connection.sendall(head.encode() + chunks)
        if chunks in CUT_OFF:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            return int(stream.readline().split()[1])


def test_a_chunked_body_is_refused_as_it_may_be_cut_off(server: Server) -> None:
    """granian hands all of these over in the same way."""
    assert {send_chunked(server, chunks) for chunks in (WHOLE, *CUT_OFF)} == {411}
    assert send_chunked(server, b"41000\r\n" + bytes(0x41000) + b"\r\n0\r\n\r\n") == 413
