"""What tests share that is no fixture: users, clocks, commands, servers, rows of the database."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http.client import HTTPConnection
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from peewee import Database, SqliteDatabase
from werkzeug.test import TestResponse

from leads_service.state import AppState, state_of
from leads_service.storage import open_storage
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.sqlite.database import Sqlite
from leads_service.storage.sqlite.storage import SqliteStorage

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
NOW = "2026-11-22T22:03:11.123456Z"  # where a Clock begins
LATER = "2026-11-22T22:04:11.123456Z"  # a minute later
MIGRATIONS = tuple(SqliteStorage.migrations.names)
APPLIED = "".join(f"applied {name}\n" for name in MIGRATIONS)
TABLES = ["leads_deleted", "leads_history", "leads_idempotency", "leads_lead", "leads_migration"]
TABLES += ["leads_token", "leads_user"]

# Before click 8.2 a runner mixes what a command prints with what it complains of, unless told so.
APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)


def document(name: str) -> str:
    """Return a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def migrated_file() -> bytes:
    """Return the content of an empty store: to make one takes ten times as long as to copy it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "leads.db"
        storage = open_storage(f"sqlite:///{file}")
        storage.migrate()
        storage.dispose()
        return file.read_bytes()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 22, 3, 11, 123456, UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


class Caller(NamedTuple):
    """A user as a client knows them."""

    id: int
    token: str
    client: FlaskClient


with_trusted_hosts = pytest.mark.skipif(
    "TRUSTED_HOSTS" not in Flask.default_config, reason="Flask 3.0 has none"
)
alone_and_embedded = pytest.mark.parametrize(
    "app", ["alone", pytest.param("embedded", marks=pytest.mark.embedded)], indirect=True
)


def caller(app: Flask, name: str, **token: Any) -> Caller:
    accounts = state_of(app).accounts
    user_id = accounts.add_user(name)
    secret = accounts.create_token(name, **token)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return Caller(user_id, secret, client)


def json_object(answer: TestResponse) -> dict[str, Any]:
    """Return the JSON object of an answer."""
    document = answer.get_json()
    assert isinstance(document, dict)
    return document


def database_of(service: AppState) -> Database:
    assert isinstance(service.storage, DatabaseStorage)
    return service.storage.database


def sqlite_of(service: AppState) -> SqliteDatabase:
    database = database_of(service)
    assert isinstance(database, SqliteDatabase)
    return database


def own_database_of(service: AppState) -> Sqlite:
    """The same, when it is not a host's."""
    database = database_of(service)
    assert isinstance(database, Sqlite)
    return database


def create(owner: Caller, company_id: int, key: str | None = None, **more: Any) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = owner.client.post("/v1/leads", json={"company_id": company_id} | more, headers=headers)
    assert answer.status_code == 201
    return answer


def leads(owner: Caller) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = owner.client.get("/v1/leads?limit=200").get_json()["data"]
    return data


def companies(owner: Caller) -> list[int]:
    return [lead["company_id"] for lead in leads(owner)]


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr


Run = Callable[..., Answer]


def answer_of(result: Result) -> Answer:
    """Return how a command ended; line ends are those that it printed."""
    return Answer(result.exit_code, result.stdout_bytes.decode(), result.stderr)


def first_match(pattern: str, text: str) -> str:
    """Return the group of a pattern that is in the text."""
    match = re.search(pattern, text, re.DOTALL)
    assert match is not None, f"there is no {pattern}"
    return str(match[1])


def shell(
    *words: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] = MappingProxyType({})
) -> Answer:
    """Run a command in a process of its own."""
    process = subprocess.run(
        words,
        env=os.environ | dict(environment),
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=60,  # for a server that should not have started
        check=False,
    )
    return Answer(process.returncode, process.stdout, process.stderr)


def leads_service(*words: str, **environment: str) -> Answer:
    return shell(BIN / "leads-service", *words, environment=environment)


