"""The store: how it comes to be, what it refuses, and how the application uses it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from itertools import islice
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import pytest
from conftest import APPLIED, BIN, MIGRATIONS, ROOT, Caller
from flask import Flask
from peewee import Database

from leads_service import create_app
from leads_service.exceptions import StorageUnusableError
from leads_service.state import AppState

WORKERS = 8
ROUNDS = 25  # two starts seldom collide
TABLES = ["leads_deleted", "leads_idempotency", "leads_lead", "leads_migration"]
TABLES += ["leads_token", "leads_user"]
NOW = "2026-11-22T22:03:11.123456Z"
LATER = "2026-11-22T22:03:11.123457Z"
GRIN = "\N{GRINNING FACE}"
ROWS: dict[str, dict[str, Any]] = {
    "leads_user": {"name": "carol", "created_at": NOW},
    "leads_token": {
        "user_id": 1,
        "digest": "0" * 64,
        "prefix": "leads_abcdef",
        "label": "",
        "read_only": 0,
        "created_at": NOW,
        "expires_at": None,
        "last_used_at": None,
    },
    "leads_lead": {
        "user_id": 1,
        "company_id": 42,
        "status": "new",
        "notes": "",
        "score": 10,
        "created_at": NOW,
        "updated_at": NOW,
    },
}


def connect(url: str) -> closing[sqlite3.Connection]:
    """Open the store without the application."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA foreign_keys = 1")
    return closing(connection)


def tables(url: str) -> list[str]:
    names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'leads%' ORDER BY 1"
    with connect(url) as connection:
        return [name for (name,) in connection.execute(names)]


def dump(url: str) -> list[str]:
    """Return the whole store, schema and rows, as SQL."""
    with connect(url) as connection:
        return list(connection.iterdump())


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    query = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608
    return connection.execute(query, tuple(row.values())).lastrowid


def program(*words: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "leads-service", *words],
        env=os.environ | {"LEADS_DATABASE": url},
        capture_output=True,
        encoding="utf-8",
        timeout=60,  # for a server that should not have started
        check=False,
    )


# Migrations

barrier: Barrier


def meet_at(shared: Barrier) -> None:
    global barrier  # noqa: PLW0603  # a pool's workers have no other place
    barrier = shared


def start(url: str) -> None:
    """Start as a worker does, at the moment when all others do."""
    barrier.wait(timeout=60)
    create_app({"LEADS_DATABASE": url})


def test_processes_that_start_at_once_on_no_file(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(ROUNDS)]
    spawn = get_context("spawn")
    with spawn.Pool(WORKERS, meet_at, [spawn.Barrier(WORKERS)]) as pool:
        # A worker that takes a task waits in it for the others: each one has its part in each file.
        pool.map(start, [url for url in urls for _ in range(WORKERS)], chunksize=1)
    for url in urls:
        assert tables(url) == TABLES
        with connect(url) as connection:
            applied = connection.execute("SELECT name FROM leads_migration").fetchall()
            assert applied == [(name,) for name in MIGRATIONS]


