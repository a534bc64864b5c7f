"""The commands: what they print, where they print it, and how they end."""

import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner
from conftest import APART, APPLIED, BIN, MIGRATIONS, ROOT, Caller, Clock
from flask import Flask
from flask.cli import ScriptInfo
from flask.testing import FlaskClient

from leads_service import create_app, init_app
from leads_service.cli import commands
from leads_service.exceptions import ConfigError
from leads_service.logging import logger
from leads_service.state import AppState
from leads_service.storage.sqlite.database import has_safe_wal_reset
from leads_service.storage.sqlite.storage import WAL_RESET_WARNING

NOW = "2026-11-22T22:03:11.123456Z"
TOKEN = re.compile(r"leads_[\w-]{43}\n")
USERS = "ID  NAME  CREATED\n"
TOKENS = "ID  USER  TOKEN  LABEL  READ-ONLY  CREATED  EXPIRES  LAST USED\n"
EMPTY = """\
new                0    0.0%
contacted          0    0.0%
qualified          0    0.0%
converted          0    0.0%
lost               0    0.0%

Conversion rate: 0.0% (0 of 0 leads)
"""


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


Run = Callable[..., Answer]


@pytest.fixture
def run(app: Flask) -> Run:
    """Commands of the application, as ``flask leads …`` has them."""
    runner = app.test_cli_runner(**APART)

    def run(*words: str) -> Answer:
        result = runner.invoke(args=["leads", *words], catch_exceptions=False)
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def program(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands of ``leads-service``, each on an application that the environment sets up."""
    monkeypatch.setenv("LEADS_DATABASE", url)
    monkeypatch.setattr(logger, "handlers", [])  # else one stays that writes to a runner's stderr

    def program(*words: str) -> Answer:
        result = CliRunner(**APART).invoke(
            commands,
            words,
            obj=ScriptInfo(create_app=partial(create_app, migrate=False)),
            prog_name="leads-service",
            catch_exceptions=False,
        )
        return Answer(result.exit_code, result.stdout, result.stderr)

    return program


def shell(*words: str | Path, cwd: Path = ROOT, **environment: str) -> Answer:
    """Run a command in a process of its own."""
    process = subprocess.run(
        words,
        env=os.environ | environment,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=60,  # for a server that should not have started
        check=False,
    )
    return Answer(process.returncode, process.stdout, process.stderr)


def leads_service(*words: str, **environment: str) -> Answer:
    return shell(BIN / "leads-service", *words, **environment)


def assert_refused(answer: Answer, *parts: str, stdout: str = "", mark: str = "Error: ") -> None:
    """Exit code 1 and one line of error, these parts in it."""
    assert (answer.code, answer.stdout) == (1, stdout)
    (line,) = answer.stderr.splitlines()
    assert line.startswith(mark)
    for part in parts:
        assert part in line


def assert_misused(answer: Answer, *parts: str) -> None:
    """Exit code 2, the usage, and one line of error, these parts in it."""
    assert (answer.code, answer.stdout) == (2, "")
    usage, *_, line = answer.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert answer.stderr.count("Error: ") == 1
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line


def rows(url: str, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608


def lines(table: str) -> list[list[str]]:
    """Return a table's cells; they are two or more spaces apart."""
    return [re.split(r"  +", line) for line in table.splitlines()]


# Scorers, as LEADS_SCORER names them.


def by_company(*, company_id: int, **_: Any) -> int:
    return company_id % 101


def in_three_lines(*, company_id: int, **_: Any) -> int:
    if company_id == 3:
        raise ValueError("no\nthird\ncompany")
    return 7


def too_high(**_: Any) -> int:
    return 101


def a_float(**_: Any) -> float:
    return 7.0


def of_a_colour(*, colour: str) -> int:
    return len(colour)


# Users


def test_user_add(run: Run) -> None:
    assert run("user", "list") == (0, USERS, "")
    assert run("user", "add", "alice") == (0, "1\n", "")
    assert run("user", "add", "bob") == (0, "2\n", "")
    assert run("user", "list") == (
        0,
        f"ID  NAME   CREATED\n1   alice  {NOW}\n2   bob    {NOW}\n",
        "",
    )


@pytest.mark.parametrize("name", ["a", "x" * 100, "Zoë O'Neil", "名前", "-", "a.b@example.com"])
def test_names(run: Run, name: str) -> None:
    assert run("user", "add", "--", name) == (0, "1\n", "")
    assert lines(run("user", "list").stdout)[1] == ["1", name, NOW]
    assert TOKEN.fullmatch(run("token", "create", "--", name).stdout)


@pytest.mark.parametrize("name", ["alice", "Zoë O'Neil"])
def test_a_name_that_is_taken(run: Run, name: str) -> None:
    run("user", "add", name)
    assert_refused(
        run("user", "add", name), repr(name), f"leads-service token create {shlex.quote(name)}"
    )
    assert len(lines(run("user", "list").stdout)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 101,
        "a\nb",
        "a\tb",
        "\x1b[31m",
        "a\0b",
        "\x7f",
        " a",
        "a ",
        " ",
        "\u200b",
        "\udcff",
    ],
)
def test_names_that_are_none(run: Run, name: str) -> None:
    assert_refused(run("user", "add", name), repr(name), "1 to 100 printable characters")
    assert run("user", "list") == (0, USERS, "")


