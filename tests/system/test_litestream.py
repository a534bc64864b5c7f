"""What deploy/litestream.yml brings back when the machine is lost."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml

from leads_service import create_app
from leads_service.storage.sqlite import database as sqlite
from tests.helpers import BIN, ROOT, first_match, free_port, wait_for_token, wait_until_ready

LITESTREAM = BIN / "litestream"
CONFIG = ROOT / "deploy" / "litestream.yml"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]

# A change waits for Litestream to look at the database, which it does once a second, and then for
# the next of its sendings; the rest is for a test machine with more to do than it has processors.
SENDS_EVERY = int(first_match(r"sync-interval: (\d+)s", CONFIG.read_text()))
MAY_LOSE = 1 + SENDS_EVERY + 3  # seconds
WRITERS = 4
ENOUGH = (
    2000  # leads that must not be lost: 40 MB of log, of which Litestream begins a new one at 2
)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a database that is not there yet, known to the service and to Litestream."""
    path = tmp_path / "data" / "leads.db"
    path.parent.mkdir()
    monkeypatch.setenv("LEADS_DATABASE", f"sqlite:///{path}")
    monkeypatch.setenv("LEADS_LOG_LEVEL", "warning")
    monkeypatch.setenv("LITESTREAM_DB", str(path))
    monkeypatch.setenv("LITESTREAM_REPLICA", f"file://{tmp_path}/replica")
    return path


def lose(database: Path) -> None:
    shutil.rmtree(database.parent)
    database.parent.mkdir()


def litestream(command: str, *words: str | Path) -> None:
    subprocess.run([LITESTREAM, command, "-config", CONFIG, *words], check=True)


def leads_service(*words: str) -> str:
    return subprocess.check_output([BIN / "leads-service", *words], text=True)


@contextmanager
def until_killed(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the block ends, and kill it then with all that it has started."""
    process = subprocess.Popen(command, text=True, process_group=0, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def write(port: int, token: str, acknowledged: list[tuple[int, float]]) -> None:
    """Create leads until the server is gone; note the id of each, and when it was answered."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(client), suppress(OSError, HTTPException):
        while True:
            client.request("POST", "/v1/leads", b'{"company_id": 42}', headers)
            answer = client.getresponse()
            lead = json.load(answer)
            assert answer.status == 201, lead
            acknowledged.append((lead["id"], monotonic()))


def test_a_lost_machine(database: Path) -> None:
    """All that was acknowledged before the last seconds comes back, and nothing in part."""
    acknowledged: list[tuple[int, float]] = []

    def due() -> set[int]:
        before = monotonic() - MAY_LOSE
        return {lead for lead, moment in acknowledged.copy() if moment < before}

    port = free_port()
    serve = (BIN / "leads-service", "serve", "--port", str(port), "--workers", "2")
    with (
        ThreadPoolExecutor(WRITERS) as pool,
        until_killed(*serve, "--first-user", "admin", stdout=subprocess.PIPE) as server,
    ):
        token = wait_for_token(server)
        wait_until_ready(port)
        with until_killed(LITESTREAM, "replicate", "-config", CONFIG) as replication:
            writers = [pool.submit(write, port, token, acknowledged) for _ in range(WRITERS)]
            deadline = monotonic() + 120
            while len(safe := due()) < ENOUGH:
                assert monotonic() < deadline, f"only {len(acknowledged)} leads were stored"
                assert replication.poll() is None
                assert not any(writer.done() for writer in writers)
                sleep(0.05)
    for writer in writers:
        writer.result()

    lose(database)
    litestream("restore", database)
    with closing(sqlite3.connect(database)) as restored:
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {lead for (lead,) in restored.execute("SELECT id FROM leads_lead")}
    assert safe <= found
    assert found == set(range(1, max(found) + 1)), "a moment of the past, without gaps"

    client = create_app().test_client()
    answer = client.get("/v1/leads?limit=1", headers={"Authorization": f"Bearer {token}"})
    assert answer.get_json()["data"][0]["id"] == max(found)


def test_a_flush_that_fails_beside_a_reader_that_stays(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Litestream reads for as long as it runs, so that the log can't be begun anew."""

    def fail(_: int) -> None:
        raise OSError("the disk is gone")

    app = create_app()
    accounts = app.extensions["leads_service"].accounts
    accounts.add_user("alice")
    headers = {"Authorization": f"Bearer {accounts.create_token('alice')}"}

    def post() -> int:
        answer = app.test_client().post("/v1/leads", json={"company_id": 1}, headers=headers)
        return answer.status_code

    with until_killed(LITESTREAM, "replicate", "-config", CONFIG) as replication:
        while not list(tmp_path.glob("replica/**/*.ltx")):
            assert replication.poll() is None
            sleep(0.05)
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "flush", fail)
            assert [post() for _ in range(3)] == [503] * 3
        assert [post() for _ in range(24)] == [201] * 24
    litestream("replicate", "-once")
    lose(database)
    litestream("restore", database)
    with closing(sqlite3.connect(database)) as restored:
        assert restored.execute("SELECT count(*) FROM leads_lead").fetchone() == (25,)


def test_a_restored_database_is_replicated_further(database: Path) -> None:
    for name in ("alice", "bob"):
        leads_service("user", "add", name)
        litestream("replicate", "-once")
        lose(database)
        litestream("restore", database)
    assert re.findall("alice|bob", leads_service("user", "list")) == ["alice", "bob"]


def test_compose_restores_only_what_is_missing(database: Path) -> None:
    """Its command, on a new machine, on one whose database is lost, and on one that has it."""
    command, *words = COMPOSE["restore"]["command"]
    words = [str(database) if word.startswith("/") else word for word in words]
    litestream(command, *words)
    assert not database.exists()
    leads_service("user", "add", "alice")
    litestream("replicate", "-once")
    lose(database)
    litestream(command, *words)
    assert "alice" in leads_service("user", "list")
    leads_service("user", "add", "bob")
    litestream(command, *words)
    assert "bob" in leads_service("user", "list")


def test_compose_runs_the_series_of_litestream_that_is_tested() -> None:
    tested = subprocess.run([LITESTREAM, "version"], stdout=subprocess.PIPE, text=True, check=True)
    series = tested.stdout.rpartition(".")[0]
    assert COMPOSE["litestream"]["image"].startswith(f"litestream/litestream:{series}.")
