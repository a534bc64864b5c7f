"""On a cluster of Citus, every statement of a request concerns one user, and so goes to one shard.

Where there is no Citus, the statements' text shows it.
"""

import logging
import re
from collections.abc import Iterator

import psycopg
import pytest
from click.testing import CliRunner

from leads_service.app import create_app
from leads_service.cli import commands
from leads_service.exceptions import UserGoneError
from leads_service.lead import FILTERS
from leads_service.state import AppState, state_of
from leads_service.storage import open_storage
from leads_service.storage.base import Figure
from leads_service.storage.postgresql.distribution import ON_ALL_NODES, OWNED, REFER_TO_OWNER
from tests import postgres
from tests.helpers import Caller, Clock
from tests.storage.test_conformance import insert
from tests.storage.test_postgresql_plans import value_of

LEADS = "company_id,status\n1,new\n2,lost\n3,new\n"

with_citus = pytest.mark.skipif(not postgres.has_citus(), reason="the server has no Citus")

PEEWEE = logging.getLogger("peewee")
Statement = tuple[str, tuple[object, ...]]


TIMES = "2026-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"


class Recorder(logging.Handler):
    """Keeps the statements that Peewee runs."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[Statement] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, tuple)
        sql, parameters = record.msg
        self.statements.append((sql, tuple(parameters or ())))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    level = PEEWEE.level
    PEEWEE.setLevel(logging.DEBUG)
    PEEWEE.addHandler(recorder)
    yield recorder
    PEEWEE.removeHandler(recorder)
    PEEWEE.setLevel(level)


def run_requests(caller: Caller) -> None:
    """Send every kind of request."""
    client, path = caller.client, "/v1/leads"
    leads = [client.post(path, json={"company_id": 1}).get_json() for _ in range(3)]
    for _ in range(2):
        created = client.post(path, json={"company_id": 1}, headers={"Idempotency-Key": "key"})
        assert created.status_code in (200, 201)
    asked = [{}, *({name: value_of(one)} for name, one in FILTERS.items())]
    for filters in asked:
        for last in ({}, {"cursor": leads[1]["id"]}):
            found = client.get(path, query_string={"limit": 1} | filters | last)
            assert found.status_code == 200
    first = f"{path}/{leads[0]['id']}"
    for change in ({"notes": "a"}, {"status": "contacted"}):
        assert client.patch(first, json=change).status_code == 200
    for company_id in (None, 1):
        state_of(client.application).leads.progress(caller.id, company_id=company_id)
        for event, status in (("reached", "contacted"), ("became", "lost"), ("left", "new")):
            figure = Figure(event, status, *TIMES, company_id)
            for after in (None, (TIMES[1], 1) if event != "left" else (1, 1)):
                state_of(client.application).leads.drill_down(caller.id, figure, after=after)
    assert client.get(first).status_code == 200
    assert client.delete(first).status_code == 204
    assert client.get(path, query_string={"cursor": leads[0]["id"]}).status_code == 200


@pytest.fixture(params=["postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def refers_to_owner(postgresql_database: str) -> Iterator[None]:
    """Have the foreign key of a distributed database."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute(REFER_TO_OWNER.encode())
        yield
        connection.execute("ALTER TABLE leads_lead DROP CONSTRAINT leads_lead_owner")


def test_a_statement_concerns_one_user(
    refers_to_owner: None, alice: Caller, recorder: Recorder
) -> None:
    run_requests(alice)
    assert len(recorder.statements) > 50
    for sql, _ in recorder.statements:
        tables = re.findall(r'(FROM|JOIN|INTO|UPDATE) "(leads_\w+)"', sql)
        read = [table for how, table in tables if how != "INTO"]
        if {table for _, table in tables} <= {*OWNED}:
            assert sql.count('"user_id" = %s') >= len(read), sql
            assert read or not tables or re.search(r'"user_id"[^)]*\) VALUES', sql), sql
        else:
            assert {*read} <= {*ON_ALL_NODES}, f"asks for both kinds of tables: {sql}"
            assert " FOR " not in sql, f"a lock, for which Citus asks all nodes: {sql}"


