"""What leads_service._compat expects of its dependencies, each by itself."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask_smorest import Api
from flask_smorest import Blueprint as DocumentedBlueprint
from peewee import OperationalError, SqliteDatabase
from werkzeug.exceptions import Conflict, NotFound

from leads_service._compat.flask import app_error_handler
from leads_service._compat.granian import NOISE
from leads_service._compat.peewee import (
    execute,
    sqlite_connection,
    sqlite_error_name,
    translated_errors,
)
from leads_service._compat.smorest import belongs_to, on_document_operation

# SQLite can't tell the absolute value of the second, which it finds out when that is fetched.
OVERFLOW = "SELECT abs(column1) FROM (VALUES (1), (-9223372036854775808))"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(str(tmp_path / "store.db"), timeout=0)
    with database.connection_context():
        yield database


def test_errors_while_rows_are_fetched_become_peewees(database: SqliteDatabase) -> None:
    with pytest.raises(OperationalError, match="integer overflow"), translated_errors:
        execute(database, OVERFLOW).fetchall()


def test_peewee_does_not_translate_them_itself(database: SqliteDatabase) -> None:
    """Once it does, ``translated_errors`` can go."""
    with pytest.raises(sqlite3.OperationalError, match="integer overflow"):
        execute(database, OVERFLOW).fetchall()


def test_a_statement_answers_with_a_cursor(database: SqliteDatabase) -> None:
    execute(database, "CREATE TABLE numbers (number)")
    assert execute(database, "INSERT INTO numbers VALUES (?), (?)", (1, 2)).rowcount == 2
    numbers = "SELECT number FROM numbers ORDER BY number"
    assert execute(database, numbers).fetchone() == (1,)
    assert execute(database, numbers).fetchall() == list(execute(database, numbers)) == [(1,), (2,)]


def test_the_connection_is_the_drivers(database: SqliteDatabase) -> None:
    connection = sqlite_connection(database)
    assert isinstance(connection, sqlite3.Connection)
    assert not connection.in_transaction
    with database.atomic():
        assert connection.in_transaction


def test_an_error_has_sqlites_name(database: SqliteDatabase) -> None:
    other = SqliteDatabase(database.database, timeout=0)
    with (
        database.atomic("IMMEDIATE"),
        other.connection_context(),
        pytest.raises(OperationalError) as raised,
    ):
        other.begin("IMMEDIATE")
    assert sqlite_error_name(raised.value) == "SQLITE_BUSY"
    assert sqlite_error_name(OperationalError("database is locked")) == ""


def test_an_applications_error_handler_is_found_past_a_blueprints() -> None:
    app, blueprint = Flask("host"), Blueprint("part", "part")
    app.register_error_handler(NotFound, lambda _: "the application's")

    @blueprint.errorhandler(404)
    @blueprint.errorhandler(409)
    def answer(error: Exception) -> Any:
        handler = app_error_handler(app, error)
        return "the blueprint's" if handler is None else handler(error)

    @blueprint.route("/<int:status>")
    def fail(status: int) -> str:
        raise {404: NotFound, 409: Conflict}[status]

    app.register_blueprint(blueprint)
    client = app.test_client()
    assert client.get("/404").text == "the application's"
    assert client.get("/409").text == "the blueprint's"


def api_of(app: Flask) -> Api:
    app.config.update(API_TITLE="Things", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    return Api(app)


def test_an_operations_documentation_is_completed() -> None:
    app = Flask("host")
    api, blueprint = api_of(app), DocumentedBlueprint("things", "things")

    def complete(doc: dict[str, Any], responses: dict[Any, Any], of: Flask) -> dict[str, Any]:
        assert of is app
        del responses[403]
        return doc | {"security": [{"token": []}]}

    on_document_operation(blueprint, complete)

    @blueprint.route("/things")
    @blueprint.response(200, description="All things.")
    @blueprint.doc(responses={403: "Forbidden", 404: "NotFound"})
    def things() -> str:
        return ""

    api.register_blueprint(blueprint)
    operation = api.spec.to_dict()["paths"]["/things"]["get"]
    assert operation["security"] == [{"token": []}]
    assert {"200", "404"} <= operation["responses"].keys()
    assert "403" not in operation["responses"]


def test_an_api_belongs_to_the_application_that_it_was_initialised_with() -> None:
    app = Flask("host")
    assert not belongs_to(Api(), app)
    api = api_of(app)
    assert belongs_to(api, app)
    assert not belongs_to(api_of(Flask("another")), app)


# A server whose loop sees a worker die, replaces it, replaces all at SIGHUP, and then stops.
SUPERVISE = """
import multiprocessing, os, signal
from granian.constants import Interfaces
from granian.log import LogLevels
from leads_service._compat.granian import SupervisedServer

class Server(SupervisedServer):
    def supervise(self):
        assert self.dead_workers() == []
        (worker,) = multiprocessing.active_children()
        worker.kill()
        self.wait_for_event(20)
        (dead,) = self.dead_workers()
        assert (dead.index, dead.exit_code) == (0, -signal.SIGKILL), dead
        assert 0 < dead.lifetime < 60
        self.replace_worker(dead.index)
        assert self.dead_workers() == []
        (second,) = multiprocessing.active_children()
        assert second.pid != worker.pid
        assert not self.reload_if_told()
        os.kill(os.getpid(), signal.SIGHUP)
        self.wait_for_event(20)
        assert self.reload_if_told()
        (third,) = multiprocessing.active_children()
        assert third.pid != second.pid
        assert not self.is_stopping
        os.kill(os.getpid(), signal.SIGTERM)
        self.wait_for_event(20)
        assert self.is_stopping
        print("supervised")

# A worker has the handlers of the process that forks it until it has its own.
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
options = {"interface": Interfaces.WSGI, "port": 0, "workers": 1, "respawn_interval": 0.01}
limits = {"blocking_threads": 1000, "workers_kill_timeout": 5, "log_level": LogLevels.warning}
Server("wsgiref.simple_server:demo_app", **options, **limits).serve()
"""


@pytest.fixture(scope="module")
def supervised() -> subprocess.CompletedProcess[str]:
    """Run the server above to its end."""
    program = [sys.executable, "-c", SUPERVISE]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_a_loop_of_our_own_watches_granians_workers(
    supervised: subprocess.CompletedProcess[str],
) -> None:
    assert supervised.returncode == 0, supervised.stderr
    assert "supervised" in supervised.stdout.splitlines()  # granian may have warned after it


def test_granian_says_what_nobody_can_make_use_of(
    supervised: subprocess.CompletedProcess[str],
) -> None:
    for text in NOISE:
        assert f"] {text}" in supervised.stdout + supervised.stderr
