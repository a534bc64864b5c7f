"""How the store comes to be and how it is brought up to date."""

from pathlib import Path
from threading import Timer

import pytest

from leads_service import create_app
from leads_service.exceptions import StorageUnusableError
from tests.helpers import MIGRATIONS, TABLES, Caller, Run, connect, dump, tables


def test_migrations_keep_their_names() -> None:
    """They stand in the databases to which they have been applied."""
    known = ("0001_initial", "0002_idempotency", "0003_deleted", "0004_history")
    assert MIGRATIONS[:4] == known


@pytest.mark.slow
def test_a_start_waits_for_another_one(url: str) -> None:
    """The other one is about to make the new file a store when this one wants to."""
    with connect(url) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = Timer(0.5, other.rollback)
        timer.start()
        try:
            create_app({"LEADS_DATABASE": url})
        finally:
            timer.join()
    assert tables(url) == TABLES


def test_migrations_are_idempotent(invoke: Run, alice: Caller, url: str) -> None:
    assert alice.client.post("/v1/leads", json={"company_id": 42}).status_code == 201
    before = dump(url)
    create_app({"LEADS_DATABASE": url})
    again = invoke("db", "migrate")
    assert (again.code, again.stdout) == (0, "The schema is up to date.\n")
    assert dump(url) == before


def test_nothing_is_migrated_unless_asked_for(url: str, tmp_path: Path) -> None:
    create_app({"LEADS_DATABASE": url}, migrate=False)
    assert list(tmp_path.iterdir()) == []


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE leads_lead (mine)")
    with pytest.raises(StorageUnusableError, match="table leads_lead already exists") as error:
        create_app({"LEADS_DATABASE": url})
    assert "\n" not in str(error.value)
    assert tables(url) == ["leads_lead"]
    with connect(url) as connection:
        connection.execute("DROP TABLE leads_lead")
    create_app({"LEADS_DATABASE": url})
    assert tables(url) == TABLES


def assert_names_it(line: str) -> None:
    assert "9999_teams" in line
    assert "install the version that made it" in line
    assert "\n" not in line


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_store(newer: str, migrate: bool) -> None:
    before = dump(newer)
    if migrate:
        with pytest.raises(StorageUnusableError) as error:
            create_app({"LEADS_DATABASE": newer})
        assert_names_it(str(error.value))
    else:
        create_app({"LEADS_DATABASE": newer}, migrate=False)
    assert dump(newer) == before
