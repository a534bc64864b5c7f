"""A host on PostgreSQL: its own Peewee database, pooled or not, or a URL."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask, session
from peewee import DatabaseProxy, PostgresqlDatabase
from playhouse.pool import PooledPostgresqlDatabase
from sqlalchemy import create_engine, text

from leads_service import forget_user, init_app
from leads_service.exceptions import StorageUnusableError
from leads_service.state import state_of
from tests import postgres
from tests.helpers import document

WRITERS = 8


@pytest.fixture
def url() -> Iterator[str]:
    with postgres.scratch() as url:
        yield url


def post(app: Flask) -> int:
    return app.test_client().post("/v1/leads", json={"company_id": 1}).status_code


def count(app: Flask) -> int:
    return len(app.test_client().get("/v1/leads").get_json()["data"])


@pytest.mark.parametrize("opens", [False, True])
def test_a_pool_of_the_hosts(url: str, opens: bool) -> None:
    """Each request takes a connection and gives it back; the pool may be smaller than the crowd."""
    database = PooledPostgresqlDatabase(
        url, prefer_psycopg3=True, max_connections=3, stale_timeout=60, timeout=30
    )
    app = Flask("host")
    if opens:

        @app.before_request
        def open_database() -> None:
            database.connect()

        @app.teardown_request
        def close_database(_: BaseException | None) -> None:
            database.close()

    init_app(app, user_id=lambda: 1, database=database)
    barrier = Barrier(WRITERS)

    def write(_: int) -> int:
        barrier.wait()
        return post(app)

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(write, range(WRITERS))) == [201] * WRITERS
    assert count(app) == WRITERS
    assert database.is_closed()
    database.close_all()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_writers_at_once_whatever_the_hosts_isolation_is(url: str, isolation: str) -> None:
    options = "-c default_transaction_isolation=" + isolation.replace(" ", "\\ ")
    database = PostgresqlDatabase(url, prefer_psycopg3=True, options=options)
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    barrier = Barrier(WRITERS)

    def write(_: int) -> int:
        barrier.wait()
        response = app.test_client().post(
            "/v1/leads", json={"company_id": 1}, headers={"Idempotency-Key": "k"}
        )
        return int(response.get_json()["id"])

    with ThreadPoolExecutor(WRITERS) as pool:
        assert len(set(pool.map(write, range(WRITERS)))) == 1
    assert count(app) == 1


def test_a_database_that_does_not_open_itself_behind_a_proxy(url: str) -> None:
    proxy = DatabaseProxy()
    proxy.initialize(PostgresqlDatabase(url, prefer_psycopg3=True, autoconnect=False))
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=proxy)
    assert post(app) == 201


def test_a_url_of_the_hosts(url: str) -> None:
    app = Flask("host")
    app.secret_key = "x" * 32
    init_app(app, user_id=lambda: session.get("user", 7), database=url)
    assert post(app) == 201
    assert forget_user(app, 7) == 1
    assert count(app) == 0
    state_of(app).storage.dispose()


def test_a_host_on_sqlalchemy(url: str) -> None:
    """It gives its URL, with the documentation's recipe, and has the leads beside its tables."""
    (recipe,) = re.findall(r"^(url = engine.url.*)$", document("docs/embedding.md"), re.MULTILINE)
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg"))
    names: dict[str, Any] = {"engine": engine}
    exec(recipe, names)  # noqa: S102  # our documents'
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=names["url"])
    assert post(app) == 201
    with engine.connect() as connection:
        assert connection.execute(text("SELECT user_id FROM leads_lead")).scalar() == 1
    engine.dispose()
    state_of(app).storage.dispose()


def test_a_host_without_psycopg_3(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = PostgresqlDatabase(url, prefer_psycopg3=True)
    monkeypatch.setattr(database, "connection", object)  # as psycopg2's is none of psycopg's
    with pytest.raises(StorageUnusableError, match="prefer_psycopg3=True"):
        init_app(Flask("host"), user_id=lambda: 1, database=database)
    database.close()
