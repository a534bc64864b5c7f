"""What is PostgreSQL's own: connections that break, commits of unknown outcome, many writers."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from peewee import PostgresqlDatabase

from leads_service import create_app
from leads_service._compat.peewee import execute
from leads_service.exceptions import (
    CommitOutcomeUnknownError,
    ConfigError,
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.leads import LeadService
from leads_service.scoring import points_by_stage
from leads_service.state import state_of
from leads_service.storage import open_storage
from leads_service.storage.base import Storage
from leads_service.storage.database import MAX_SWEPT_KEYS
from leads_service.storage.models import Idempotency
from leads_service.storage.postgresql import PostgresqlStorage
from leads_service.storage.postgresql.database import Connection
from leads_service.storage.postgresql.storage import MIGRATION_LOCK, NO_WAIT, SET_NO_WAIT
from tests import postgres
from tests.helpers import Clock, caller
from tests.storage.engines import postgres_name, postgres_url
from tests.storage.test_conformance import insert, leads_of, new


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = open_storage(postgres_url(tmp_path))
    storage.migrate()
    yield storage
    storage.dispose()


def break_connections(folder: Path) -> None:
    """End all connections to a database, as a restart of the server does."""
    postgres.terminate(postgres.server(), postgres_name(folder))


def backend_of(storage: PostgresqlStorage) -> int:
    """Return the id of the server's process that this thread is connected to."""
    return int(execute(storage.database, "SELECT pg_backend_pid()").fetchone()[0])


def test_a_connection_that_broke_while_idle_is_replaced(storage: Storage, tmp_path: Path) -> None:
    lead = insert(storage)
    storage.close()
    break_connections(tmp_path)
    storage.connect()
    assert leads_of(storage) == [lead]


def test_no_connection_survives_a_dispose(storage: Storage) -> None:
    """Or the processes that are forked after it would share it."""
    assert isinstance(storage, PostgresqlStorage)
    before = backend_of(storage)
    storage.dispose()
    assert backend_of(storage) != before


def test_a_connection_that_breaks_in_use_fails_once(storage: Storage, tmp_path: Path) -> None:
    lead = insert(storage)
    break_connections(tmp_path)
    with pytest.raises(StorageUnavailableError):
        storage.count(1, {})
    storage.close()
    assert leads_of(storage) == [lead]


def test_of_a_commit_without_an_answer_nothing_is_known(storage: Storage, tmp_path: Path) -> None:
    def work() -> None:
        with storage.writing():
            storage.insert_lead(new(), of_known_user=False)
            break_connections(tmp_path)

    with pytest.raises(CommitOutcomeUnknownError):
        work()
    storage.close()
    assert leads_of(storage) == []


def test_what_breaks_before_the_commit_is_known_not_to_be_stored(
    storage: Storage, tmp_path: Path
) -> None:
    def work() -> None:
        with storage.writing():
            break_connections(tmp_path)
            storage.insert_lead(new(), of_known_user=False)

    with pytest.raises(StorageUnavailableError) as error:
        work()
    assert not isinstance(error.value, CommitOutcomeUnknownError)
    storage.close()
    assert leads_of(storage) == []


def test_a_key_that_many_send_at_once_makes_one_lead(storage: Storage) -> None:
    service = LeadService(storage, points_by_stage)
    barrier = Barrier(8)

    def create(key: str) -> int:
        barrier.wait()
        with storage.opened():
            return int(service.create_once(1, key, {"company_id": 1})[0]["id"])

    with ThreadPoolExecutor(8) as pool:
        for key in map(str, range(5)):
            assert len(set(pool.map(create, [key] * 8))) == 1
    assert service.count(1) == 5


def test_changes_at_once_follow_one_another(storage: Storage) -> None:
    service = LeadService(storage, points_by_stage)
    lead = service.create(1, {"company_id": 1})
    barrier = Barrier(8)

    def change(text: str) -> str:
        barrier.wait()
        with storage.opened():
            return str(service.update(1, lead["id"], {"notes": text})["updated_at"])

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(change, map(str, range(8))))
    assert len(set(states)) == 8
    assert service.get(1, lead["id"])["updated_at"] == max(states)


