"""Copies of the store: whole while others write, checked, and put back."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from flask import Flask

from leads_service import create_app
from leads_service.state import AppState
from leads_service.storage import open_storage
from leads_service.storage.sqlite.storage import SqliteStorage
from tests.helpers import BIN, MIGRATIONS, Caller, insert_leads, running, serve, stdout_of

Printed = Callable[..., str]


@pytest.fixture
def run(app: Flask, alice: Caller, service: AppState) -> Printed:
    """Run a command while nobody else has the store open; return what it printed."""

    def run(*words: object, code: int = 0) -> str:
        service.storage.dispose()
        arguments = ["leads", *map(str, words)]
        result = app.test_cli_runner().invoke(args=arguments, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return str(result.output)

    return run


def leads(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in database.execute("SELECT company_id FROM leads_lead")]


def create(caller: Caller, *numbers: int) -> None:
    for number in numbers:
        assert caller.client.post("/v1/leads", json={"company_id": number}).status_code == 201


def test_there_and_back(run: Printed, alice: Caller, database_file: Path, tmp_path: Path) -> None:
    create(alice, 1, 2)
    copy = tmp_path / "copy.db"
    assert run("backup", copy) == f"{copy} ({copy.stat().st_size:,} bytes)\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    create(alice, 3)
    assert "has data; with --replace it is kept aside" in run("restore", copy, code=1)
    assert leads(database_file) == [1, 2, 3]
    restored, moved = run("restore", copy, "--replace").splitlines()
    assert restored == f"restored {database_file}"
    assert leads(Path(moved.removeprefix("the store that was there is now "))) == [1, 2, 3]
    assert leads(database_file) == [1, 2]
    assert [lead["company_id"] for lead in alice.client.get("/v1/leads").get_json()["data"]] == [
        2,
        1,
    ]
    assert not list(tmp_path.glob(".leads-*")), "nothing is left lying about"


def test_a_backup_while_others_write(alice: Caller, app: Flask, tmp_path: Path) -> None:
    stop, copy = Event(), tmp_path / "copy.db"

    def write() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            create(alice, number)
        app.extensions["leads_service"].storage.dispose()
        return number

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(write)
        for _ in range(5):
            result = app.test_cli_runner().invoke(args=["leads", "backup", str(copy), "--replace"])
            assert result.exit_code == 0, result.output
        stop.set()
        written = writer.result()
    found = leads(copy)
    assert found == list(range(1, len(found) + 1)), "all up to a moment, and none after it"
    assert len(found) <= written


@pytest.mark.parametrize("name", ["copy.db", "leads.db", "leads.db-wal"])
def test_a_backup_replaces_nothing_unasked(run: Printed, tmp_path: Path, name: str) -> None:
    (tmp_path / "copy.db").write_text("precious")
    assert "name another file" in run("backup", tmp_path / name, code=1)
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_backup_of_nothing(tmp_path: Path) -> None:
    app = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/no.db"}, migrate=False)
    result = app.test_cli_runner().invoke(args=["leads", "backup", str(tmp_path / "copy.db")])
    assert (result.exit_code, "nothing to back up" in result.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_an_older_version(
    run: Printed,
    service: AppState,
    database_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = tmp_path / "older.db"
    with monkeypatch.context() as past:
        past.setattr(SqliteStorage.migrations, "names", MIGRATIONS[:1])
        open_storage(f"sqlite:///{older}").migrate()
    with closing(sqlite3.connect(older, isolation_level=None)) as database:
        insert_leads(database, {"company_id": 1})
    service.storage.dispose()
    database_file.unlink()
    assert run("restore", older) == f"restored {database_file}\n"
    assert leads(database_file) == [1]
    assert "\nschema: up to date\n" in run("db", "status")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"no database" * 100, "can't be copied"), (b"", "is no backup")],
)
def test_what_is_no_backup(
    run: Printed,
    alice: Caller,
    database_file: Path,
    tmp_path: Path,
    content: bytes | None,
    message: str,
) -> None:
    create(alice, 1)
    if content is not None:
        (tmp_path / "copy.db").write_bytes(content)
    assert message in run("restore", tmp_path / "copy.db", "--replace", code=1)
    assert leads(database_file) == [1]


@pytest.mark.slow
def test_damage_is_found(run: Printed, alice: Caller, database_file: Path, tmp_path: Path) -> None:
    create(alice, *range(1, 200))
    assert run("db", "check") == "ok\n"
    with database_file.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\x99" * 20_000)
    assert "restore a backup: leads-service restore FILE" in run("db", "check", code=1)
    assert "malformed" in run("backup", tmp_path / "copy.db", code=1)
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.system
def test_a_running_server_keeps_its_store(url: str, tmp_path: Path) -> None:
    """Even one that nobody has asked for anything yet."""
    environment = {"LEADS_DATABASE": url}
    with serve(url, "--workers", "1"):
        copy = str(tmp_path / "copy.db")
        for words, message in (
            (["backup", copy], f"{copy} "),
            (["restore", copy, "--replace"], "is in use; stop the server first"),
        ):
            command = [str(BIN / "leads-service"), *words]
            with running(command, environment, stderr=-2) as process:
                assert message in stdout_of(process).read()


@pytest.mark.parametrize("place", ["", "no/where.db"])
def test_places_for_no_backup(run: Printed, tmp_path: Path, place: str) -> None:
    result = run("backup", tmp_path / place, "--replace", code=1 if place else 2)
    assert "does not exist; create it" in result or "is a directory" in result


def test_a_device_is_no_file(run: Printed, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "replace a file with --replace" in run("backup", pipe, "--replace", code=1)
    assert pipe.is_fifo()


def test_a_link_stays_one(run: Printed, alice: Caller, tmp_path: Path) -> None:
    (tmp_path / "today.db").symlink_to("copy.db")
    run("backup", tmp_path / "today.db")
    assert leads(tmp_path / "copy.db") == []
    assert (tmp_path / "today.db").is_symlink()


def test_what_a_killed_server_left(
    run: Printed, alice: Caller, database_file: Path, tmp_path: Path
) -> None:
    """A log without its file is no part of the backup that comes in its place."""
    create(alice, 1)
    run("backup", tmp_path / "copy.db")
    create(alice, 2)
    for end in ("-wal", "-shm"):
        shutil.copy(f"{database_file}{end}", tmp_path / f"left{end}")
    run("db", "status")
    database_file.unlink()
    for end in ("-wal", "-shm"):
        shutil.move(tmp_path / f"left{end}", f"{database_file}{end}")
    assert ".replaced-" in run("restore", tmp_path / "copy.db")
    assert leads(database_file) == [1]
    assert len(list(tmp_path.glob("leads.db.replaced-*-wal"))) == 1


def test_a_backup_beside_a_log_of_another(run: Printed, tmp_path: Path) -> None:
    (tmp_path / "copy.db-wal").touch()
    assert "belongs to a database" in run("backup", tmp_path / "copy.db", code=1)


def test_a_store_that_was_replaced_twice(run: Printed, alice: Caller, tmp_path: Path) -> None:
    run("backup", tmp_path / "copy.db")
    create(alice, 1)
    for _ in range(3):
        run("restore", tmp_path / "copy.db", "--replace")
    kept = sorted(tmp_path.glob("leads.db.replaced-*"))
    assert [leads(file) for file in kept] == [[1], [], []]
