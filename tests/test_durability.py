"""What was acknowledged is on the disk."""

import os
from pathlib import Path
from threading import Event, Thread

import pytest
from conftest import Caller
from flask import Flask

from leads_service import create_app, sqlite
from leads_service.service import Service
from leads_service.turn import Flushes


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
    app: Flask, alice: Caller, service: Service, url: str, flushed: list[tuple[str, int]]
) -> None:
    log = Path(f"{url.removeprefix('sqlite:///')}-wal")
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


def test_a_flush_that_fails_is_no_success(alice: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(sqlite, "flush", fail)
    answer = alice.client.post("/v1/leads", json={"company_id": 1})
    assert answer.status_code == 500
    assert "disk" not in answer.text


def test_after_a_flush_that_failed_the_log_is_written_anew(
    alice: Caller, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have dropped a part of it, and says so only once."""
    log = Path(f"{url.removeprefix('sqlite:///')}-wal")
    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "flush", lambda _: os.close(2**30))  # EBADF
        assert alice.client.post("/v1/leads", json={"company_id": 1}).status_code == 500
    assert log.stat().st_size > 0
    assert alice.client.post("/v1/leads", json={"company_id": 2}).status_code == 201
    assert log.stat().st_size == 0, "all of it is in the file"
    assert alice.client.post("/v1/leads", json={"company_id": 3}).status_code == 201
    assert log.stat().st_size > 0
    assert len(alice.client.get("/v1/leads").json["data"]) == 3


def test_one_flush_serves_all_who_have_committed_before_it_began() -> None:
    flushes, calls = Flushes(), []
    began, may_end = Event(), Event()

    def flush() -> None:
        calls.append(flushes.count())  # a commit that this flush came too early for
        began.set()
        may_end.wait()

    threads = [Thread(target=flushes.wait, args=(flushes.count(), flush))]
    threads[0].start()
    began.wait()
    threads += [Thread(target=flushes.wait, args=(flushes.count(), flush)) for _ in range(5)]
    for thread in threads[1:]:
        thread.start()
    may_end.set()
    for thread in threads:
        thread.join()
    assert calls == [2, 8]
    flushes.wait(7, flush)
    assert calls == [2, 8], "it is on the disk"
    flushes.wait(8, flush)
    assert calls == [2, 8, 9]


def test_who_waits_for_a_flush_that_fails_tries_it_again() -> None:
    flushes = Flushes()
    numbers = flushes.count(), flushes.count()
    calls = []

    def fail() -> None:
        calls.append("failed")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk"):
        flushes.wait(numbers[0], fail)
    flushes.wait(numbers[1], lambda: calls.append("done"))
    assert calls == ["failed", "done"]


def test_a_store_behind_a_link(tmp_path: Path, flushed: list[tuple[str, int]]) -> None:
    """SQLite keeps the log beside the file, not beside the link."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "disk" / "real.db")
    app = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/link.db"})
    flushed.clear()
    app.extensions["leads_service"].accounts.add_user("alice")
    assert [name for name, _ in flushed] == ["real.db-wal"]
    assert (tmp_path / "disk" / "real.db").stat().st_mode & 0o777 == 0o600
