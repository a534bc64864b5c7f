"""A host's database: who opens it, what it keeps, whose transactions they are."""

import re
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from peewee import Database, DatabaseProxy, OperationalError, SqliteDatabase
from sqlalchemy import Column, Integer, MetaData, NullPool, Table, create_engine

from leads_service import init_app
from leads_service._compat.peewee import execute, sqlite_connection
from leads_service.exceptions import StorageUnusableError
from leads_service.state import state_of
from leads_service.storage.sqlite.database import MAX_IDLE_CONNECTIONS
from tests.helpers import caller, document, open_files


def test_a_connection_that_the_host_keeps_open(database: Database) -> None:
    app = Flask("host")
    database.connect()
    init_app(app, user_id=lambda: 1, database=database)
    assert not database.is_closed()
    connection = sqlite_connection(database)
    with database.atomic() as transaction:
        assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
        transaction.rollback()
    assert app.test_client().get("/v1/leads").get_json()["data"] == []
    assert sqlite_connection(database) is connection


def test_a_connection_that_nobody_has_opened(database: Database) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    assert database.is_closed()
    app.test_client().post("/v1/leads", json={"company_id": 1})
    assert database.is_closed()


def test_a_teardown_of_the_hosts_that_fails(database: Database) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)

    @app.teardown_request
    def fail(_: BaseException | None) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        app.test_client().get("/v1/leads")
    assert database.is_closed()


def test_a_token_that_is_revoked_in_the_minute_of_its_use(database: Database) -> None:
    app = Flask("host")
    init_app(app, database=database)
    known = caller(app, "alice")
    lead = {"company_id": 1}
    for body, status in ((lead, 201), (lead, 201), ({}, 422), ({}, 401), (lead, 401)):
        if status == 401:
            for token in state_of(app).accounts.tokens():
                state_of(app).accounts.revoke_token(token["id"])
        answer = known.client.post("/v1/leads", json=body)
        assert answer.status_code == status
        assert answer.headers["X-Request-ID"]


@pytest.mark.usefixtures("of_sqlite")
def test_the_hosts_file_keeps_its_settings(database: SqliteDatabase) -> None:
    init_app(Flask("host"), user_id=lambda: 1, database=database)
    assert database.pragma("journal_mode") == "delete"
    tables = set(database.get_tables()) - {"sqlite_sequence"}
    assert tables == {
        "leads_deleted",
        "leads_history",
        "leads_idempotency",
        "leads_lead",
        "leads_migration",
        "leads_token",
        "leads_user",
    }


def test_a_database_that_does_not_open_itself(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), autoconnect=False)
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_a_proxy_and_memory() -> None:
    proxy = DatabaseProxy()
    proxy.initialize(SqliteDatabase(":memory:"))
    proxy.connect()
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=proxy)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
    proxy.close()


@pytest.mark.parametrize("options", [{}, {"thread_safe": False}, {"autoconnect": False}], ids=str)
def test_memory_that_would_be_lost(options: dict[str, Any]) -> None:
    database = SqliteDatabase(":memory:", **options)
    app = Flask("host")
    with pytest.raises(ValueError, match="open it before init_app and keep it open") as caught:
        init_app(app, user_id=lambda: 1, database=database)
    assert "\n" not in str(caught.value)
    database.connect()  # which is closed, as it was
    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    assert client.post("/v1/leads", json={"company_id": 1}).status_code == 201
    assert len(client.get("/v1/leads").get_json()["data"]) == 1
    database.close()


