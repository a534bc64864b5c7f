"""What was acknowledged is on the disk."""

import os
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import OperationalError, connect

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leads_service import create_app
from leads_service.state import AppState
from leads_service.storage.sqlite import database as sqlite
from leads_service.storage.sqlite.locking import WriteLock
from tests.helpers import Caller, open_files, sqlite_of


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The files that have been flushed, each with its size at that moment."""
    seen = []

    def flush(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append((path.name, path.stat().st_size))
        os.fsync(descriptor)

    monkeypatch.setattr(sqlite, "flush", flush)
    return seen


def test_every_write_is_flushed_before_its_answer(
    app: Flask,
    alice: Caller,
    service: AppState,
    database_file: Path,
    flushed: list[tuple[str, int]],
) -> None:
    log = Path(f"{database_file}-wal")
    before = log.stat().st_size
    for write in (
        lambda: alice.client.post("/v1/leads", json={"company_id": 1}),
        lambda: alice.client.patch("/v1/leads/1", json={"status": "lost"}),
        lambda: service.accounts.add_user("carol"),
        lambda: service.accounts.create_token("carol"),
        lambda: service.accounts.revoke_token(2),
    ):
        flushed.clear()
        write()
        ((name, size),) = flushed
        assert name == "leads.db-wal"
        assert size >= before, "what was written is in the file that was flushed"
        before = size


def test_reading_flushes_nothing(alice: Caller, flushed: list[tuple[str, int]]) -> None:
    alice.client.get("/v1/leads")
    assert flushed == []


UNKNOWN = "it is not known whether this was stored"
NOTHING = "nothing was stored"


def fail(_: object) -> None:
    raise OSError("the disk is gone")


def post(client: FlaskClient, company_id: int, **headers: str) -> tuple[int, str]:
    answer = client.post("/v1/leads", json={"company_id": company_id}, headers=headers)
    assert answer.status_code == 201 or answer.headers["Retry-After"]
    return answer.status_code, answer.get_json().get("message", "")


def companies(client: FlaskClient) -> list[int]:
    return [lead["company_id"] for lead in client.get("/v1/leads").get_json()["data"]]


def test_nothing_is_committed_while_the_disk_takes_nothing(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the write that met the failure may be stored; those after it know that they are not."""
    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "flush", fail)
        status, message = post(alice.client, 1)
        assert status == 503
        assert UNKNOWN in message
        assert "disk" not in message
        for company_id in (2, 3):
            status, message = post(alice.client, company_id)
            assert status == 503
            assert NOTHING in message
        assert companies(alice.client) == [1]
    assert post(alice.client, 4)[0] == 201
    assert companies(alice.client) == [4, 1]


def test_a_retry_with_a_key_after_a_commit_of_unknown_outcome(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "a"}
    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "flush", fail)
        assert UNKNOWN in post(alice.client, 1, **key)[1]
        assert NOTHING in post(alice.client, 1, **key)[1]
    assert post(alice.client, 1, **key)[0] == 201
    assert companies(alice.client) == [1]