def assert_refused(answer: Answer, *parts: str, stdout: str = "", mark: str = "Error: ") -> None:
    """Exit code 1 and one line of error, these parts in it."""
    assert (answer.code, answer.stdout) == (1, stdout)
    (line,) = answer.stderr.splitlines()
    assert line.startswith(mark)
    for part in parts:
        assert part in line


def assert_misused(answer: Answer, *parts: str) -> None:
    """Exit code 2, the usage, and one line of error, these parts in it."""
    assert (answer.code, answer.stdout) == (2, "")
    usage, *_, line = answer.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert answer.stderr.count("Error: ") == 1
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line


def lines(table: str) -> list[list[str]]:
    """Return a table's cells; they are two or more spaces apart."""
    return [re.split(r"  +", line) for line in table.splitlines()]


def connect(url: str) -> closing[sqlite3.Connection]:
    """Open the store without the application; any thread may use the connection."""
    file = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = 1")
    return closing(connection)


def tables(url: str) -> list[str]:
    names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'leads%' ORDER BY 1"
    with connect(url) as connection:
        return [name for (name,) in connection.execute(names)]


def indexes(url: str) -> list[tuple[str, str]]:
    """Return the name and the definition of every index."""
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name"
    with connect(url) as connection:
        return connection.execute(query).fetchall()


def dump(url: str) -> list[str]:
    """Return the whole store, schema and rows, as SQL."""
    with connect(url) as connection:
        return list(connection.iterdump())


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    query = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  # tests' own names
    row_id = connection.execute(query, tuple(row.values())).lastrowid
    assert row_id is not None
    return row_id


def insert_leads(connection: sqlite3.Connection, *leads: dict[str, Any]) -> None:
    """Insert leads of user 1, new unless they are said to be otherwise, in one transaction."""
    usual = {"user_id": 1, "company_id": 42, "status": "new", "notes": "", "score": 10}
    connection.execute("BEGIN")
    for lead in leads:
        insert(connection, "leads_lead", usual | {"created_at": NOW, "updated_at": NOW} | lead)
    connection.execute("COMMIT")


def open_files() -> list[str]:
    """Return the path of every file that this process has open, once for each descriptor."""
    paths = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists them
            paths.append(os.readlink(link))
    return paths


class Server(NamedTuple):
    """A running service, and the token of its one user."""

    url: str
    token: str
    process: subprocess.Popen[str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stdout_of(process: subprocess.Popen[str]) -> IO[str]:
    """Return what a process with a pipe prints."""
    assert process.stdout is not None
    return process.stdout


@contextmanager
def running(
    command: list[str], environment: dict[str, str], stderr: int | IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the block ends, or it does."""
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        stdout_of(process).close()


@contextmanager
def serve(
    url: str, *options: str, log: IO[str] | None = None, **environment: str
) -> Iterator[Server]:
    """Run ``leads-service serve`` with a first user until the block ends."""
    port = free_port()
    command = [BIN / "leads-service", "serve", "--port", port, "--first-user", "admin", *options]
    environment = {"LEADS_DATABASE": url, "LEADS_LOG_LEVEL": "warning"} | environment
    with running([str(word) for word in command], environment, log) as process:
        base = f"http://127.0.0.1:{port}"
        token = wait_for_token(process)
        wait_until_ready(port)
        yield Server(base, token, process)


def wait_for_token(process: subprocess.Popen[str]) -> str:
    for line in stdout_of(process):
        if match := re.search(r"leads_[\w-]{43}", line):
            return match[0]
    raise AssertionError(f"the server printed no token and ended with {process.wait()}")


def wait_until_ready(port: int) -> None:
    """Block until the server has answered; the kernel keeps the question until somebody can."""
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while datetime.now(UTC) < deadline:
        with suppress(ConnectionRefusedError), closing(HTTPConnection("127.0.0.1", port)) as probe:
            probe.request("GET", "/healthz")
            assert probe.getresponse().status == 200
            return
    raise AssertionError("the server did not come up within 30 seconds")