def test_a_walk_misses_no_lead_while_others_commit_late(storage: Storage, tmp_path: Path) -> None:
    """A lead may become visible behind the cursor; those that were there are seen once each."""
    service = LeadService(storage, points_by_stage)
    other = open_storage(postgres_url(tmp_path))
    there = [service.create(1, {"company_id": 1})["id"] for _ in range(6)]
    seen: list[int] = []
    cursor = None
    with other.writing():
        other.insert_lead(
            new(created_at=service.get(1, there[3])["created_at"]), of_known_user=False
        )
        for _ in range(3):
            page = service.page(1, limit=2, cursor=cursor)
            seen += [lead["id"] for lead in leads_of_page(page.data)]
            cursor = page.next_cursor
            service.create(1, {"company_id": 2})
    other.dispose()
    assert seen == sorted(there, reverse=True)


@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE"])
def test_a_page_leaves_the_settings_of_a_host_alone(tmp_path: Path, begin: str) -> None:
    """It needs one of its own, in the host's transaction as well, which goes on afterwards."""
    database = PostgresqlDatabase(postgres_url(tmp_path), prefer_psycopg3=True, prepare_threshold=0)
    storage = open_storage(database)
    storage.migrate()
    storage.connect()
    if begin:
        execute(database, begin)
    lead = insert(storage)
    assert leads_of(storage) == [lead]
    assert execute(database, "SHOW enable_sort").fetchone() == ("on",)
    if begin:
        execute(database, "ROLLBACK")
    assert leads_of(storage) == ([] if begin else [lead])
    storage.close()


def test_whatever_the_plan_a_hundred_expired_keys_are_deleted_at_a_time(
    storage: PostgresqlStorage,
) -> None:
    """A nested loop may read a subquery once for each row, and find further keys each time."""
    first, second, third = (f"2026-11-0{day}T00:00:00.000000Z" for day in (1, 2, 3))
    claim = partial(storage.claim_key, 1, digest="0" * 64)
    with storage.opened():
        for kind in ("hashjoin", "mergejoin", "material", "hashagg"):
            execute(storage.database, f"SET enable_{kind} = off")
        for number in range(MAX_SWEPT_KEYS + 50):
            claim(key=f"old {number}", now=second, since=first)
        claim(key="new", now=third, since=second)
        assert Idempotency.select().count(storage.database) == 51


def leads_of_page(data: str) -> list[dict[str, int]]:
    return list(json.loads(data))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:hush@host:port:7/leads?nonsense=1",
        "postgresql://bob:hush@host/leads?passwd=hush",
        "postgresql://bob:hu%zzsh@host/leads",
        "postgresql://bob:hu@hush@host/leads",
        "postgresql://bob:hu/hush@host/leads",
        "postgresql://bob:1/hush@host/leads",
        "postgresql+psycopg://bob:hush@host/leads",
        "PostgreSQL://bob:hush@host/leads",
        "postgres:hush",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^LEADS_DATABASE must be postgresql://") as error:
        open_storage(url)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgres://bob:hush@host/leads", "postgresql://host/leads"),
        ("postgresql://bob:hu?sh@host:7/leads", "postgresql://host:7/leads"),
        ("postgresql://bob:hu#sh@[::1]:7/leads?user=b@d", "postgresql://::1:7/leads"),
        ("postgresql://bob:hush@a:1,b/leads", "postgresql://a:1,b/leads"),
        ("postgresql:///leads?host=a,b&port=7&password=hush", "postgresql://a:7,b:7/leads"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_a_location_is_no_secret(url: str, location: str) -> None:
    assert open_storage(url).location == location


@pytest.mark.parametrize(
    ("database", "location"),
    [
        ("leads", "leads"),
        ("host=a dbname=leads password=hush", "postgresql://a/leads"),
        ("postgresql://bob:hush@a/leads?nonsense=hush", "the database"),
    ],
)
def test_neither_is_that_of_a_host(database: str, location: str) -> None:
    storage = open_storage(PostgresqlDatabase(database, prefer_psycopg3=True))
    assert storage.location == location


def refusal(url: str) -> str:
    """Return what is said at the start about a database that can't be used."""
    with pytest.raises(StorageUnusableError) as error:
        open_storage(url).migrate()
    said = str(error.value)
    assert "\n" not in said
    assert "hush" not in said
    return said


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Have something for the block that is no PostgreSQL, and its address.

    Args:
        answer: What it says to who connects; None to say nothing.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1024)
                client.sendall(answer or b"")
                client.recv(1024)

        server = Thread(target=serve)
        if answer is not None:
            server.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        if answer is not None:
            server.join()


def message(kind: bytes, content: bytes) -> bytes:
    """Return a message of PostgreSQL's protocol."""
    return kind + (len(content) + 4).to_bytes(4) + content


