"""A host, and the database of a host."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, g, jsonify, request, session
from flask_smorest import Api
from peewee import CharField, Database, Model, PostgresqlDatabase, SqliteDatabase

from leads_service import init_app
from tests import postgres
from tests.embed.hosts import DOCUMENTED, LEADS, AiryProvider, NotLoggedInError


def user_id() -> int | None:
    return session.get("user")


@pytest.fixture
def database(
    engine_name: str, tmp_path: Any, request: pytest.FixtureRequest
) -> Iterator[SqliteDatabase | PostgresqlDatabase]:
    if engine_name == "sqlite":
        database: Any = SqliteDatabase(str(tmp_path / "host.db"))
        yield database
        database.close()
        return
    with postgres.scratch() as url:
        database = PostgresqlDatabase(url, prefer_psycopg3=True)
        yield database
        database.close()


@pytest.fixture(params=[False, True], ids=["without Api", "with Api"])
def host(request: pytest.FixtureRequest, database: Database) -> Flask:
    """A host with everything of its own: pages, errors, login, database, commands, JSON."""
    app = Flask("host")
    app.config.update(DOCUMENTED, SECRET_KEY="x" * 32)
    app.json = AiryProvider(app)
    api = Api(app) if request.param else None

    class Visit(Model):
        path = CharField()

        class Meta:
            database_ = database
            table_name = "visit"

    Visit.bind(database)
    database.create_tables([Visit])
    database.close()

    @app.before_request
    def open_database() -> None:
        database.connect()  # raises OperationalError if somebody has left it open
        g.seen = ["before"]

    @app.teardown_request
    def close_database(_: BaseException | None) -> None:
        assert not database.is_closed(), "what the host opened is the host's to close"
        database.close()

    @app.after_request
    def count(response: Any) -> Any:
        Visit.create(path=request_path())
        response.headers["X-Visits"] = str(Visit.select().count())
        return response

    @app.errorhandler(404)
    def no_page(_: Exception) -> tuple[str, int]:
        return "<h1>the host's own page</h1>", 404

    @app.errorhandler(NotLoggedInError)
    def login(_: Exception) -> tuple[str, int]:
        return "log in here", 418

    @app.get("/")
    def home() -> Any:
        return jsonify(hello="you")

    @app.get("/fails")
    def fails() -> Any:
        raise RuntimeError("a mistake of the host's")

    @app.get("/login/<int:user>")
    def log_in(user: int) -> str:
        session["user"] = user
        return "welcome"

    @app.cli.command("greet")
    def greet() -> None:
        print("hello")

    before = {rule.rule for rule in app.url_map.iter_rules()}
    init_app(app, user_id=user_id, database=database, api=api, url_prefix="/crm/v1")
    ours = {rule.rule for rule in app.url_map.iter_rules()} - before
    assert ours == {LEADS, f"{LEADS}/<leads_service_id:lead_id>"}, "no page that was not asked for"
    return app


def request_path() -> str:
    return str(request.path)
