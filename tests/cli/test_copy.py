"""The command copy: everything in another database, of the other engine or of the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from peewee import Model

from leads_service import create_app
from leads_service.copying import copy
from leads_service.exceptions import StorageUnusableError
from leads_service.state import AppState, state_of
from leads_service.storage import models, open_storage
from leads_service.storage.base import Storage
from leads_service.storage.sqlite.storage import SqliteStorage
from tests import postgres
from tests.helpers import MIGRATIONS, NOW, Caller, Run, assert_misused, assert_refused

TARGETS = ["sqlite", "postgresql"] if postgres.IS_THERE else ["sqlite"]


@pytest.fixture(params=TARGETS)
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'copy.db'}"
        return
    with postgres.scratch() as url:
        yield url


@pytest.fixture
def copied(target_url: str, clock: Callable[[], Any]) -> Iterator[AppState]:
    """The service on the copy, when it has been made."""
    app = create_app({"LEADS_DATABASE": target_url, "LEADS_LOG_LEVEL": "error"}, clock=clock)
    yield state_of(app)
    state_of(app).storage.dispose()


@contextmanager
def opened(url: str) -> Iterator[Storage]:
    storage = open_storage(url)
    storage.migrate()
    with storage.opened():
        yield storage
    storage.dispose()


def content(storage: Storage) -> dict[str, list[Any]]:
    with storage.opened():
        return {table: list(storage.rows(table)) for table in models.TABLES}


def fill(alice: Caller, bob: Caller, clock: Any) -> None:
    """Leads with all kinds of text, a key, deleted leads, a last id that is gone, a used token."""
    for notes in ("", 'a "quoted"\r\nline\t\\N \\. \\', "東京, שלום, 😀", "\ufeff", "\x01\x7f"):
        clock.move(seconds=1)
        alice.client.post("/v1/leads", json={"company_id": 2**63 - 1, "notes": notes})
    newest = alice.client.get("/v1/leads?limit=1").get_json()["data"][0]["id"]
    alice.client.patch(f"/v1/leads/{newest}", json={"status": "lost"})
    bob.client.post("/v1/leads", json={"company_id": 2}, headers={"Idempotency-Key": "k"})
    for _ in range(2):
        last = bob.client.post("/v1/leads", json={"company_id": 3}).get_json()
        assert bob.client.delete(f"/v1/leads/{last['id']}").status_code == 204


@pytest.fixture
def filled(alice: Caller, bob: Caller, clock: Any) -> None:
    fill(alice, bob, clock)


def test_everything_is_there_afterwards(
    run: Run, service: AppState, alice: Caller, bob: Caller, clock: Any, target_url: str
) -> None:
    fill(alice, bob, clock)
    page = alice.client.get("/v1/leads?limit=2").get_json()
    highest = service.storage.last_ids()
    before = content(service.storage)
    answer = run("copy", "--to", target_url)
    assert answer.stderr == "", "the bar is for a terminal"
    assert answer.stdout.splitlines()[:6] == [
        "        2 users",
        "        2 tokens",
        "        6 leads",
        "        1 status changes",
        "        1 idempotency keys",
        "        2 positions of deleted leads",
    ]
    with opened(target_url) as storage:
        assert content(storage) == before
        assert storage.last_ids() == highest
        assert storage.problems() == []
    # The tokens, the keys and the cursors are good on the copy, too.
    app = create_app({"LEADS_DATABASE": target_url, "LEADS_LOG_LEVEL": "error"}, clock=clock)
    client = app.test_client()

    def call(user: Caller, method: str, path: str, **request: Any) -> Any:
        headers = {"Authorization": f"Bearer {user.token}"} | request.pop("headers", {})
        return client.open(path, method=method, headers=headers, **request)

    for user, cursor in ((alice, page["next_cursor"]), (bob, highest["leads_lead"])):  # deleted
        rest = f"/v1/leads?cursor={cursor}"
        answer = call(user, "GET", rest)
        assert answer.status_code == 200
        assert answer.get_json() == user.client.get(rest).get_json()
    headers = {"Idempotency-Key": "k"}
    again = call(bob, "POST", "/v1/leads", json={"company_id": 2}, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    new = call(alice, "POST", "/v1/leads", json={"company_id": 1}).get_json()
    assert new["id"] > highest["leads_lead"]
    state_of(app).storage.dispose()


def test_there_and_back(
    run: Run, service: AppState, filled: None, target_url: str, tmp_path: Path
) -> None:
    before = content(service.storage)
    run("copy", "--to", target_url)
    with opened(target_url) as there, opened(f"sqlite:///{tmp_path / 'back.db'}") as back:
        copy(there, back, lambda _: None)
        assert content(back) == before


def test_an_id_that_no_sequence_gave(service: AppState, alice: Caller, copied: AppState) -> None:
    with service.storage.opened(), service.storage.writing():
        service.storage.insert_rows("leads_user", [(1000, "carol", NOW)])
    copy(service.storage, copied.storage, lambda _: None)
    assert copied.accounts.add_user("dave") == 1001


def test_a_target_that_has_data(run: Run, alice: Caller, copied: AppState, target_url: str) -> None:
    copied.accounts.add_user("carol")
    assert_refused(run("copy", "--to", target_url, code=1), "has data already")
    assert [user["name"] for user in copied.accounts.users()] == ["carol"]


def test_a_target_that_gets_data_just_before(
    service: AppState, alice: Caller, copied: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def migrate(intact: Any = copied.storage.migrate) -> None:
        intact()
        copied.accounts.add_user("carol")

    monkeypatch.setattr(copied.storage, "migrate", migrate)
    with pytest.raises(StorageUnusableError, match="has data already"):
        copy(service.storage, copied.storage, lambda _: None)
    assert [user["name"] for user in copied.accounts.users()] == ["carol"]


def test_what_is_written_meanwhile_is_not_copied(
    run: Run, service: AppState, filled: None, url: str, target_url: str
) -> None:
    before = content(service.storage)

    def rows(table: str, intact: Any = service.storage.rows) -> Iterator[Any]:
        yield from intact(table)
        if table == "leads_user":  # the first one
            with opened(url) as another, another.writing():
                another.insert_rows("leads_deleted", [(1, 99, NOW)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.storage, "rows", rows)
        run("copy", "--to", target_url)
    with opened(target_url) as storage:
        assert content(storage) == before
    assert (1, 99, NOW) in content(service.storage)["leads_deleted"]


def test_a_copy_that_is_interrupted_leaves_nothing(
    run: Run, service: AppState, filled: None, target_url: str
) -> None:

    def rows(table: str, intact: Any = service.storage.rows) -> Iterator[Any]:
        for row in intact(table):
            if table == "leads_deleted":  # the last one
                raise KeyboardInterrupt
            yield row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.storage, "rows", rows)
        assert "Aborted!" in run("copy", "--to", target_url, code=1).stderr
    with opened(target_url) as storage:
        assert not any(content(storage).values())
    run("copy", "--to", target_url)
    with opened(target_url) as storage:
        assert content(storage) == content(service.storage)


def changed(rows: Iterator[Any]) -> Iterator[Any]:
    """Change a text of every row."""
    for row in rows:
        column = max(i for i, value in enumerate(row) if isinstance(value, str))
        yield (*row[:column], row[column].replace("1", "2"), *row[column + 1 :])


def without_first(rows: Iterator[Any]) -> Iterator[Any]:
    next(rows)
    yield from rows


@pytest.mark.parametrize("fault", [changed, without_first])
@pytest.mark.parametrize("spoilt", models.TABLES)
def test_a_copy_that_differs_is_not_kept(
    run: Run,
    filled: None,
    copied: AppState,
    monkeypatch: pytest.MonkeyPatch,
    spoilt: str,
    fault: Callable[[Any], Any],
) -> None:

    def insert(table: str, rows: Any, intact: Any = copied.storage.insert_rows) -> None:
        """Store something else, as a fault of the target's or ours would."""
        intact(table, fault(rows) if table == spoilt else rows)

    monkeypatch.setattr(copied.storage, "insert_rows", insert)
    monkeypatch.setattr("leads_service.cli.copying.open_storage", lambda _: copied.storage)
    assert_refused(run("copy", "--to", "it", code=1), f"has not kept {spoilt} as it was")
    assert not any(content(copied.storage).values())


