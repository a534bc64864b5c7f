"""Fixtures: an application on a database of its own, two users, and a server in its own process."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from inspect import signature
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from peewee import SqliteDatabase

from leads_service import create_app, init_app
from leads_service.state import AppState

# Each example's time depends on the machine; how many there are bounds the whole.
settings.register_profile(
    "leads", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("leads")

BIN = Path(sys.executable).parent
MIGRATIONS = ("0001_initial", "0002_idempotency", "0003_deleted")
APPLIED = "".join(f"applied {name}\n" for name in MIGRATIONS)
ROOT = Path(__file__).parent.parent

# Before click 8.2 a runner mixes what a command prints with what it complains of, unless told so.
APART = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


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


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer has set, and the make that runs the tests, from the tests."""
    for name in list(os.environ):
        if name.startswith(("LEADS_", "MAKE")):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'leads.db'}"


@pytest.fixture
def app(url: str, clock: Clock, request: pytest.FixtureRequest) -> Flask:
    """The service alone, or as a part of a host with a database of the host's."""
    if getattr(request, "param", "alone") == "alone":
        return create_app({"LEADS_DATABASE": url}, clock=clock)
    host = Flask("host")
    init_app(host, database=SqliteDatabase(url.removeprefix("sqlite:///")), clock=clock)
    return host


alone_and_embedded = pytest.mark.parametrize("app", ["alone", "embedded"], indirect=True)


@pytest.fixture
def service(app: Flask) -> AppState:
    return app.extensions["leads_service"]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client without a token."""
    return app.test_client()


def caller(app: Flask, name: str, **token: object) -> Caller:
    accounts = app.extensions["leads_service"].accounts
    user_id = accounts.add_user(name)
    secret = accounts.create_token(name, **token)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return Caller(user_id, secret, client)


@pytest.fixture
def alice(app: Flask) -> Caller:
    return caller(app, "alice")


@pytest.fixture
def bob(app: Flask, alice: Caller) -> Caller:
    return caller(app, "bob")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What our own logger says; it does not pass its records on."""
    logging.getLogger("leads_service").addHandler(caplog.handler)
    yield caplog
    logging.getLogger("leads_service").removeHandler(caplog.handler)


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
        return probe.getsockname()[1]


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
        process.stdout.close()


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
    for line in process.stdout:
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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two workers for all tests that need a real one."""
    with serve(
        f"sqlite:///{tmp_path_factory.mktemp('server') / 'leads.db'}",
        *("--workers", "2"),
        LEADS_AUTH_FAILURES="0",  # tests guess a lot
    ) as it:
        yield it
