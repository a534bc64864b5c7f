"""Transactions that PostgreSQL ends for the sake of another: deadlocks, serialization failures."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psycopg
import pytest

from leads_service.retries import ATTEMPTS, retry_conflicts
from leads_service.storage import open_storage
from tests import postgres
from tests.helpers import Caller
from tests.storage.engines import postgres_url
from tests.storage.test_conformance import insert

# A sequence is not rolled back, so it counts the transactions that have been tried.
FAILING = """
CREATE SEQUENCE attempt;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('attempt') <= {times} THEN
        RAISE EXCEPTION 'lost' USING ERRCODE = '{state}';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON leads_lead
{when} FOR EACH ROW EXECUTE FUNCTION fail();
"""
WORKING = """
DROP TRIGGER IF EXISTS fail ON leads_lead;
DROP FUNCTION IF EXISTS fail;
DROP SEQUENCE IF EXISTS attempt;
"""
AT_ONCE, AT_COMMIT = "", "DEFERRABLE INITIALLY DEFERRED"
SERIALIZATION, DEADLOCK = "40001", "40P01"

Fail = Callable[..., None]


@pytest.fixture(params=["postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fail(postgresql_database: str) -> Iterator[Fail]:
    """Let every write to a lead fail for the first times."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:

        def fail(times: int, state: str = SERIALIZATION, when: str = AT_ONCE) -> None:
            sql = FAILING.format(times=times, state=state, when=when)
            connection.execute(sql.encode())

        yield fail
        connection.execute(WORKING.encode())


@pytest.mark.parametrize("state", [SERIALIZATION, DEADLOCK])
@pytest.mark.parametrize("when", [AT_ONCE, AT_COMMIT])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
def test_a_create_is_tried_again(
    alice: Caller, fail: Fail, state: str, when: str, headers: dict[str, str]
) -> None:
    fail(ATTEMPTS - 1, state, when)
    response = alice.client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert response.status_code == 201
    assert alice.client.get("/v1/leads").get_json()["data"] == [response.get_json()]


@pytest.mark.parametrize("when", [AT_ONCE, AT_COMMIT])
def test_a_change_and_a_deletion_are_tried_again(alice: Caller, fail: Fail, when: str) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    path = f"/v1/leads/{lead['id']}"
    fail(1, when=when)
    assert alice.client.patch(path, json={"notes": "a"}).get_json()["notes"] == "a"
    assert alice.client.delete(path).status_code == 204
    assert alice.client.get(path).status_code == 404


@pytest.mark.parametrize("when", [AT_ONCE, AT_COMMIT])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
def test_conflicts_without_end_are_503(
    alice: Caller, fail: Fail, when: str, headers: dict[str, str]
) -> None:
    fail(ATTEMPTS, when=when)
    response = alice.client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "not known" not in response.get_json()["message"]
    assert alice.client.get("/v1/leads").get_json()["data"] == []
    response = alice.client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert response.status_code == 201


def test_the_victim_of_a_deadlock_tries_again(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)
    # Who has waited for this long looks for a deadlock, once: it shall be ours.
    storage = open_storage(url + "?options=-c%20deadlock_timeout%3D10ms")
    storage.migrate()
    first, second = insert(storage)["id"], insert(storage)["id"]
    tries: list[int] = []
    has_first, go_on = Event(), Event()

    @retry_conflicts
    def lock_both() -> None:
        with storage.opened(), storage.writing():
            tries.append(1)
            storage.lead(1, first, for_update=True)
            has_first.set()
            go_on.wait()
            storage.lead(1, second, for_update=True)

    lock = "SELECT 1 FROM leads_lead WHERE id = %s FOR UPDATE"
    with (
        psycopg.connect(url + "?options=-c%20deadlock_timeout%3D1h") as other,
        ThreadPoolExecutor(2) as pool,
    ):
        other.execute(lock.encode(), (second,))
        ours = pool.submit(lock_both)
        has_first.wait()
        theirs = pool.submit(other.execute, lock.encode(), (first,))
        postgres.wait_for_waiting(url)
        go_on.set()  # closes the circle
        theirs.result()
        other.rollback()
        ours.result()
    assert len(tries) == 2
    storage.dispose()


def test_an_error_of_another_kind_is_not_tried_again(alice: Caller, fail: Fail) -> None:
    fail(1, "53200")  # out of memory
    assert alice.client.post("/v1/leads", json={"company_id": 1}).status_code == 503


@pytest.mark.parametrize("state", ["08006", "57014", "XX000"])
def test_an_answer_that_a_node_of_citus_did_not_give(alice: Caller, fail: Fail, state: str) -> None:
    """The statement that commits says that nothing is known; within a transaction it is."""
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    path = f"/v1/leads/{lead['id']}"
    fail(2, state)
    created = alice.client.post("/v1/leads", json={"company_id": 1})
    changed = alice.client.patch(path, json={"notes": "a"})
    assert [created.status_code, changed.status_code] == [503, 503]
    assert "not known" in created.get_json()["message"]
    assert "nothing was stored" in changed.get_json()["message"]


@pytest.mark.parametrize("state", ["08006", "57014", "XX000"])
def test_a_commit_that_a_node_of_citus_did_not_answer(
    alice: Caller, fail: Fail, state: str
) -> None:
    lead = alice.client.post("/v1/leads", json={"company_id": 1}).get_json()
    fail(1, state, AT_COMMIT)
    changed = alice.client.patch(f"/v1/leads/{lead['id']}", json={"notes": "a"})
    assert changed.status_code == 503
    assert "not known" in changed.get_json()["message"]