def test_after_a_flush_that_failed_the_log_is_written_again(
    alice: Caller, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have dropped a part of it, and says so only once. Open readers do not matter.

    That it is written again is told from the file's time of change, which flushing leaves alone.
    """
    log = Path(f"{database_file}-wal")
    with closing(connect(database_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM leads_lead").fetchall()
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "flush", fail)
            assert post(alice.client, 1)[0] == 503
        before = log.read_bytes()
        seen = []

        def flush(descriptor: int) -> None:
            seen.append((os.pread(descriptor, len(before), 0), os.fstat(descriptor).st_mtime_ns))
            os.fsync(descriptor)

        os.utime(log, ns=(0, 0))
        monkeypatch.setattr(sqlite, "flush", flush)
        assert post(alice.client, 2)[0] == 201
    (rewritten, time), _ = seen
    assert rewritten == before
    assert time > 0, "it was written"
    assert companies(alice.client) == [2, 1]


def test_who_waits_for_the_files_lock_is_not_impatient_because_of_long_ago() -> None:
    lock = WriteLock()
    with suppress(ZeroDivisionError), lock.waiting_for_file():
        began = lock.waiting_since
        raise ZeroDivisionError
    with suppress(ZeroDivisionError), lock.waiting_for_file():
        assert lock.waiting_since == began, "one outage"
        raise ZeroDivisionError
    lock.failed_at -= 2  # seconds
    with lock.waiting_for_file():
        assert lock.waiting_since != began


def test_the_log_is_opened_with_the_connection(alice: Caller, service: AppState) -> None:
    """A descriptor that is opened after a write has failed may not be told of it."""
    log = f"{sqlite_of(service).database}-wal"
    service.storage.dispose()
    assert open_files().count(log) == 0
    alice.client.get("/v1/leads")
    assert open_files().count(log) == 3, "SQLite's of two connections, and the one to flush"


def test_a_checkpoint_now_and_then(
    alice: Caller,
    service: AppState,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    """The log begins anew; a checkpoint that fails fails no write, and is tried again."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_INTERVAL", 10)
    wal = Path(f"{sqlite_of(service).database}-wal")

    def fail(_: object) -> None:
        raise OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite.OpenFiles, "checkpoint", fail)
        assert [post(alice.client, number)[0] for number in range(1, 31)] == [201] * 30
    assert "the checkpoint failed, to be tried again: disk I/O error" in log.text
    assert [post(alice.client, number)[0] for number in range(31, 41)] == [201] * 10
    before = wal.stat().st_size
    assert [post(alice.client, number)[0] for number in range(41, 101)] == [201] * 60
    assert wal.stat().st_size == before, "it has begun anew six times"


def test_after_a_checkpoint_that_failed_the_log_is_written_again(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed may have been its flush of the log, of which the next flush says nothing."""
    rewritten: list[object] = []

    def note(files: object) -> None:
        rewritten.append(files)

    def fail(_: object) -> None:
        raise OperationalError("disk I/O error")

    def fail_too(_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(sqlite, "CHECKPOINT_INTERVAL", 1)
    monkeypatch.setattr(sqlite.OpenFiles, "checkpoint", fail)
    with monkeypatch.context() as broken:
        broken.setattr(sqlite.OpenFiles, "rewrite_log", note)
        assert [post(alice.client, number)[0] for number in (1, 2)] == [201, 201]
        assert len(rewritten) == 2
        broken.setattr(sqlite.OpenFiles, "rewrite_log", fail_too)
        status, message = post(alice.client, 3)
        assert (status, NOTHING in message) == (503, True)
    assert post(alice.client, 4)[0] == 201
    assert companies(alice.client) == [4, 2, 1]


@pytest.mark.slow
def test_a_log_that_a_reader_keeps_begins_anew_soon_after(
    alice: Caller, service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_INTERVAL", 100)
    monkeypatch.setattr(sqlite, "MAX_WAL_PAGES", 100)
    log = Path(f"{sqlite_of(service).database}-wal")

    def grow(count: int) -> int:
        for number in range(count):
            assert post(alice.client, number + 1)[0] == 201
        return log.stat().st_size

    with closing(connect(sqlite_of(service).database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM leads_lead").fetchall()
        size = grow(110)
        assert grow(50) > size
        reader.execute("ROLLBACK")
    size = grow(sqlite.CHECKPOINT_RETRY_INTERVAL)
    assert grow(100) == size, "it did not wait for another hundred"


def test_a_store_behind_a_link(tmp_path: Path, flushed: list[tuple[str, int]]) -> None:
    """SQLite keeps the log beside the file, not beside the link."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "disk" / "real.db")
    app = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/link.db"})
    flushed.clear()
    app.extensions["leads_service"].accounts.add_user("alice")
    assert [name for name, _ in flushed] == ["real.db-wal"]
    assert (tmp_path / "disk" / "real.db").stat().st_mode & 0o777 == 0o600