@pytest.mark.usefixtures("of_sqlite")
def test_a_locked_database_of_the_hosts(database: SqliteDatabase, tmp_path: Any) -> None:
    app = Flask("host")
    database.timeout = 0
    init_app(app, user_id=lambda: 1, database=database)
    other = SqliteDatabase(str(tmp_path / "host.db"))
    with other.atomic("EXCLUSIVE"):
        answer = app.test_client().post("/v1/leads", json={"company_id": 1})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        with pytest.raises(OperationalError):
            execute(database, "SELECT * FROM leads_lead")
    other.close()
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_a_host_under_alembic(database: Database, engine_name: str) -> None:
    """With the documentation's function it leaves our tables alone; without it would drop them."""
    (recipe,) = re.findall(
        r"```python\n(def include_object.*?)```", document("docs/embedding.md"), re.DOTALL
    )
    defined: dict[str, Any] = {}
    exec(recipe, defined)  # noqa: S102  # our documents'
    init_app(Flask("host"), user_id=lambda: 1, database=database)
    url = f"sqlite:///{database.database}"
    if engine_name == "postgresql":
        url = str(database.database).replace("postgresql", "postgresql+psycopg")
    hosts = MetaData()
    Table("employee", hosts, Column("id", Integer, primary_key=True))

    def differences(**options: Any) -> set[tuple[str, str]]:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            return {(what, on.name) for what, on in compare_metadata(context, hosts)}

    assert ("remove_table", "leads_lead") in differences()
    assert differences(include_object=defined["include_object"]) == {("add_table", "employee")}


def test_tables_that_are_not_made_at_the_start(database: Database) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database, migrate=False)
    assert database.get_tables() == []
    assert app.test_client().get("/v1/leads").status_code == 503
    runner = app.test_cli_runner()
    pending = state_of(app).storage.pending_migrations()
    applied = "".join(f"applied {name}\n" for name in pending)
    assert runner.invoke(args=["leads", "db", "migrate"]).output == applied
    assert app.test_client().get("/v1/leads").get_json()["data"] == []


def test_the_host_looks_for_the_caller_itself(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), autoconnect=False)

    def look() -> int:
        with database.connection_context():
            return 1

    app = Flask("host")
    init_app(app, user_id=look, database=database)
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_a_transaction_that_the_host_began_by_hand(database: Database) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    database.connect()
    execute(database, "BEGIN")
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201
    execute(database, "COMMIT")
    assert len(app.test_client().get("/v1/leads").get_json()["data"]) == 1


def test_threads_leave_no_connection_open(tmp_path: Any) -> None:
    """One after the other they share a connection; of many at once some stay for the next ones."""
    app = Flask("host", instance_path=str(tmp_path))
    init_app(app, user_id=lambda: 1, database=f"sqlite:///{tmp_path}/x.db")
    all_write = Barrier(40)

    def post(wait: Callable[[], object]) -> None:
        with app.app_context():
            wait()
            answer = app.test_client().post("/v1/leads", json={"company_id": 1})
            assert answer.status_code == 201

    def run(count: int, wait: Callable[[], object]) -> tuple[int, int]:
        threads = [Thread(target=post, args=[wait]) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        files = open_files()
        return files.count(f"{tmp_path}/x.db"), files.count(f"{tmp_path}/x.db-wal")

    # One connection, one of the database's own, and the log's descriptor to flush.
    assert [run(1, lambda: None) for _ in range(5)] == [(2, 3)] * 5
    for _ in range(3):
        files, logs = run(40, all_write.wait)
        # SQLite keeps a closed file's descriptor for the next connection, while others have locks.
        assert files <= 41
        assert logs <= MAX_IDLE_CONNECTIONS + 2
    assert app.test_client().get("/v1/leads").get_json()["data"][0]["id"] == 125


def test_a_file_of_ours_that_is_not_in_wal_mode(tmp_path: Any) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    init_app(app, user_id=lambda: 1, database=f"sqlite:///{tmp_path}/x.db")
    other = SqliteDatabase(f"{tmp_path}/x.db")
    other.pragma("journal_mode", "delete")
    other.close()
    assert app.test_client().post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_the_locked_file_of_a_host_is_waited_for_as_long_as_the_host_does(tmp_path: Any) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), timeout=0)
    other = SqliteDatabase(str(tmp_path / "host.db"))
    with other.atomic("EXCLUSIVE"), pytest.raises(StorageUnusableError, match="locked"):
        init_app(Flask("host"), user_id=lambda: 1, database=database)
    other.close()