OLD_SERVER = b"".join(
    (
        message(b"R", bytes(4)),
        message(b"S", b"server_version\0" + b"12.22\0"),
        message(b"S", b"server_encoding\0UTF8\0"),
        message(b"Z", b"I"),
    )
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (OLD_SERVER, "PostgreSQL 12 is too old; use 13 or newer"),
        (b"HTTP/1.1 400 Bad Request", "; check LEADS_DATABASE"),
        (message(b"E", b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"), "try again"),
        (message(b"E", b"SFATAL\0C57P03\0Mthe database system is shutting down\0\0"), "start it"),
        (message(b"E", b"SFATAL\0C53300\0Msorry, too many clients already\0\0"), "max_connections"),
        pytest.param(None, "check that it runs", marks=pytest.mark.slow),  # two seconds
    ],
)
def test_servers_that_are_of_no_use(answer: bytes | None, said: str) -> None:
    with listening(answer) as address:
        options = "sslmode=disable&gssencmode=disable&target_session_attrs=any"
        assert said in refusal(f"postgresql://bob:hush@{address}/leads?{options}")


def test_a_server_that_is_not_there() -> None:
    said = refusal(f"postgresql://bob:hush@127.0.0.1:{postgres.free_port()}/leads")
    assert "refused" in said
    assert said.endswith("; check LEADS_DATABASE")


def test_a_database_that_is_not_there() -> None:
    said = refusal(postgres.named(postgres.server(), "no_such_database"))
    assert said.endswith('"no_such_database" does not exist; check LEADS_DATABASE')


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding(encoding: str) -> None:
    with postgres.scratch(encoding=encoding) as url:
        assert "create the database with ENCODING 'UTF8'" in refusal(url)


def alter(folder: Path, change: str) -> None:
    """Alter the database that a folder stands for, and end all connections to it."""
    with psycopg.connect(postgres.server(), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {postgres_name(folder)} {change}".encode())
    break_connections(folder)


def test_a_database_that_can_only_be_read(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)
    alter(tmp_path, "SET default_transaction_read_only = on")
    assert "read-only; name the primary in LEADS_DATABASE" in refusal(url)


@pytest.mark.parametrize(
    "change", ["SET default_transaction_read_only = on", "ALLOW_CONNECTIONS false"]
)
def test_what_happens_to_a_database_under_way(tmp_path: Path, change: str) -> None:
    app = create_app({"LEADS_DATABASE": postgres_url(tmp_path)})
    alice = caller(app, "alice")
    state_of(app).storage.close()
    alter(tmp_path, change)
    for answer in (
        alice.client.get("/v1/leads"),
        alice.client.post("/v1/leads", json={"company_id": 1}),
        app.test_client().get("/healthz"),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
    alter(tmp_path, change.replace("= on", "= off").replace("false", "true"))
    assert alice.client.get("/v1/leads").status_code == 200
    state_of(app).storage.dispose()


@pytest.mark.parametrize(
    "setting",
    [
        "search_path = nowhere",
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'SQL, DMY'",
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
    ],
)
def test_settings_of_a_database(storage: Storage, tmp_path: Path, setting: str) -> None:
    """They are changed after the tables were made; all is found and stored as before."""
    notes = "é'\\\\ \U0001f600"
    first = insert(storage, notes=notes)
    storage.close()
    alter(tmp_path, f"SET {setting}")
    assert storage.exists()
    assert storage.migrate() == []
    second = insert(storage, notes=notes, company_id=2)
    assert leads_of(storage) == [second, first]


def test_tables_in_another_schema(storage: Storage, tmp_path: Path) -> None:
    other = f"{postgres_url(tmp_path)}?options=-c%20search_path%3Dother"
    assert "CREATE SCHEMA" in refusal(other)
    with psycopg.connect(postgres_url(tmp_path), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other")
    apart = open_storage(other)
    assert not apart.exists()
    assert apart.migrate()
    assert apart.exists()
    assert apart.migrate() == []
    lead = insert(apart)
    assert leads_of(apart) == [lead]
    assert leads_of(storage) == []
    apart.dispose()


def test_a_role_that_may_not_create_tables(tmp_path: Path) -> None:
    url, role = postgres_url(tmp_path), postgres_name(tmp_path)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM public")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'".encode())
        parts = urlsplit(url)
        own = f"{role}:hush@{parts.netloc.rpartition('@')[2]}"
        said = refusal(urlunsplit(parts._replace(netloc=own)))
        connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0".encode())
        too_many = refusal(urlunsplit(parts._replace(netloc=own)))
        connection.execute(f"DROP ROLE {role}".encode())
    assert said.endswith(f'GRANT CREATE ON SCHEMA public TO "{role}"')
    assert "raise max_connections of the server, or CONNECTION LIMIT" in too_many


def test_a_role_that_may_not_compare_indexes(storage: Storage, tmp_path: Path) -> None:
    """It reads all rows."""
    url, role = postgres_url(tmp_path), postgres_name(tmp_path)
    parts = urlsplit(url)
    own = f"{role}:hush@{parts.netloc.rpartition('@')[2]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION amcheck")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
        assert open_storage(urlunsplit(parts._replace(netloc=own))).problems() == []
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_starts_at_once_on_an_empty_database(tmp_path: Path) -> None:
    """One makes the tables; the others wait for it."""
    starts = 8
    storages = [open_storage(postgres_url(tmp_path)) for _ in range(starts)]
    barrier = Barrier(starts)

    def start(storage: Storage) -> list[str]:
        barrier.wait()
        applied = storage.migrate()
        storage.dispose()
        return applied

    with ThreadPoolExecutor(starts) as pool:
        applied = sorted(pool.map(start, storages))
    assert applied == [[]] * (starts - 1) + [list(PostgresqlStorage.migrations.names)]


def test_a_migration_waits_for_another_for_as_long_as_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "patience", 0.2)
    url = postgres_url(tmp_path)
    storage = open_storage(url)
    with psycopg.connect(url) as other, ThreadPoolExecutor() as pool:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        applied = pool.submit(storage.migrate)
        postgres.wait_for_waiting(url)
        other.execute("SELECT pg_sleep(0.5)")
        other.commit()
        assert applied.result() == list(PostgresqlStorage.migrations.names)
    storage.dispose()


SLOW_NOTE = """
    CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$;
    CREATE TRIGGER sleep BEFORE UPDATE ON leads_token FOR EACH ROW EXECUTE FUNCTION sleep();
"""


@pytest.mark.parametrize("waits", [NO_WAIT, 60_000], ids=["ended by the server", "given up"])
def test_the_use_of_a_token_that_can_t_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, waits: int
) -> None:
    """It delays one request, and fails none; the next ones do not try."""
    url = postgres_url(tmp_path)
    app = create_app({"LEADS_DATABASE": url}, clock=clock)
    alice = caller(app, "alice")
    storage = state_of(app).storage
    assert isinstance(storage, PostgresqlStorage)
    monkeypatch.setattr(Connection, "patience", None)
    slow = SET_NO_WAIT.replace(f"{NO_WAIT}ms", f"{waits}ms")
    monkeypatch.setattr("leads_service.storage.postgresql.storage.SET_NO_WAIT", slow)
    tried: list[Any] = []
    monkeypatch.setattr(storage, "no_wait", counting(storage.no_wait, tried))
    with psycopg.connect(url) as other:
        other.execute(SLOW_NOTE.encode())
    for _ in range(3):
        assert alice.client.get("/v1/leads").status_code == 200
        clock.move(minutes=1)
    assert len(tried) == 1
    storage.dispose()