def test_progress_counts_each_row_twice(
    service: AppState, alice: Caller, copied: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_service.copying.STEP", 1)
    steps: list[int] = []
    copy(service.storage, copied.storage, steps.append)
    assert sum(steps) == 2 * sum(map(len, content(service.storage).values()))


def test_every_table_is_copied() -> None:
    """A model that is not in the list would be left out."""
    defined = {it for it in vars(models).values() if isinstance(it, type) and issubclass(it, Model)}
    assert {*models.TABLES.values()} == defined - {Model}


def test_wrong_calls(run: Run, alice: Caller, tmp_path: Path) -> None:
    assert_misused(run("copy", code=2), "--to")
    for to in ("mysql://x", "", "disk:copy.db"):
        assert_misused(run("copy", "--to", to, code=2), "--to must be sqlite:///")
    missing = tmp_path / "missing" / "copy.db"
    assert_misused(run("copy", "--to", missing, code=2), "--to: the folder", "create it")


def test_a_path(run: Run, service: AppState, alice: Caller, tmp_path: Path) -> None:
    file = tmp_path / "100 % #copy.db"
    assert f"copied to {file};" in run("copy", "--to", file).stdout
    with opened(f"sqlite:///{quote(str(file))}") as storage:
        assert content(storage) == content(service.storage)


def test_the_source_is_no_target(run: Run, service: AppState, alice: Caller, url: str) -> None:
    before = content(service.storage)
    assert_refused(run("copy", "--to", url, code=1), "has data already")
    assert content(service.storage) == before


def test_a_target_with_data_is_not_migrated(
    run: Run, of_sqlite: None, alice: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version that uses it goes on."""
    url = f"sqlite:///{tmp_path / 'older.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(SqliteStorage.migrations, "names", MIGRATIONS[:1])
        older = open_storage(url)
        older.migrate()
        with older.opened(), older.writing():
            older.add_user("carol", NOW)
        older.dispose()
    assert_refused(run("copy", "--to", url, code=1), "has data already")
    assert open_storage(url).pending_migrations() == list(MIGRATIONS[1:])


def test_an_empty_target_is_migrated(
    run: Run, of_sqlite: None, service: AppState, alice: Caller, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'older.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteStorage.migrations, "names", MIGRATIONS[:1])
        open_storage(url).migrate()
    run("copy", "--to", url)
    with opened(url) as storage:
        assert content(storage) == content(service.storage)