def test_commands_that_start_at_once_on_an_empty_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "leads.db").touch()
    commands = [
        subprocess.Popen(
            [BIN / "leads-service", "db", "migrate"],
            env=os.environ | {"LEADS_DATABASE": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for _ in range(WORKERS)
    ]
    outputs = [command.communicate(timeout=60)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * WORKERS
    assert sorted(outputs) == ["The schema is up to date.\n"] * (WORKERS - 1) + [APPLIED]
    assert tables(url) == TABLES


def test_a_start_waits_for_another_one(url: str) -> None:
    """The other one is about to make the new file a store when this one wants to."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = Timer(0.5, other.rollback)
        timer.start()
        try:
            create_app({"LEADS_DATABASE": url})
        finally:
            timer.join()
    assert tables(url) == TABLES


def test_migrations_are_idempotent(app: Flask, alice: Caller, url: str) -> None:
    assert alice.client.post("/v1/leads", json={"company_id": 42}).status_code == 201
    before = dump(url)
    create_app({"LEADS_DATABASE": url})
    again = program("db", "migrate", url=url)
    assert (again.returncode, again.stdout) == (0, "The schema is up to date.\n")
    assert dump(url) == before


def test_nothing_is_migrated_unless_asked_for(url: str, tmp_path: Path) -> None:
    create_app({"LEADS_DATABASE": url}, migrate=False)
    assert list(tmp_path.iterdir()) == []


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE leads_lead (mine)")
    with pytest.raises(StorageUnusableError, match="table leads_lead already exists") as error:
        create_app({"LEADS_DATABASE": url})
    assert "\n" not in str(error.value)
    assert tables(url) == ["leads_lead"]
    with connect(url) as connection:
        connection.execute("DROP TABLE leads_lead")
    create_app({"LEADS_DATABASE": url})
    assert tables(url) == TABLES


@pytest.fixture
def newer(app: Flask, url: str) -> str:
    """The URL of a store that a later version has migrated."""
    with connect(url) as connection:
        insert(
            connection,
            "leads_migration",
            {"name": "9999_teams", "applied": "2027-01-01 00:00:00"},
        )
    return url


def assert_names_it(line: str) -> None:
    assert "9999_teams" in line
    assert "install the version that made it" in line
    assert "\n" not in line


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_store(newer: str, migrate: bool) -> None:
    before = dump(newer)
    if migrate:
        with pytest.raises(StorageUnusableError) as error:
            create_app({"LEADS_DATABASE": newer})
        assert_names_it(str(error.value))
    else:
        create_app({"LEADS_DATABASE": newer}, migrate=False)
    assert dump(newer) == before


@pytest.mark.parametrize(
    "words",
    ["db migrate", "db status", "user add alice", "user list", "pipeline", "rescore", "serve"],
)
def test_commands_on_a_newer_store(newer: str, words: str) -> None:
    before = dump(newer)
    result = program(*words.split(), url=newer)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert_names_it(line)
    assert [line[:6] for line in result.stdout.splitlines()] == (
        ["file: "] if words == "db status" else []
    )
    assert dump(newer) == before


def test_a_wsgi_server_on_a_newer_store(newer: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        env=os.environ | {"LEADS_DATABASE": newer},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("leads-service: ")
    assert_names_it(line)


# The schema


@pytest.fixture
def store(app: Flask, alice: Caller, url: str) -> Iterator[sqlite3.Connection]:
    """The store, without the application; Alice is user 1."""
    with connect(url) as connection:
        yield connection


def test_the_tables_are_strict(store: sqlite3.Connection) -> None:
    query = "SELECT name, strict FROM pragma_table_list WHERE name LIKE 'leads%' ORDER BY name"
    assert dict(store.execute(query).fetchall()) == {
        "leads_deleted": 1,
        "leads_idempotency": 1,
        "leads_lead": 1,
        "leads_migration": 0,  # Peewee's
        "leads_token": 1,
        "leads_user": 1,
    }


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("leads_user", {}),
        ("leads_user", {"name": GRIN * 100}),
        ("leads_token", {}),
        ("leads_token", {"read_only": 1, "expires_at": NOW, "last_used_at": NOW}),
        ("leads_lead", {}),
        ("leads_lead", {"user_id": 42}),  # in a host application the users are elsewhere
        ("leads_lead", {"company_id": 1}),
        ("leads_lead", {"company_id": 2**63 - 1}),
        ("leads_lead", {"status": "contacted"}),
        ("leads_lead", {"status": "qualified"}),
        ("leads_lead", {"status": "converted"}),
        ("leads_lead", {"status": "lost"}),
        ("leads_lead", {"notes": "x" * 10_000}),
        ("leads_lead", {"notes": GRIN * 10_000}),
        ("leads_lead", {"score": 0}),
        ("leads_lead", {"score": 100}),
        ("leads_lead", {"updated_at": LATER}),
    ],
)
def test_what_the_schema_takes(
    store: sqlite3.Connection, table: str, change: dict[str, Any]
) -> None:
    row_id = insert(store, table, ROWS[table] | change)
    names = ", ".join(ROWS[table])
    stored = store.execute(f"SELECT {names} FROM {table} WHERE id = ?", (row_id,))  # noqa: S608
    assert stored.fetchone() == tuple((ROWS[table] | change).values())


TIMESTAMPS = [
    "",
    "2026-11-22",
    "2026-11-22T22:03:11Z",
    "2026-11-22T22:03:11.123Z",
    "2026-11-22T22:03:11.123456",
    "2026-11-22T22:03:11.123456z",
    "2026-11-22T22:03:11.123456+00:00",
    "2026-11-22 22:03:11.123456Z",
    "2026-11-22T22:03:11.1234567Z",
    "12026-11-22T22:03:11.123456Z",
    "2026-11-22T22:03:11.123456Z\n",
    " 2026-11-22T22:03:11.123456Z",
    "2026-11-22T22:03:11.12345٩Z",
    "now",
    1795384991,
    b"2026-11-22T22:03:11.123456Z",
]
FORBIDDEN: dict[str, dict[str, list[Any]]] = {
    "leads_user": {
        "name": ["", "x" * 101, None, b"carol", "alice"],
        "created_at": [*TIMESTAMPS, None],
    },
    "leads_token": {
        "user_id": [2, None, "alice"],
        "digest": ["", "0" * 63, "0" * 65, None],
        "prefix": [None],
        "label": [None],
        "read_only": [2, -1, None, "yes", 0.5],
        "created_at": [*TIMESTAMPS, None],
        "expires_at": TIMESTAMPS,
        "last_used_at": TIMESTAMPS,
    },
    "leads_lead": {
        "user_id": [None, "alice", 1.5],
        "company_id": [0, -1, None, "acme", "", 1.5, 2.0**63, b"42"],
        "status": ["", "bad", "NEW", "new ", None, 0],
        "notes": ["x" * 10_001, GRIN * 10_001, "\0", "a\0b", "x" * 9_999 + "\0", None, b"notes"],
        "score": [-1, 101, None, "high", "", 10.5, b"10"],
        "created_at": [*TIMESTAMPS, LATER, None],
        "updated_at": [*TIMESTAMPS, "2026-11-22T22:03:11.123455Z", None],
    },
}


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table, columns in FORBIDDEN.items() for column in columns],
)
def test_what_the_schema_refuses(store: sqlite3.Connection, table: str, column: str) -> None:
    before = list(store.iterdump())
    for value in FORBIDDEN[table][column]:
        with pytest.raises(sqlite3.IntegrityError):
            insert(store, table, ROWS[table] | {column: value})
    assert list(store.iterdump()) == before


def test_every_column_has_something_to_refuse(store: sqlite3.Connection) -> None:
    for table, columns in FORBIDDEN.items():
        query = f"SELECT name FROM pragma_table_info('{table}') WHERE name <> 'id'"  # noqa: S608
        assert [name for (name,) in store.execute(query)] == list(columns) == list(ROWS[table])


def test_a_digest_is_there_once(store: sqlite3.Connection) -> None:
    insert(store, "leads_token", ROWS["leads_token"])
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(store, "leads_token", ROWS["leads_token"])


def test_a_users_tokens_go_with_the_user(store: sqlite3.Connection) -> None:
    store.execute("DELETE FROM leads_user WHERE id = 1")
    assert store.execute("SELECT count(*) FROM leads_token").fetchone() == (0,)


def test_ids_are_never_used_again(
    service: AppState, alice: Caller, bob: Caller, store: sqlite3.Connection
) -> None:
    for _ in range(3):
        service.leads.create(alice.id, {"company_id": 42})
    store.execute("DELETE FROM leads_lead WHERE id = 3")
    assert service.leads.create(alice.id, {"company_id": 42})["id"] == 4
    store.execute("DELETE FROM leads_lead")
    assert service.leads.create(alice.id, {"company_id": 42})["id"] == 5
    service.accounts.revoke_token(2)
    service.accounts.create_token("bob")
    assert [token["id"] for token in service.accounts.tokens()] == [1, 3]
    store.execute("DELETE FROM leads_user WHERE id = 2")
    assert service.accounts.add_user("carol") == 3


# How the application uses it


def pragmas(database: Database) -> dict[str, Any]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "wal_autocheckpoint")
    return {name: database.pragma(name) for name in names}


USUAL = {
    "journal_mode": "wal",
    "synchronous": 1,  # normal: Sqlite.commit() flushes
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "wal_autocheckpoint": 0,
}


def test_pragmas(service: AppState, alice: Caller, url: str) -> None:
    assert pragmas(service.storage.database) == USUAL
    alice.client.post("/v1/leads", json={"company_id": 42})  # notes the token's use, in haste
    assert service.accounts.tokens()[0]["last_used_at"] is not None
    assert pragmas(service.storage.database) == USUAL
    with connect(url) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_pragmas_of_another_thread(service: AppState) -> None:
    seen = []

    def look() -> None:
        seen.append(pragmas(service.storage.database))
        service.storage.database.close()

    thread = Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [USUAL]


def test_the_busy_timeout(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_BUSY_TIMEOUT": 7})
    assert pragmas(app.extensions["leads_service"].storage.database) == USUAL | {
        "busy_timeout": 7000
    }


def test_one_writer_waits_and_the_others_leave_room(
    service: AppState, alice: Caller, url: str
) -> None:
    """One thread waits out its patience; the others say soon that the lock is held."""

    def write(number: int) -> None:
        try:
            service.leads.create(alice.id, {"company_id": number})
        finally:
            service.storage.database.close()

    path = url.removeprefix("sqlite:///")
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        writes = [pool.submit(write, number) for number in range(1, 5)]
        impatient = list(islice(as_completed(writes), 3))
        other.rollback()
    assert all("locked" in str(done.exception()) for done in impatient)
    assert len(alice.client.get("/v1/leads").json["data"]) == 1
    assert pragmas(service.storage.database) == USUAL
    assert service.storage.database.timeout == 5


def test_transactions_are_immediate(app: Flask, service: AppState, alice: Caller) -> None:
    statements: list[str] = []
    service.storage.database.connection().set_trace_callback(statements.append)
    assert alice.client.post("/v1/leads", json={"company_id": 42}).status_code == 201
    assert alice.client.patch("/v1/leads/1", json={"status": "lost"}).status_code == 200
    assert app.test_cli_runner().invoke(args=["leads", "rescore"]).exit_code == 0
    service.storage.database.connection().set_trace_callback(None)
    words = ("BEGIN", "INSERT", "COMMIT", "ROLLBACK", 'UPDATE "leads_lead"')
    writes = [statement for statement in statements if statement.startswith(words)]
    assert [statement.split(" INTO ")[0].split(" SET ")[0] for statement in writes] == [
        *("BEGIN IMMEDIATE", "INSERT", "COMMIT"),
        *("BEGIN IMMEDIATE", 'UPDATE "leads_lead"', "COMMIT"),
        *("BEGIN IMMEDIATE", "COMMIT"),
    ]
