"""Users come and go: their names, their tokens, and where their leads end up."""

import os
import pty
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import BIN, Caller, Clock, caller
from flask import Flask, session
from peewee import AutoField, Model, SqliteDatabase, TextField
from playhouse.sqlite_ext import AutoIncrementField
from scorers import raises

from leads_service import create_app, forget_user, init_app, reassign_user
from leads_service.accounts import Accounts
from leads_service.exceptions import ScorerError
from leads_service.leads import LeadService
from leads_service.state import EXTENSION, AppState
from leads_service.storage.database import MOVE_BATCH
from leads_service.storage.models import TABLES_WITH_OWNER, Idempotency
from leads_service.storage.sqlite import storage

Run = Callable[..., Any]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command and return all that it prints."""
    runner = app.test_cli_runner()

    def run(*words: str, code: int = 0) -> str:
        result = runner.invoke(args=["leads", *words], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    return run


def with_scorer(app: Flask, clock: Clock, scorer: Any) -> LeadService:
    """Let the application score otherwise from now on what changes hands."""
    service = app.extensions[EXTENSION]
    leads = LeadService(service.storage, scorer, clock, has_own_users=True)
    accounts = Accounts(service.storage, leads, clock)
    app.extensions[EXTENSION] = service._replace(leads=leads, accounts=accounts)
    return leads


@pytest.fixture
def scored_by_user(app: Flask, clock: Clock) -> None:
    """Let the score of a lead tell whose it was when it was scored."""
    with_scorer(app, clock, lambda user_id, **_: user_id)


def create(owner: Caller, company_id: int, key: str | None = None, **more: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = owner.client.post("/v1/leads", json={"company_id": company_id} | more, headers=headers)
    assert answer.status_code == 201
    return answer


def leads(owner: Caller) -> list[dict[str, Any]]:
    return owner.client.get("/v1/leads?limit=200").json["data"]


def companies(owner: Caller) -> list[int]:
    return [lead["company_id"] for lead in leads(owner)]


def rows_of(service: AppState, user_id: int) -> int:
    return sum(
        table.select().where(table.user_id == user_id).count(service.storage.database)
        for table in TABLES_WITH_OWNER
    )


def test_every_table_of_a_users_is_known(service: AppState) -> None:
    database = service.storage.database
    with_user = {
        table
        for table in database.get_tables()
        if "user_id" in [column.name for column in database.get_columns(table)]
    }
    # Tokens go with their user, and only then.
    assert {table._meta.table_name for table in TABLES_WITH_OWNER} == with_user - {"leads_token"}


# Renaming


def test_rename(run: Run, alice: Caller) -> None:
    create(alice, 7)
    assert run("user", "rename", "alice", "Zoë O'Neil") == "alice is called Zoë O'Neil now.\n"
    assert companies(alice) == [7]
    assert "Zoë O'Neil" in run("token", "list")
    assert "there is no user 'alice'" in run("pipeline", "--user", "alice", code=1)
    assert "(0 of 1 leads)" in run("pipeline", "--user", "Zoë O'Neil")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("carol", "dave", "there is no user 'carol'"),
        ("alice", "bob", "user 'bob' exists already; choose another name"),
        ("alice", " x", "' x' is no name"),
        ("alice", "\x1b[31m", r"'\x1b[31m' is no name"),
    ],
)
@pytest.mark.usefixtures("bob")
def test_names_that_nobody_can_get(run: Run, old: str, new: str, part: str) -> None:
    assert part in run("user", "rename", old, new, code=1)
    assert [line.split()[1] for line in run("user", "list").splitlines()[1:]] == ["alice", "bob"]


# Removing


def test_remove_a_user_without_leads(run: Run, alice: Caller, bob: Caller) -> None:
    assert run("user", "remove", "bob", "--yes") == "bob is removed, 0 leads erased.\n"
    assert bob.client.get("/v1/leads").status_code == 401
    assert "bob" not in run("token", "list") + run("user", "list")
    assert run("user", "add", "bob") == "3\n", "an id is never used again"
    assert alice.client.get("/v1/leads").status_code == 200


def test_leads_have_to_go_somewhere(run: Run, alice: Caller, bob: Caller) -> None:
    create(alice, 7)
    message = run("user", "remove", "alice", "--yes", code=1)
    assert "'alice' has 1 lead;" in message
    assert "--leads-to" in message
    assert "--erase" in message
    both = ("--leads-to", "bob", "--erase")
    assert "exclude each other" in run("user", "remove", "alice", "--yes", *both, code=2)
    for name, part in (("alice", "can't get the leads"), ("carol", "there is no user 'carol'")):
        assert part in run("user", "remove", "alice", "--yes", "--leads-to", name, code=1)
    assert "there is no user 'eve'" in run("user", "remove", "eve", "--yes", "--erase", code=1)
    assert companies(alice) == [7]


@pytest.mark.usefixtures("scored_by_user")
def test_remove_a_user_whose_leads_stay(
    run: Run, service: AppState, alice: Caller, bob: Caller, clock: Clock
) -> None:
    before = [create(alice, company_id, key=f"k{company_id}").json for company_id in (7, 8)]
    clock.move(seconds=1)
    words = ("user", "remove", "alice", "--yes", "--leads-to", "bob")
    assert run(*words) == "alice is removed, 2 leads given to bob.\n"
    assert alice.client.get("/v1/leads").status_code == 401
    changes = {"user_id": bob.id, "score": bob.id, "updated_at": "2026-11-22T22:03:12.123456Z"}
    assert leads(bob) == [lead | changes for lead in reversed(before)]
    assert rows_of(service, alice.id) == 0
    assert create(bob, 7, key="k7").headers["Idempotency-Replayed"] == "true"


def test_remove_a_user_with_all_leads(
    run: Run, service: AppState, alice: Caller, bob: Caller, url: str
) -> None:
    create(alice, 7, key="k", notes="hush, a secret " * 100)
    create(bob, 8)
    service.storage.database.pragma("secure_delete", 0)  # what is deleted could be read in the file
    words = ("user", "remove", "alice", "--yes", "--erase")
    assert run(*words) == "alice is removed, 1 lead erased.\n"
    assert companies(bob) == [8]
    assert rows_of(service, alice.id) == 0
    service.storage.database.pragma("wal_checkpoint")
    assert b"hush" not in Path(url.removeprefix("sqlite:///")).read_bytes()
    assert service.storage.database.pragma("secure_delete") == 0


def test_a_removal_that_fails_leaves_everything(
    run: Run, app: Flask, alice: Caller, bob: Caller, clock: Clock
) -> None:
    create(alice, 7)
    with_scorer(app, clock, raises)
    assert "the scorer raised" in run("user", "remove", "alice", "--yes", "--leads-to=bob", code=1)
    assert (companies(alice), companies(bob)) == ([7], [])


def test_a_lead_on_its_way_is_not_left_behind(
    url: str, service: AppState, alice: Caller, bob: Caller
) -> None:
    """Its user was there when it was looked who calls, and is removed before it is stored."""

    def score(**_: Any) -> int:
        service.accounts.remove_user("alice", erase=True)
        return 50

    app = create_app({"LEADS_DATABASE": url})
    leads = LeadService(service.storage, score, has_own_users=True)
    app.extensions[EXTENSION] = app.extensions[EXTENSION]._replace(leads=leads)
    answer = app.test_client().post(
        "/v1/leads", json={"company_id": 1}, headers={"Authorization": f"Bearer {alice.token}"}
    )
    assert (answer.status_code, answer.json["message"]) == (401, "The user has been removed.")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=leads")
    assert rows_of(service, alice.id) == 0


def test_without_a_terminal_nobody_is_asked(run: Run, alice: Caller) -> None:
    create(alice, 7)
    message = run("user", "remove", "alice", "--erase", code=1)
    assert "Remove alice and erase 1 lead?" in message
    assert "--yes" in message
    assert companies(alice) == [7]


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 2), ("\n", 1, 2)])
def test_on_a_terminal_it_asks(
    service: AppState, alice: Caller, url: str, typed: str, code: int, left: int
) -> None:
    create(alice, 7)
    create(alice, 8)
    person, terminal = pty.openpty()
    os.write(person, typed.encode())
    done = subprocess.run(
        [BIN / "leads-service", "user", "remove", "alice", "--erase"],
        env=os.environ | {"LEADS_DATABASE": url},
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    os.close(person)
    assert done.returncode == code
    assert "Remove alice and erase 2 leads? [y/N]" in done.stdout + done.stderr
    assert rows_of(service, alice.id) == left


# Reassigning


@pytest.mark.usefixtures("scored_by_user")
def test_reassign_with_filters(run: Run, alice: Caller, bob: Caller, clock: Clock) -> None:
    for company_id in (7, 8, 9):
        create(alice, company_id)
        clock.move(days=1)
    words = ("reassign", "--from", "alice", "--to", "bob", "--created-after", "2026-11-23")
    assert run(*words, "--company-id", "8") == "1 lead reassigned.\n"
    assert (companies(alice), companies(bob)) == ([9, 7], [8])
    assert leads(bob)[0]["score"] == bob.id
    assert leads(bob)[0]["updated_at"] == "2026-11-25T22:03:11.123456Z"
    assert run(*words) == "1 lead reassigned.\n"
    assert run(*words) == "0 leads reassigned.\n"
    assert "--min-score: Must be from 0 to 100." in run(*words, "--min-score", "101", code=2)


def test_reassign_to_nobody(run: Run, alice: Caller) -> None:
    create(alice, 7)
    for name, part in (("alice", "both are the same user"), ("bob", "there is no user 'bob'")):
        assert part in run("reassign", "--from", "alice", "--to", name, code=1)
    assert companies(alice) == [7]


def test_to_a_user_who_is_removed_meanwhile(run: Run, service: AppState, alice: Caller) -> None:
    create(alice, 7)
    with pytest.raises(Exception, match="the user with id 99 does not exist any more"):
        service.leads.reassign(alice.id, 99)
    assert companies(alice) == [7]


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({}, "2026-11-22T22:03:11.123457Z"),
        ({"seconds": -1}, "2026-11-22T22:03:11.123457Z"),
        ({"seconds": 1}, "2026-11-22T22:03:12.123456Z"),
    ],
)
def test_two_states_of_a_lead_never_have_the_same_time(
    run: Run, alice: Caller, bob: Caller, clock: Clock, moved: dict[str, int], expected: str
) -> None:
    create(alice, 7)
    clock.move(**moved)
    run("reassign", "--from", "alice", "--to", "bob")
    assert leads(bob)[0]["updated_at"] == expected


def test_a_lead_of_the_last_moment_there_is(run: Run, alice: Caller, bob: Caller) -> None:
    last = "9999-12-31T23:59:59.999999Z"
    runner = alice.client.application.test_cli_runner()
    words = ["leads", "import", "-", "--format", "csv", "--user", "alice"]
    runner.invoke(args=words, input=f"company_id,created_at\n7,{last}\n")
    assert run("reassign", "--from", "alice", "--to", "bob") == "1 lead reassigned.\n"
    assert leads(bob)[0]["updated_at"] == last


@pytest.mark.parametrize("many", [1, 10_000])
def test_many_leads_all_or_none(
    run: Run,
    app: Flask,
    service: AppState,
    alice: Caller,
    bob: Caller,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    many: int,
) -> None:
    """Whether the indexes stay or are made anew."""
    monkeypatch.setattr(storage, "MIN_ROWS_TO_REINDEX", many)
    count = MOVE_BATCH + 1
    for company_id in range(1, count + 1):
        service.leads.create(alice.id, {"company_id": company_id})

    def score(*, company_id: int, **_: Any) -> int:
        if company_id == count:
            raise RuntimeError("the last one")
        return 50

    def indexes() -> list[tuple[str, str]]:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name"
        return service.storage.database.execute_sql(query).fetchall()

    before = indexes()
    with pytest.raises(ScorerError, match="the last one"):
        with_scorer(app, clock, score).reassign(alice.id, bob.id)
    app.extensions[EXTENSION] = service
    assert service.leads.count(alice.id) == count
    assert leads(alice)[-1]["score"] == 10
    assert run("reassign", "--from", "alice", "--to", "bob") == f"{count} leads reassigned.\n"
    assert service.leads.count(bob.id) == count
    removed = run("user", "remove", "bob", "--erase", "--yes")
    assert removed == f"bob is removed, {count} leads erased.\n"
    assert rows_of(service, bob.id) == 0
    assert indexes() == before
    assert service.storage.database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_keys_hold_for_both_users(run: Run, service: AppState, alice: Caller, bob: Caller) -> None:
    """Whichever of the two sends a create again, no second lead is made."""
    moved, kept = (create(alice, company_id, key=f"k{company_id}").json for company_id in (7, 8))
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "7")
    again = create(bob, 7, key="k7")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json["id"] == moved["id"]
    keys = Idempotency.select(Idempotency.user_id, Idempotency.key, Idempotency.lead_id)
    assert set(keys.tuples().execute(service.storage.database)) == {
        (alice.id, "k7", moved["id"]),
        (alice.id, "k8", kept["id"]),
        (bob.id, "k7", moved["id"]),
    }
    headers = {"Idempotency-Key": "k7"}
    answer = alice.client.post("/v1/leads", json={"company_id": 7}, headers=headers)
    assert answer.status_code == 410
    run("reassign", "--from", "bob", "--to", "alice")
    assert create(alice, 7, key="k7").json["id"] == moved["id"]


def test_a_walk_goes_on_where_a_lead_stood_that_is_anothers_now(
    run: Run, alice: Caller, bob: Caller, clock: Clock
) -> None:
    ids = []
    for company_id in (7, 8, 9):
        ids.append(create(alice, company_id).json["id"])
        clock.move(seconds=1)
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "8")
    page = alice.client.get(f"/v1/leads?cursor={ids[1]}").json
    assert [lead["company_id"] for lead in page["data"]] == [7]
    run("reassign", "--from", "bob", "--to", "alice")
    run("reassign", "--from", "alice", "--to", "bob", "--company-id", "8")
    assert bob.client.delete(f"/v1/leads/{ids[1]}").status_code == 204
    assert bob.client.get(f"/v1/leads?cursor={ids[1]}").status_code == 200


def test_a_key_of_both_users(run: Run, alice: Caller, bob: Caller) -> None:
    create(alice, 7, key="k")
    own = create(bob, 8, key="k").json
    run("reassign", "--from", "alice", "--to", "bob")
    again = create(bob, 8, key="k")
    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (own["id"], "true")
    assert companies(bob) == [8, 7]


# In a host


@pytest.fixture
def database(tmp_path: Path) -> Any:
    database = SqliteDatabase(str(tmp_path / "host.db"))
    yield database
    database.close()


@pytest.fixture
def host(database: SqliteDatabase) -> Flask:
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


@pytest.mark.parametrize("forgets", [False, True])
def test_an_id_that_is_used_again_brings_the_leads_to_a_stranger(
    host: Flask, database: SqliteDatabase, forgets: bool
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


def test_an_id_that_is_not_used_again(database: SqliteDatabase) -> None:
    """What the README tells hosts to use."""

    class Employee(Model):
        id = AutoIncrementField()

        class Meta:
            database = None

    with database.bind_ctx([Employee]):
        database.create_tables([Employee])
        last = Employee.create()
        last.delete_instance()
        assert Employee.create().id == last.id + 1


def test_a_host_forgets_a_user(host: Flask, database: SqliteDatabase) -> None:
    ada, bob = as_user(host, 7), as_user(host, -8)
    create(ada, 1, notes="hush, a secret " * 100)
    create(bob, 2)
    database.close()
    assert forget_user(host, 7) == 1
    assert forget_user(host, 7) == 0
    assert database.is_closed()
    assert (companies(ada), companies(bob)) == ([], [2])
    assert forget_user(host, -8) == 1


def test_what_a_host_forgets_is_overwritten(host: Flask, database: SqliteDatabase) -> None:
    create(as_user(host, 7), 1, notes="hush, a secret " * 100)
    database.connect()
    database.pragma("secure_delete", 0)
    assert b"hush" in Path(database.database).read_bytes()
    forget_user(host, 7)
    assert b"hush" not in Path(database.database).read_bytes()


def test_a_host_reassigns_a_user(host: Flask, database: SqliteDatabase) -> None:
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
def test_in_a_transaction_of_the_hosts(host: Flask, database: SqliteDatabase, begins: str) -> None:
    ada, bob, eve = (as_user(host, user_id) for user_id in (7, 8, 9))
    create(ada, 1)
    create(bob, 2)
    database.connect(reuse_if_open=True)
    connection = database.connection()
    if begins == "atomic":
        with database.atomic() as transaction:
            assert (forget_user(host, 7), reassign_user(host, 8, 9)) == (1, 1)
            transaction.rollback()
    else:
        database.execute_sql("BEGIN")
        assert (forget_user(host, 7), reassign_user(host, 8, 9)) == (1, 1)
        database.execute_sql("ROLLBACK")
    assert database.connection() is connection, "what the host opened stays open"
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
        forget_user("host", 1)  # type: ignore[arg-type]
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