def test_the_use_of_a_token_is_not_written_with_each_request(
    alice: Caller, recorder: Recorder, clock: Clock
) -> None:
    run_requests(alice)
    uses = [sql for sql, _ in recorder.statements if sql.startswith('UPDATE "leads_token"')]
    assert len(uses) == 1
    clock.move(minutes=1)
    run_requests(alice)
    uses = [sql for sql, _ in recorder.statements if sql.startswith('UPDATE "leads_token"')]
    assert len(uses) == 2


def test_a_lead_of_a_user_who_is_gone(
    refers_to_owner: None, alice: Caller, service: AppState
) -> None:
    """The foreign key says what the query says elsewhere."""
    service.accounts.remove_user("alice")
    with pytest.raises(UserGoneError):
        service.leads.create(alice.id, {"company_id": 1})


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("erase", [True, False], ids=["erased", "given away"])
def test_a_lead_that_comes_while_its_owner_is_removed(
    refers_to_owner: None,
    alice: Caller,
    bob: Caller,
    service: AppState,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    erase: bool,
    is_before: bool,
) -> None:
    """Nobody waits for the lock on the user, as on Citus, where the foreign key looks elsewhere."""
    storage, other = service.storage, open_storage(postgresql_url)
    find, forget = storage.user_id, storage.forget_user
    forgotten: list[int] = []

    def forget_and_store(user_id: int, **options: bool) -> int:
        if not forgotten and is_before:
            insert(other, user_id)
        forgotten.append(forget(user_id, **options))
        if len(forgotten) == 1 and not is_before:
            insert(other, user_id)
        return forgotten[-1]

    monkeypatch.setattr(storage, "user_id", lambda name, **_: find(name))
    monkeypatch.setattr(storage, "forget_user", forget_and_store)
    service.accounts.remove_user("alice", leads_to=None if erase else "bob", erase=erase)
    assert service.leads.count(alice.id) == 0
    assert service.leads.count(bob.id) == (0 if erase else 1)
    other.dispose()


@with_citus
@pytest.mark.parametrize("engine_name", ["citus"], indirect=True)
def test_a_statement_goes_to_one_shard(
    citus_url: str, alice: Caller, service: AppState, recorder: Recorder
) -> None:
    run_requests(alice)
    explained = 0
    with psycopg.connect(citus_url) as connection:
        for sql, parameters in recorder.statements:
            if "leads_" in sql and sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                cursor = psycopg.ClientCursor(connection)
                plan = cursor.execute(f"EXPLAIN {sql}".encode(), parameters).fetchall()
                tasks = re.findall(r"Task Count: (\d+)", "\n".join(line for (line,) in plan))
                assert tasks == ["1"], sql
                explained += 1
    assert explained > 50


@with_citus
def test_what_is_distributed_holds_what_it_held() -> None:
    """A second time there is nothing to do."""
    name = "leads_distributing"
    url = postgres.migrated(name)
    runner = CliRunner(env={"LEADS_DATABASE": url})

    def run(*arguments: str) -> str:
        return runner.invoke(commands, arguments, catch_exceptions=False).output

    refused = run("db", "distribute")
    assert "CREATE EXTENSION citus" in refused
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION citus")
    run("user", "add", "alice")
    (token,) = re.findall(r"^leads_\S+$", run("token", "create", "alice"), re.MULTILINE)
    runner.invoke(commands, ["import", "-", "--user", "alice", "--format", "csv"], input=LEADS)
    exported = run("export")
    assert exported.count("\n") == 4
    assert run("db", "distribute").split() == [
        word for name in (*ON_ALL_NODES, *OWNED) for word in ("distributed", name)
    ]
    assert run("db", "distribute") == "The tables are distributed already.\n"
    assert run("export") == exported
    assert "leads_" in run("token", "create", "alice")
    assert run("user", "add", "bob") == "2\n"
    app = create_app({"LEADS_DATABASE": url})
    client = app.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    assert len(client.get("/v1/leads", headers=headers).get_json()["data"]) == 3
    assert client.post("/v1/leads", json={"company_id": 9}, headers=headers).status_code == 201
    state_of(app).storage.dispose()
    with psycopg.connect(url) as connection:
        ((size,),) = connection.execute("SELECT pg_table_size('leads_lead')").fetchall()
    assert size <= 16384, "the coordinator keeps no copy"