# Tokens


def bearing(client: FlaskClient, token: str) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token.strip()}"
    return client


def test_token_create(run: Run, client: FlaskClient, url: str) -> None:
    run("user", "add", "alice")
    code, token, notice = run("token", "create", "alice")
    assert code == 0
    assert TOKEN.fullmatch(token)
    assert notice == "Keep it: only its SHA-256 is stored.\n"
    assert bearing(client, token).post("/v1/leads", json={"company_id": 42}).status_code == 201
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert token.strip() not in "\n".join(connection.iterdump())


def test_every_token_is_another(run: Run) -> None:
    run("user", "add", "alice")
    assert len({run("token", "create", "alice").stdout for _ in range(5)}) == 5


def test_read_only(run: Run, client: FlaskClient) -> None:
    run("user", "add", "alice")
    bearing(client, run("token", "create", "alice", "--read-only").stdout)
    assert client.get("/v1/leads").status_code == 200
    assert client.post("/v1/leads", json={"company_id": 42}).status_code == 403


@pytest.mark.parametrize(
    ("duration", "span"),
    [
        ("1m", timedelta(minutes=1)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("090d", timedelta(days=90)),
        ("8w", timedelta(weeks=8)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_expires(
    run: Run, client: FlaskClient, clock: Clock, duration: str, span: timedelta
) -> None:
    run("user", "add", "alice")
    bearing(client, run("token", "create", "alice", "--expires", duration).stdout)
    expires = (clock() + span).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert lines(run("token", "list").stdout)[1][6] == expires
    clock.move(seconds=span.total_seconds() - 1)
    assert client.get("/v1/leads").status_code == 200
    clock.move(seconds=1)
    assert client.get("/v1/leads").status_code == 401


@pytest.mark.parametrize(
    "duration",
    [
        *("0d", "0m", "-1d", "36501d", "5215w", "999999999d", "999999999w", "9" * 5000 + "m"),
        *("", "d", "90", "9q", "90D", "1.5h", "1d12h", "90 d", " 90d", "90d\n", "9e1d", "٩d", "x"),
    ],
)
def test_durations_that_are_none(run: Run, duration: str) -> None:
    run("user", "add", "alice")
    answer = run("token", "create", "alice", f"--expires={duration}")
    assert_misused(answer, "--expires", "30m, 12h, 90d or 8w", "36500d")
    assert run("token", "list") == (0, TOKENS, "")


def test_token_list(run: Run, client: FlaskClient, clock: Clock) -> None:
    assert run("token", "list") == (0, TOKENS, "")
    for name in ("alice", "bob"):
        run("user", "add", name)
    tokens = [
        run("token", "create", "alice", "--label", "the CRM's export", "--read-only").stdout,
        run("token", "create", "bob", "--expires", "30m").stdout,
        run("token", "create", "alice").stdout,
    ]
    clock.move(minutes=1)
    assert bearing(client, tokens[1]).get("/v1/leads").status_code == 200
    seen = [f"{token[:12]}..." for token in tokens]
    head = f"""\
ID  USER   TOKEN            LABEL             READ-ONLY  CREATED                      EXPIRES                      LAST USED
1   alice  {seen[0]}  the CRM's export  yes        {NOW}  never                        never
2   bob    {seen[1]}  -                 no         {NOW}  2026-11-22T22:33:11.123456Z  2026-11-22T22:04:11.123456Z
3   alice  {seen[2]}  -                 no         {NOW}  never                        never
"""  # noqa: E501
    assert run("token", "list") == (0, head, "")
    assert [row[0] for row in lines(run("token", "list", "alice").stdout)] == ["ID", "1", "3"]
    assert [row[0] for row in lines(run("token", "list", "bob").stdout)] == ["ID", "2"]


@pytest.mark.parametrize("label", ["x" * 100, "Zoë's laptop", ""])
def test_labels(run: Run, label: str) -> None:
    run("user", "add", "alice")
    assert run("token", "create", "alice", "--label", label).code == 0
    assert lines(run("token", "list").stdout)[1][3] == label or "-"


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31m", "a\0b", "\udcff"])
def test_labels_that_would_break_the_list(run: Run, label: str) -> None:
    run("user", "add", "alice")
    assert_refused(run("token", "create", "alice", "--label", label), "label", repr(label))
    assert run("token", "list") == (0, TOKENS, "")


OF_A_USER = [("token", "create"), ("token", "list"), ("pipeline", "--user")]


@pytest.mark.parametrize("name", ["bob", "Bob O'Neil"])
@pytest.mark.parametrize("words", OF_A_USER, ids=" ".join)
def test_a_user_who_does_not_exist(run: Run, words: tuple[str, ...], name: str) -> None:
    run("user", "add", "alice")
    remedy = f"leads-service user add {shlex.quote(name)}"
    assert_refused(run(*words, name), f"there is no user {name!r}", remedy)
    assert run("token", "list") == (0, TOKENS, "")


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff"])
@pytest.mark.parametrize("words", OF_A_USER, ids=" ".join)
def test_a_user_who_cannot_exist(run: Run, words: tuple[str, ...], name: str) -> None:
    assert_refused(run(*words, name), f"{name!r} is no name", "1 to 100 printable characters")


def test_token_revoke(run: Run, client: FlaskClient) -> None:
    run("user", "add", "alice")
    kept, revoked = (run("token", "create", "alice").stdout for _ in range(2))
    assert bearing(client, revoked).get("/v1/leads").status_code == 200
    assert run("token", "revoke", "2") == (0, "", "Token 2 is revoked.\n")
    answer = client.get("/v1/leads")
    assert answer.status_code == 401
    assert answer.json["message"] == "The token is unknown, expired or revoked."
    assert bearing(client, kept).get("/v1/leads").status_code == 200
    assert_refused(run("token", "revoke", "2"), "there is no token 2", "leads-service token list")
    run("token", "create", "alice")
    assert [row[0] for row in lines(run("token", "list").stdout)] == ["ID", "1", "3"]


def test_token_revoke_in_another_process(alice: Caller, url: str) -> None:
    assert alice.client.get("/v1/leads").status_code == 200
    answer = leads_service("token", "revoke", "1", LEADS_DATABASE=url)
    assert answer == (0, "", "Token 1 is revoked.\n")
    assert alice.client.get("/v1/leads").status_code == 401


@pytest.mark.parametrize("token_id", ["1", str(2**63 - 1)])
def test_a_token_that_does_not_exist(run: Run, token_id: str) -> None:
    assert_refused(run("token", "revoke", token_id), f"no token {token_id};", "token list")


@pytest.mark.parametrize("token_id", ["0", "-1", "x", "1.0", "", str(2**63)])
def test_ids_that_are_none(run: Run, token_id: str) -> None:
    assert_misused(run("token", "revoke", "--", token_id), "'ID'")


# The store


SQLITE = f"SQLite: {sqlite3.sqlite_version}{'' if has_safe_wal_reset() else WAL_RESET_WARNING}\n"


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
    ],
)
def test_versions_of_sqlite(version: tuple[int, int, int], is_safe: bool) -> None:
    assert has_safe_wal_reset(version) == is_safe


def test_db(url: str, tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    status = f"file:   {file} (not there yet)\nschema: pending everything\n{SQLITE}"
    assert leads_service("db", "status", LEADS_DATABASE=url) == (0, status, "")
    assert not file.exists()
    assert leads_service("db", "migrate", LEADS_DATABASE=url) == (0, APPLIED, "")
    current = "The schema is up to date.\n"
    assert leads_service("db", "migrate", LEADS_DATABASE=url) == (0, current, "")
    status = f"file:   {file} ({file.stat().st_size:,} bytes)\nschema: up to date\n{SQLITE}"
    assert leads_service("db", "status", LEADS_DATABASE=url) == (0, status, "")


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


@pytest.mark.parametrize("name", ["instance", "50% #1? a%20b ë"])
def test_the_instance_folder(tmp_path: Path, name: str) -> None:
    create_app(instance_path=str(tmp_path / name))
    assert (tmp_path / name / "leads.db").exists()


def test_an_instance_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^cannot create .*; set LEADS_DATABASE"):
        create_app(instance_path=str(tmp_path / "file" / "instance"))


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
        ("postgres://127.0.0.1/leads", "sqlite:////absolute/path"),
        ("postgres://[127.0.0.1/leads", "sqlite:////absolute/path"),
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


def test_a_file_that_is_no_database(program: Run, url: str, tmp_path: Path) -> None:
    file = tmp_path / "leads.db"
    text = "Anything that is long enough not to be an empty file.\n" * 20
    file.write_text(text)
    for answer in (
        program("db", "migrate"),
        program("user", "list"),
        leads_service("serve", LEADS_DATABASE=url),
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
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
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


# Settings


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        *(
            ("LEADS_BUSY_TIMEOUT", value, "a whole number of seconds from 0 to 3600")
            for value in ("-1", "3601", "1.5", "5s", "true", "null", "", "[5]", "9" * 5000)
        ),
        *(
            ("LEADS_PROXY_HOPS", value, "a whole number from 0 to 10")
            for value in ("-1", "11", "1.0", "one", "false", "", '{"x_for": 1}')
        ),
        *(
            ("LEADS_LOG_LEVEL", value, "debug, info, warning or error")
            for value in ("INFO", "trace", "", "10", "[]", "{}", "null")
        ),
        ("LEADS_SCORER", "", "package.module:function"),
        ("LEADS_SCORER", "42", "package.module:function"),
        *(
            ("LEADS_SCORER", value, repr(value))
            for value in (
                "no_such_module:score",
                "leads_service.scoring",
                "leads_service.scoring:",
                "leads_service.scoring:no_such_function",
                "leads_service.scoring:MAX_SCORE",
                ":score",
                ".scoring:score",
                "scorer_that_is_no_python:score",
                "scorer_that_raises:score",
            )
        ),
        ("LEADS_DATABSE", "sqlite:////tmp/leads.db", "did you mean LEADS_DATABASE?"),
        ("LEADS_PROXYHOPS", "1", "did you mean LEADS_PROXY_HOPS?"),
        ("LEADS_LOGLEVEL", "info", "did you mean LEADS_LOG_LEVEL?"),
    ],
)
def test_settings_that_cannot_be_used(
    program: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    (tmp_path / "scorer_that_is_no_python.py").write_text("def score(:\n")
    (tmp_path / "scorer_that_raises.py").write_text("score = {}['no\\nsuch']\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(name, value)
    assert_refused(program("user", "add", "alice"), name, part)
    assert not (tmp_path / "leads.db").exists()


@pytest.mark.parametrize(
    "environment",
    [
        {"LEADS_SERVICE_PORT_8000_TCP": "tcp://10.0.0.1:8000"},  # as Kubernetes sets it
        {"LEADS_PORT": "tcp://10.0.0.1:8000", "LEADS_SERVICE_HOST": "10.0.0.1"},
        {"LEADS_DATABASE_PORT_5432_TCP_ADDR": "10.0.0.2"},
        {"LEADS_TEAM": "[1", "LEADS_LEAD__NAME": "Zoë"},
    ],
)
def test_variables_of_somebody_else(
    program: Run, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert program("user", "add", "alice") == (0, "1\n", "")


@pytest.mark.parametrize("name", ["LEADS_DATABASE__X", "LEADS_TEAM__X"])
def test_variables_that_contradict_each_other(
    program: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LEADS_TEAM", "sales")
    monkeypatch.setenv(name, "1")
    assert_refused(program("user", "add", "alice"), "LEADS_", "two underscores", "unset it")


def test_settings_at_their_bounds(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    program("db", "migrate")
    for name, values in {
        "LEADS_BUSY_TIMEOUT": ("0", "3600"),
        "LEADS_PROXY_HOPS": ("0", "10"),
        "LEADS_LOG_LEVEL": ("debug", "info", "warning", "error"),
        "LEADS_SCORER": ("test_cli:by_company",),
    }.items():
        for value in values:
            monkeypatch.setenv(name, value)
            assert program("user", "list") == (0, USERS, "")


# Leads


@pytest.fixture
def leads(alice: Caller, bob: Caller, clock: Clock) -> None:
    """Eight leads of Alice, two of Bob; some time later."""
    statuses = ["new", "new", "new", "contacted", "converted", "converted", "lost", "lost"]
    for caller, names in ((alice, statuses), (bob, ["qualified", "converted"])):
        for number, status in enumerate(names, 1):
            lead = caller.client.post("/v1/leads", json={"company_id": number}).json
            caller.client.patch(f"/v1/leads/{lead['id']}", json={"status": status})
    clock.move(days=1)


def scores(url: str) -> list[int]:
    return [row[5] for row in rows(url, "leads_lead")]


@pytest.mark.usefixtures("leads")
def test_rescore(program: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(url, "leads_lead")
    assert scores(url) == [10, 10, 10, 30, 100, 100, 0, 0, 60, 100]
    assert program("rescore") == (0, "10 leads scored.\n", "")
    assert rows(url, "leads_lead") == before
    monkeypatch.setenv("LEADS_SCORER", "test_cli:by_company")
    assert program("rescore") == (0, "10 leads scored.\n", "")
    assert scores(url) == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    after = rows(url, "leads_lead")
    assert [row[:5] + row[6:] for row in after] == [row[:5] + row[6:] for row in before]


def test_rescore_more_than_one_batch(
    program: Run, alice: Caller, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = "INSERT INTO leads_lead VALUES (?, 1, ?, 'new', '', 10, ?, ?)"
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.executemany(insert, [(n, n, NOW, NOW) for n in range(1, 2002)])
    monkeypatch.setenv("LEADS_SCORER", "test_cli:by_company")
    assert program("rescore") == (0, "2001 leads scored.\n", "")
    assert scores(url) == [n % 101 for n in range(1, 2002)]


@pytest.mark.parametrize(
    ("scorer", "part"),
    [
        ("in_three_lines", r"ValueError('no\nthird\ncompany')"),
        ("too_high", "101"),
        ("a_float", "7.0"),
        ("of_a_colour", "needs the argument 'colour'"),
    ],
)
@pytest.mark.usefixtures("leads")
def test_rescore_with_a_broken_scorer(
    program: Run, url: str, monkeypatch: pytest.MonkeyPatch, scorer: str, part: str
) -> None:
    before = rows(url, "leads_lead")
    monkeypatch.setenv("LEADS_SCORER", f"test_cli:{scorer}")
    assert_refused(program("rescore"), "the scorer", part)
    assert rows(url, "leads_lead") == before


@pytest.mark.usefixtures("leads")
def test_rescore_finds_a_scorer_where_it_is_run(url: str, tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text("def score(**lead):\n    return lead['company_id'] * 10\n")
    program = BIN / "leads-service"
    environment = {"LEADS_DATABASE": url, "LEADS_SCORER": "acme:score"}
    answer = shell(program, "rescore", cwd=tmp_path, **environment)
    assert answer == (0, "10 leads scored.\n", "")
    assert scores(url) == [10, 20, 30, 40, 50, 60, 70, 80, 10, 20]


PIPELINE = """\
new                3   30.0%  ████████████████████████████████████████
contacted          1   10.0%  █████████████
qualified          1   10.0%  █████████████
converted          3   30.0%  ████████████████████████████████████████
lost               2   20.0%  ███████████████████████████

Conversion rate: 30.0% (3 of 10 leads)
"""
BOBS_PIPELINE = """\
new                0    0.0%
contacted          0    0.0%
qualified          1   50.0%  ████████████████████████████████████████
converted          1   50.0%  ████████████████████████████████████████
lost               0    0.0%

Conversion rate: 50.0% (1 of 2 leads)
"""


@pytest.mark.usefixtures("leads")
def test_pipeline(run: Run) -> None:
    assert run("pipeline") == (0, PIPELINE, "")
    assert run("pipeline", "--user", "bob") == (0, BOBS_PIPELINE, "")
    run("user", "add", "carol")
    assert run("pipeline", "--user", "carol") == (0, EMPTY, "")


def test_pipeline_without_users(run: Run) -> None:
    assert run("pipeline") == (0, EMPTY, "")


@pytest.mark.parametrize(("status", "count"), [("converted", 1), ("new", 1234), ("lost", 5)])
def test_pipeline_at_one_status(run: Run, url: str, status: str, count: int) -> None:
    insert = "INSERT INTO leads_lead VALUES (NULL, 1, 42, ?, '', 10, ?, ?)"
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.executemany(insert, [(status, NOW, NOW)] * count)
    code, pipeline, _ = run("pipeline")
    assert code == 0
    assert f"{status:<9}  {count:>9,}  100.0%  {'█' * 40}" in pipeline.splitlines()
    assert max(map(len, pipeline.splitlines())) <= 80


@pytest.mark.usefixtures("leads")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_pipeline_on_a_plain_terminal(url: str, encoding: str) -> None:
    answer = leads_service("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING=encoding)
    expected = PIPELINE if encoding == "utf-8" else PIPELINE.replace("█", "#")
    assert answer == (0, expected, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_lists_on_a_plain_terminal(service: AppState, url: str, encoding: str) -> None:
    """What the terminal lacks is shown otherwise; the lists are there all the same."""
    service.accounts.add_user("名")
    token = service.accounts.create_token("名", label="名")
    for words, cells in ((("user", "list"), ("1",)), (("token", "list"), ("1", token[:12]))):
        process = subprocess.run(
            [BIN / "leads-service", *words],
            env=os.environ | {"LEADS_DATABASE": url, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, b"")
        for cell in cells:
            assert cell.encode() in process.stdout.splitlines()[1]


# The server


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_serve_on_a_port_that_is_taken(url: str, taken: int) -> None:
    words = ("serve", "--port", str(taken), "--first-user", "admin")
    answer = leads_service(*words, LEADS_DATABASE=url)
    assert_refused(answer, f"127.0.0.1 port {taken}", "Address already in use", "--port")
    assert leads_service("user", "list", LEADS_DATABASE=url) == (0, USERS, "")


@pytest.mark.parametrize(
    "words", [("--port", "0"), ("--port", "65536"), ("--workers", "0"), ("--workers", "65")]
)
def test_serve_with_figures_that_are_none(program: Run, words: tuple[str, str]) -> None:
    assert_misused(program("serve", *words), words[0], words[1])


# The program, from outside


def test_the_program(url: str) -> None:
    assert leads_service("user", "add", "alice", LEADS_DATABASE=url) == (0, "1\n", "")
    code, token, notice = leads_service("token", "create", "alice", LEADS_DATABASE=url)
    assert code == 0
    assert TOKEN.fullmatch(token)
    assert notice == "Keep it: only its SHA-256 is stored.\n"
    assert_refused(leads_service("user", "add", "alice", LEADS_DATABASE=url), "'alice' exists")
    assert leads_service("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING="utf-8").stdout == EMPTY


def test_the_program_as_a_module(url: str) -> None:
    answer = shell(sys.executable, "-m", "leads_service", "user", "add", "a", LEADS_DATABASE=url)
    assert answer == (0, "1\n", "")


def test_the_program_with_a_wrong_setting() -> None:
    answer = leads_service("user", "list", LEADS_DATABASE="postgres://127.0.0.1/leads")
    assert_refused(answer, "LEADS_DATABASE", "'postgres://127.0.0.1/leads'")


def flask(*words: str, **environment: str) -> Answer:
    return shell(BIN / "flask", "--app", "wsgi", "leads", *words, **environment)


def test_flask(url: str) -> None:
    assert flask("user", "add", "alice", LEADS_DATABASE=url) == (0, "1\n", "")
    assert flask("db", "migrate", LEADS_DATABASE=url) == (0, "The schema is up to date.\n", "")
    assert_refused(flask("user", "add", "alice", LEADS_DATABASE=url), "'alice' exists")
    assert flask("pipeline", LEADS_DATABASE=url, PYTHONIOENCODING="utf-8").stdout == EMPTY


@pytest.mark.parametrize(
    ("name", "value"),
    [("LEADS_DATABASE", "postgres://127.0.0.1/leads"), ("LEADS_PROXY_HOPS", "one")],
)
def test_flask_with_a_wrong_setting(url: str, name: str, value: str) -> None:
    answer = flask("user", "list", **{"LEADS_DATABASE": url, name: value})
    assert_refused(answer, name, value, mark="leads-service: ")


# Help


def tree(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from tree(child, *path, name)


COMMANDS = dict(tree(commands))
LEAVES = [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)]


def test_the_commands() -> None:
    assert sorted(LEAVES) == [
        *("backup", "db check", "db migrate", "db status", "export", "import", "pipeline"),
        *("reassign", "rescore", "restore", "serve", "token create", "token list", "token revoke"),
        *("user add", "user list", "user remove", "user rename"),
    ]


@pytest.mark.parametrize("path", COMMANDS)
def test_help(program: Run, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("LEADS_DATABASE", "help is there whatever the settings are")
    code, text, errors = program(*path.split(), "--help")
    assert (code, errors) == (0, "")
    assert text.startswith(f"Usage: leads-service {path}".rstrip())
    assert "\\" not in text
    assert max(map(len, text.splitlines())) <= 80
    for command in getattr(COMMANDS[path], "commands", ()):
        assert re.search(rf"^  {command}  +[A-Z]", text, re.MULTILINE)


@pytest.mark.parametrize("path", LEAVES)
def test_help_has_an_example(
    program: Run, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on a line of its own, and the command understands it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leads.csv").touch()
    text = program(*path.split(), "--help").stdout
    (example,) = re.findall(r"^ *Example: +(.*)", text, re.MULTILINE)
    typed = shlex.split(re.search(r"leads-service ([^)>]*)", example)[1])
    words = path.split()
    assert typed[: len(words)] == words
    COMMANDS[path].make_context(path, typed[len(words) :])


@pytest.mark.parametrize(
    "words", [("nonsense",), ("user", "nonsense"), ("user", "add", "--x", "a")]
)
def test_words_that_mean_nothing(program: Run, words: tuple[str, ...]) -> None:
    assert_misused(program(*words))
