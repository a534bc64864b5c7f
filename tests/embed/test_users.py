"""A host's users are forgotten and reassigned."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session
from peewee import AutoField, Database, Model, SqliteDatabase, TextField
from playhouse.sqlite_ext import AutoIncrementField

from leads_service import forget_user, init_app, reassign_user
from leads_service._compat.peewee import execute, sqlite_connection
from tests.helpers import Caller, caller, companies, create


@pytest.fixture
def host(database: Database) -> Flask:
    """A host whose user is the one in the session."""
    app = Flask("host")
    app.secret_key = "x" * 32
    init_app(app, user_id=lambda: session.get("user"), database=database)
    return app


def as_user(host: Flask, user_id: int) -> Caller:
    client = host.test_client()
    with client.session_transaction() as cookie:
        cookie["user"] = user_id
    return Caller(user_id, "", client)


@pytest.mark.usefixtures("of_sqlite")
@pytest.mark.parametrize("forgets", [False, True])
def test_an_id_that_is_used_again_brings_the_leads_to_a_stranger(
    host: Flask, database: Database, forgets: bool
) -> None:
    """SQLite gives the highest id out again once its row is gone, unless it is told not to."""

    class Employee(Model):
        id = AutoField()
        name = TextField()

        class Meta:
            database = None

    with database.bind_ctx([Employee]):
        database.create_tables([Employee])
        ada, eve = (Employee.create(name=name) for name in ("ada", "eve"))
        create(as_user(host, ada.id), 7)
        create(as_user(host, eve.id), 8, key="k")
        with database.atomic():
            eve.delete_instance()
            if forgets:
                assert forget_user(host, eve.id) == 1
        stranger = Employee.create(name="mallory")
        assert stranger.id == eve.id
        mallory = as_user(host, stranger.id)
        assert companies(mallory) == ([] if forgets else [8])
        again = mallory.client.post(
            "/v1/leads", json={"company_id": 8}, headers={"Idempotency-Key": "k"}
        )
        assert ("Idempotency-Replayed" in again.headers) != forgets
        assert companies(as_user(host, ada.id)) == [7]


@pytest.mark.usefixtures("of_sqlite")
def test_an_id_that_is_not_used_again(database: Database) -> None:
    """What the documentation tells hosts to use."""

    class Employee(Model):
        id = AutoIncrementField()

        class Meta:
            database = None

    with database.bind_ctx([Employee]):
        database.create_tables([Employee])
        last = Employee.create()
        last.delete_instance()
        assert Employee.create().id == last.id + 1


def test_a_host_forgets_a_user(host: Flask, database: Database) -> None:
    ada, bob = as_user(host, 7), as_user(host, -8)
    create(ada, 1, notes="hush, a secret " * 100)
    create(bob, 2)
    database.close()
    assert forget_user(host, 7) == 1
    assert forget_user(host, 7) == 0
    assert database.is_closed()
    assert (companies(ada), companies(bob)) == ([], [2])
    assert forget_user(host, -8) == 1


@pytest.mark.usefixtures("of_sqlite")
def test_what_a_host_forgets_is_overwritten(host: Flask, database: SqliteDatabase) -> None:
    create(as_user(host, 7), 1, notes="hush, a secret " * 100)
    database.connect()
    database.pragma("secure_delete", 0)
    assert b"hush" in Path(database.database).read_bytes()
    forget_user(host, 7)
    assert b"hush" not in Path(database.database).read_bytes()


def test_a_host_reassigns_a_user(host: Flask, database: Database) -> None:
    ada, bob = as_user(host, 7), as_user(host, 8)
    create(ada, 1, key="k")
    database.close()
    assert reassign_user(host, 7, 8) == 1
    assert database.is_closed()
    assert (companies(ada), companies(bob)) == ([], [1])
    assert create(bob, 1, key="k").headers["Idempotency-Replayed"] == "true"
    runner = host.test_cli_runner()
    words = ["leads", "reassign", "--from", "8", "--to", "7", "--status", "new"]
    assert runner.invoke(args=words).output == "1 lead reassigned.\n"
    assert companies(ada) == [1]


@pytest.mark.parametrize("begins", ["atomic", "by hand"])
def test_in_a_transaction_of_the_hosts(host: Flask, database: Database, begins: str) -> None:
    ada, bob, eve = (as_user(host, user_id) for user_id in (7, 8, 9))
    create(ada, 1)
    create(bob, 2)
    database.connect(reuse_if_open=True)
    connection = sqlite_connection(database)
    if begins == "atomic":
        with database.atomic() as transaction:
            assert (forget_user(host, 7), reassign_user(host, 8, 9)) == (1, 1)
            transaction.rollback()
    else:
        execute(database, "BEGIN")
        assert (forget_user(host, 7), reassign_user(host, 8, 9)) == (1, 1)
        execute(database, "ROLLBACK")
    assert sqlite_connection(database) is connection, "what the host opened stays open"
    assert [companies(user) for user in (ada, bob, eve)] == [[1], [2], []]


def test_a_database_that_does_not_open_itself(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"), autoconnect=False)
    app = Flask("host")
    init_app(app, user_id=lambda: 7, database=database)
    create(Caller(7, "", app.test_client()), 1)
    assert forget_user(app, 7) == 1
    assert database.is_closed()


def test_a_host_that_names_its_database_by_a_url(tmp_path: Path) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 7, database=f"sqlite:///{tmp_path}/x.db")
    create(Caller(7, "", app.test_client()), 1)
    assert reassign_user(app, 7, 8) == 1
    assert forget_user(app, 8) == 1


@pytest.mark.parametrize("user_id", ["7", 7.0, True, None, 2**63])
def test_ids_that_are_none(host: Flask, user_id: Any) -> None:
    with pytest.raises(TypeError, match="must be an integer of 64 bits"):
        forget_user(host, user_id)
    with pytest.raises(TypeError, match="must be an integer of 64 bits"):
        reassign_user(host, 1, user_id)


def test_other_wrong_calls(host: Flask) -> None:
    with pytest.raises(TypeError, match="app must be a Flask application"):
        forget_user("host", 1)  # type: ignore[arg-type]  # tried
    with pytest.raises(ValueError, match="call init_app first"):
        forget_user(Flask("host"), 1)
    with pytest.raises(ValueError, match="must be two users, not 1 twice"):
        reassign_user(host, 1, 1)


def test_tokens_end_in_a_host_without_foreign_keys(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "host.db"))
    app = Flask("host")
    init_app(app, database=database)
    alice = caller(app, "alice")
    assert database.pragma("foreign_keys") == 0
    result = app.test_cli_runner().invoke(args=["leads", "user", "remove", "alice", "--yes"])
    assert result.exit_code == 0
    assert alice.client.get("/v1/leads").status_code == 401
    with closing(sqlite3.connect(database.database)) as connection:
        assert connection.execute("SELECT * FROM leads_token").fetchall() == []
    database.close()