def counting(method: Callable[[], Any], calls: list[Any]) -> Callable[[], Any]:
    """Return the method, each call of which adds to ``calls``."""

    def counted() -> Any:
        calls.append(None)
        return method()

    return counted


def test_an_index_that_lacks_a_row(storage: Storage, tmp_path: Path) -> None:
    """The extension amcheck finds it, if it is there."""
    ready = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'leads_lead_newest'::regclass"
    with psycopg.connect(postgres_url(tmp_path), autocommit=True) as superuser:
        superuser.execute(ready.format(False).encode())
        insert(storage)
        superuser.execute(ready.format(True).encode())
        assert storage.problems() == []
        superuser.execute("CREATE EXTENSION amcheck")
        superuser.execute('CREATE INDEX "it\'s" ON leads_lead (notes)')
        (problem,) = storage.problems()
        assert "leads_lead_newest" in problem
        superuser.execute("REINDEX INDEX leads_lead_newest")
    assert storage.problems() == []


@pytest.mark.skipif(not postgres.HAS_PROGRAMS, reason="needs a server to damage")
def test_a_page_that_is_damaged() -> None:
    server = postgres.Server(*postgres.FASTER)
    try:
        server.start()
        storage = open_storage(server.url)
        storage.migrate()
        insert(storage)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            found = connection.execute("SELECT pg_relation_filepath('leads_lead')").fetchone()
            assert found is not None
        storage.dispose()
        server.stop()
        file = server.folder / found[0]
        file.write_bytes(file.read_bytes()[:8000] + b"\xff" * 192)
        server.start()
        (problem,) = storage.problems()
        assert "invalid page" in problem
        storage.dispose()
    finally:
        server.remove()
