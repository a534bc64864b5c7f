"""What fails around the service: the disk, the file, the lock, the clients."""

import ctypes
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leads_service import init_app
from leads_service.state import AppState
from leads_service.storage.sqlite import database as sqlite
from tests.helpers import Caller, sqlite_of

LEAD = {"company_id": 1, "notes": "x" * 10_000}  # more than fits where there is room left


CHANGES = {"status": "lost", "notes": "y" * 10_000}


ID, KEY = {"X-Request-ID": "abc-1"}, {"Idempotency-Key": "a"}


UNAVAILABLE = "The store can't be reached or is busy; nothing was stored. Try again."


ALL = ("GET /healthz", "GET /v1/leads", "POST /v1/leads", "PATCH /v1/leads/1")


Lead = dict[str, Any]


def assert_unavailable(client: FlaskClient, *calls: str) -> None:
    for method, path in map(str.split, calls):
        body = CHANGES if method == "PATCH" else LEAD
        for headers in (ID, ID | KEY):
            answer = client.open(path, method=method, json=body, headers=headers)
            assert (answer.status_code, answer.headers["X-Request-ID"]) == (503, "abc-1")
            assert (answer.headers["Retry-After"], answer.get_json()["message"]) == (
                "1",
                UNAVAILABLE,
            )


@pytest.fixture
def lead(alice: Caller, service: AppState) -> Iterator[Lead]:
    yield alice.client.post("/v1/leads", json={"company_id": 7}).get_json()
    assert sqlite_of(service).pragma("integrity_check") == "ok", "whatever the test has done"


def assert_only_readable(client: FlaskClient, lead: Lead) -> None:
    assert_unavailable(client, "POST /v1/leads", "PATCH /v1/leads/1")
    assert client.get("/v1/leads").get_json()["data"] == [lead]
    assert client.get("/healthz").status_code == 200


def assert_writable(client: FlaskClient, lead: Lead) -> None:
    new = client.post("/v1/leads", json=LEAD, headers=KEY)
    assert (new.status_code, new.headers.get("Idempotency-Replayed")) == (201, None)
    changed = client.patch("/v1/leads/1", json=CHANGES).get_json()
    later = {"updated_at": "2026-11-22T22:03:11.123457Z"}
    assert changed == lead | CHANGES | {"score": 0} | later
    assert client.get("/v1/leads").get_json()["data"] == [new.get_json() | {"id": 2}, changed]


def test_a_full_disk(alice: Caller, lead: Lead, service: AppState) -> None:
    sqlite_of(service).pragma("max_page_count", 1)  # SQLite takes that for as many as there are
    assert_only_readable(alice.client, lead)
    sqlite_of(service).pragma("max_page_count", 2**30)
    assert_writable(alice.client, lead)


