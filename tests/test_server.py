"""The service as its users meet it: processes, sockets, HTTP."""

import json
import os
import select
import signal
import sqlite3
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from conftest import BIN, Server, free_port, running, serve, wait_for_token, wait_until_ready


def create(base: str, token: str) -> tuple[int, dict[str, object], str]:
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
        token = command.stdout.read().strip()
    port = free_port()
    gunicorn = [str(BIN / "gunicorn"), "wsgi:app", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    with running(gunicorn, environment):
        wait_until_ready(port)
        assert create(f"http://127.0.0.1:{port}", token)[0] == 201
    assert [path.name for path in tmp_path.iterdir()] == ["leads.db"]


def test_wsgi_ends_with_one_line_when_a_setting_is_wrong(tmp_path: Path) -> None:
    command = [str(BIN / "python"), "-c", "import wsgi"]
    for name, value in (
        ("LEADS_DATABASE", f"sqlite:///{tmp_path}/no/leads.db"),
        ("LEADS_LOG_LEVEL", "x"),
    ):
        with running(command, {name: value}, stderr=subprocess.PIPE) as process:
            assert process.wait() == 1
            (line,) = process.stderr.read().splitlines()
            process.stderr.close()
        assert line.startswith("leads-service: ")
        assert name in line


def test_a_host_by_name(url: str) -> None:
    with serve(url, "--host", "localhost") as server:
        assert create(server.url, server.token)[0] == 201


def test_hosts_that_are_none(url: str) -> None:
    for host in ("a..b", "192.0.2.1", "x" * 64):
        command = [str(BIN / "leads-service"), "serve", "--host", host, "--first-user", "admin"]
        with running(command, {"LEADS_DATABASE": url}, stderr=subprocess.PIPE) as process:
            assert process.wait() == 1
            (line,) = process.stderr.read().splitlines()
            process.stderr.close()
        assert line.startswith(f"Error: cannot listen on {host}")


def test_ctrl_c_reaches_everybody_at_once(url: str) -> None:
    """As a terminal sends it: to the whole group, the workers included."""
    port = free_port()
    command = [BIN / "leads-service", "serve", "--port", str(port), "--workers", "2"]
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


def test_workers_end_with_a_server_that_is_killed(url: str) -> None:
    with serve(url, "--workers", "2") as server:
        workers = workers_of(server.process.pid)
        assert len(workers) == 2
        watches = [os.pidfd_open(worker) for worker in workers]
        os.kill(server.process.pid, signal.SIGKILL)
        for watch in watches:
            poll = select.poll()
            poll.register(watch)
            assert poll.poll(20_000), "the worker has ended"
            os.close(watch)


# The server's program, whose idle threads end after as many seconds as the first argument says.
SHORT_IDLE = """
import sys
from functools import partial
from leads_service.cli import server
server.Granian = partial(server.Granian, blocking_threads_idle_timeout=int(sys.argv.pop(1)))
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
        assert "Unexpected exit" not in log.read()
