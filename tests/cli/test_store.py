"""The commands about the store, and the store that each command needs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from leads_service import init_app
from leads_service.exceptions import CommitOutcomeUnknownError
from leads_service.state import AppState
from tests.cli.expected import SQLITE, USERS
from tests.helpers import MIGRATIONS, Run, assert_refused, connect

pytestmark = pytest.mark.usefixtures("of_sqlite")


def test_db_status_of_an_empty_file(program: Run, tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    file.touch()
    status = f"file:   {file} (0 bytes)\nschema: pending {', '.join(MIGRATIONS)}\n{SQLITE}"
    assert program("db", "status") == (0, status, "")


@pytest.mark.parametrize("words", [("user", "add", "alice"), ("db", "migrate")], ids=" ".join)
def test_a_new_store_is_made_ready(program: Run, words: tuple[str, ...]) -> None:
    assert program(*words).code == 0
    assert program("db", "migrate").stdout == "The schema is up to date.\n"


@pytest.mark.parametrize("what", ["nothing", "an empty file", "another program's"])
@pytest.mark.parametrize(
    "words",
    [
        *(("user", "list"), ("user", "remove", "alice"), ("token", "create", "alice")),
        *(("token", "list"), ("pipeline",), ("rescore",), ("export",)),
        *(("reassign", "--from", "a", "--to", "b"), ("user", "rename", "a", "b")),
    ],
    ids=" ".join,
)
def test_what_is_no_store_is_left_alone(
    program: Run, tmp_path: Path, words: tuple[str, ...], what: str
) -> None:
    """As with a mistyped LEADS_DATABASE."""
    file = tmp_path / "leads.db"
    if what == "an empty file":
        file.touch()
    elif what != "nothing":
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE t (x)")
    before = file.read_bytes() if file.exists() else None
    remedy = "check LEADS_DATABASE, or make one with: leads-service db migrate"
    assert_refused(program(*words), f"there is no store of leads at {file}", remedy)
    assert (file.read_bytes() if file.exists() else None) == before


def test_db_check_of_nothing(program: Run, tmp_path: Path) -> None:
    assert_refused(program("db", "check"), f"there is no store at {tmp_path / 'leads.db'} yet")


def test_a_store_of_an_application_gets_no_users(program: Run, tmp_path: Path) -> None:
    """The leads of its user 1 would be those of ours."""
    host = Flask("host")
    init_app(host, user_id=lambda: 1, database=f"sqlite:///{tmp_path}/leads.db")
    host.test_client().post("/v1/leads", json={"company_id": 1})
    host.extensions["leads_service"].storage.database.close_for_good()
    for _ in range(2):
        answer = program("user", "add", "eve")
        assert_refused(answer, "leads of a user 1 who is not one of its own", "flask leads")
    assert program("user", "list").stdout == USERS


def test_another_file(program: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program("user", "add", "alice").stdout == "1\n"
    monkeypatch.setenv("LEADS_DATABASE", f"sqlite:///{tmp_path}/another%20file.db")
    assert program("user", "add", "bob").stdout == "1\n"
    assert (tmp_path / "another file.db").exists()


def test_a_relative_path(program: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADS_DATABASE", "sqlite:///here.db")
    assert program("user", "add", "alice").stdout == "1\n"
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("sqlite:///{tmp_path}/missing/leads.db", "the folder {tmp_path}/missing does not exist"),
        ("sqlite:///{tmp_path}", "{tmp_path}"),
        ("sqlite:///:memory:", "sqlite:////absolute/path"),
        ("sqlite://", "sqlite:////absolute/path"),
        ("sqlite:///", "sqlite:////absolute/path"),
        ("sqlite://leads.db", "sqlite:////absolute/path"),
        ("sqlite://{tmp_path}/leads.db", ""),
        ("sqlite:///{tmp_path}/leads%00.db", "sqlite:////absolute/path"),
        ("sqlite:///{tmp_path}/leads.db?mode=ro", "%3F for"),
        ("sqlite:///{tmp_path}/leads#1.db", "%23"),
        ("mysql://127.0.0.1/leads", "sqlite:////absolute/path"),
        ("mysql://[127.0.0.1/leads", "sqlite:////absolute/path"),
        ("{tmp_path}/leads.db", "sqlite:////absolute/path"),
        ("leads.db", "sqlite:////absolute/path"),
        ("42", "LEADS_DATABASE must be sqlite:///"),
        ("", "sqlite:////var/lib/leads/leads.db"),
    ],
)
@pytest.mark.parametrize("words", [("db", "status"), ("user", "add", "alice")], ids=" ".join)
def test_places_that_are_none(
    program: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    part: str,
    words: tuple[str, ...],
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LEADS_DATABASE", value.format(tmp_path=folder))
    assert_refused(program(*words), "LEADS_DATABASE", part.format(tmp_path=folder))
    assert list(folder.iterdir()) == []


def test_a_file_that_is_no_database(program: Run, tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    text = "Anything that is long enough not to be an empty file.\n" * 20
    file.write_text(text)
    for answer in (
        program("db", "migrate"),
        program("user", "list"),
        program("serve"),
    ):
        assert_refused(answer, str(file), "file is not a database")
    assert_refused(
        program("db", "status"), str(file), stdout=f"file:   {file} ({len(text):,} bytes)\n"
    )
    assert file.read_text() == text


@pytest.fixture
def locked(program: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A store to which somebody else is writing."""
    program("db", "migrate")
    monkeypatch.setenv("LEADS_BUSY_TIMEOUT", "0")
    with connect(url) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_locked_store(program: Run, locked: sqlite3.Connection) -> None:
    assert_refused(program("user", "add", "alice"), "database is locked")
    assert_refused(program("token", "revoke", "1"), "database is locked")
    assert program("user", "list") == (0, USERS, "")
    assert program("db", "status").code == 0
    assert program("db", "migrate") == (0, "The schema is up to date.\n", "")
    locked.rollback()
    assert program("user", "add", "alice") == (0, "1\n", "")


def test_a_commit_of_unknown_outcome_is_no_reason_to_try_again(
    run: Run, service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise CommitOutcomeUnknownError("the disk is gone")

    monkeypatch.setattr(service.storage, "add_user", fail)
    refused = run("user", "add", "alice", code=1)
    assert_refused(refused, "not known whether this was stored (the disk is gone); look before")


@pytest.mark.parametrize(
    "url", ["mysql://bob:hush@db/leads", "host=db password=hush", " postgresql://b:hush@db/x"]
)
def test_a_password_is_not_repeated(
    program: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("LEADS_DATABASE", url)
    answer = program("db", "status")
    assert_refused(answer, "or postgresql://user:password@host/database")
    assert "hush" not in answer.stderr