def test_a_quota_that_is_used_up(alice: Caller, lead: Lead, tmp_path: Path) -> None:
    """The log can't grow. It is copied into the file, which has room, and begins anew."""
    for _ in range(20):
        assert alice.client.post("/v1/leads", json=LEAD).status_code == 201
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    length = (tmp_path / "leads.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, usual[1]))
    try:
        answer = alice.client.post("/v1/leads", json=LEAD)
        assert (answer.status_code, answer.get_json()["message"]) == (503, UNAVAILABLE)
        assert alice.client.post("/v1/leads", json=LEAD).get_json()["id"] == 22
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write the folder and what is in it, not even root: this thread gives that up."""
    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522), ctypes.c_uint32 * 6
    usual, reduced = sets(), sets()
    assert libc.capget(header, usual) == libc.capget(header, reduced) == 0
    reduced[0] &= ~2  # of the effective ones CAP_DAC_OVERRIDE
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    try:
        for path, mode in modes.items():
            path.chmod(mode & 0o555)
        assert libc.capset(header, reduced) == 0
        assert not any(os.access(path, os.W_OK, effective_ids=True) for path in modes)
        yield
    finally:
        libc.capset(header, usual)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.parametrize("reuses", [False, True], ids=["opened anew", "opened before"])
def test_a_read_only_file(
    alice: Caller, lead: Lead, service: AppState, tmp_path: Path, reuses: bool
) -> None:
    """SQLite uses descriptors again that it could not close for the locks of the other reader."""
    with closing(sqlite3.connect(tmp_path / "leads.db")) as other:
        if not reuses:
            service.storage.dispose()
        other.execute("SELECT * FROM leads_lead").fetchall()  # keeps the log there, as others do
        service.storage.dispose()
        with read_only(tmp_path):
            assert_only_readable(alice.client, lead)
        assert_writable(alice.client, lead)


def ruin(file: Path, how: str) -> None:
    if how != "overwritten":
        file.unlink()
    if how != "deleted":
        file.write_bytes(b"This is no database. " * 10_000)


@pytest.mark.parametrize("how", ["deleted", "overwritten", "replaced"])
def test_a_ruined_file(alice: Caller, tmp_path: Path, how: str) -> None:
    ruin(tmp_path / "leads.db", how)
    with ThreadPoolExecutor(1) as pool:  # a thread that has no connection yet
        pool.submit(assert_unavailable, alice.client, *ALL).result()


@pytest.mark.parametrize("first", [call for call in ALL if call != "GET /v1/leads"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_is_gone(alice: Caller, tmp_path: Path, how: str, first: str) -> None:
    ruin(tmp_path / "leads.db", how)
    assert_unavailable(alice.client, first, *ALL)
    # An empty file in its place would look like a store without data, over which one may restore.
    assert (tmp_path / "leads.db").exists() == (how == "replaced")


def test_a_log_that_is_removed_while_a_write_is_under_way(url: str, tmp_path: Path) -> None:
    def scorer(*, status: str, **_: object) -> int:
        if status == "lost":  # a change, which is scored with the lock held
            (tmp_path / "leads.db-wal").unlink()
        return 50

    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=url, scorer=scorer)
    client = app.test_client()
    lead = client.post("/v1/leads", json={"company_id": 1}).get_json()
    answer = client.patch("/v1/leads/1", json={"status": "lost"})
    assert answer.status_code == 503
    assert "it is not known whether" in answer.get_json()["message"]
    (now,) = client.get("/v1/leads").get_json()["data"]
    assert now["status"] in ("new", "lost")
    assert client.post("/v1/leads", json={"company_id": 2}).status_code == 201
    assert lead["id"] == 1


def test_a_file_that_is_replaced_before_the_flush(
    alice: Caller, service: AppState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.storage.dispose()  # the file alone is the whole database
    copy = Path(shutil.copy(tmp_path / "leads.db", tmp_path / "copy"))

    def flush(descriptor: int) -> None:
        if copy.exists():
            for name in ("leads.db-wal", "leads.db-shm"):
                (tmp_path / name).unlink()
            copy.replace(tmp_path / "leads.db")
        os.fsync(descriptor)

    monkeypatch.setattr(sqlite, "flush", flush)
    answers = [alice.client.post("/v1/leads", json=LEAD | {"company_id": n}) for n in (1, 2)]
    assert [answer.status_code for answer in answers] == [503, 201]
    assert [lead["company_id"] for lead in alice.client.get("/v1/leads").get_json()["data"]] == [2]


def test_a_file_that_comes_back(
    alice: Caller, lead: Lead, service: AppState, tmp_path: Path
) -> None:
    service.storage.dispose()
    away = (tmp_path / "leads.db").rename(tmp_path / "away")
    assert_unavailable(alice.client, "POST /v1/leads")
    away.replace(tmp_path / "leads.db")
    assert 200 in {alice.client.get("/v1/leads").status_code for _ in range(2)}
    assert_writable(alice.client, lead)


def test_flushes_that_fail(alice: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def post(_: int) -> int:
        return alice.client.post("/v1/leads", json=LEAD).status_code

    with ThreadPoolExecutor(8) as pool:
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "flush", lambda _: os.close(2**30))
            assert list(pool.map(post, range(16))) == [503] * 16
        assert list(pool.map(post, range(16))) == [201] * 16
