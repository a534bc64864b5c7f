"""Import and export: the same leads out as in, all or nothing."""

import csv
import io
import json
import re
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from conftest import APART, Caller, caller
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError
from peewee import SqliteDatabase
from scorers import raises

from leads_service import create_app, init_app, transfer
from leads_service.lead import STATUSES
from leads_service.state import EXTENSION, AppState
from leads_service.storage.base import Storage
from leads_service.storage.sqlite import storage as sqlite_storage
from leads_service.transfer import LeadImportSchema, is_plainly_valid, read_csv, read_jsonl

Run = Callable[..., Any]
OLD = "2020-02-29T23:59:59.000001Z"
LATER = "2021-01-01T00:00:00.000000Z"


@pytest.fixture
def run(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the folder of the test, with what stdin holds."""
    monkeypatch.chdir(tmp_path)
    runner = app.test_cli_runner(**APART)

    def run(*words: str, stdin: str | bytes = "", code: int = 0) -> Any:
        result = runner.invoke(args=["leads", *words], input=stdin, catch_exceptions=False)
        assert result.exit_code == code, result.output + result.stderr
        return result

    return run


def leads(caller: Caller) -> list[dict[str, Any]]:
    """Return a user's leads, oldest first, as a file brings them."""
    data = caller.client.get("/v1/leads?limit=200").json["data"]
    names = ("company_id", "status", "notes", "created_at", "updated_at")
    return [{name: lead[name] for name in names} for lead in reversed(data)]


def test_csv(run: Run, alice: Caller) -> None:
    text = (
        "company_id,notes,status,created_at,updated_at\r\n"
        f'7,"Said ""yes"",\r\nthen left",lost,{OLD},{LATER}\r\n'
        "\r\n"
        f"8,,,2020-03-01T01:00:00+01:00,\r\n"
    )
    assert run("import", "-", "--format", "csv", "--user", "alice", stdin=text).stdout == (
        "2 leads stored.\n"
    )
    assert leads(alice) == [
        {
            "company_id": 7,
            "status": "lost",
            "notes": 'Said "yes",\r\nthen left',
            "created_at": OLD,
            "updated_at": LATER,
        },
        {
            "company_id": 8,
            "status": "new",
            "notes": "",
            "created_at": "2020-03-01T00:00:00.000000Z",
            "updated_at": "2020-03-01T00:00:00.000000Z",
        },
    ]


def test_jsonl_by_the_ending(run: Run, alice: Caller, tmp_path: Path) -> None:
    lines = ['{"company_id": 7, "notes": null}', "", '{"company_id": 8, "status": "converted"}']
    (tmp_path / "in.JSONL").write_text("\n".join(lines))
    run("import", "in.JSONL", "--user", "alice")
    assert [(lead["company_id"], lead["status"]) for lead in leads(alice)] == [
        (7, "new"),
        (8, "converted"),
    ]
    assert alice.client.get("/v1/leads?min_score=100").json["data"][0]["company_id"] == 8


def test_only_the_company_is_needed_and_a_byte_order_mark_is_none(
    run: Run, alice: Caller, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbfcompany_id\n1\n")
    run("import", "in.csv", "--user", "alice")
    assert leads(alice)[0]["company_id"] == 1


BAD = f"""\
company_id,status,notes,created_at,updated_at
1,new,good,,
x,new,,,
0,new,,,
3,won,,,
4,new,{"x" * 10_001},,
5,new,,yesterday,
6,new,,2026-02-30T00:00:00Z,
7,new,,{LATER},{OLD}
8,new,,,{OLD}
9,new
"""
NAMED = """\
line 3: company_id: Not a valid integer.
line 4: company_id: Must be from 1 to 9223372036854775807.
line 5: status: Must be one of: new, contacted, qualified, converted, lost.
line 6: notes: Longer than maximum length 10000.
line 7: created_at: Not a time such as 2026-11-22T22:03:11.123456Z, or a day such as 2026-11-22.
line 8: created_at: Not a time such as 2026-11-22T22:03:11.123456Z, or a day such as 2026-11-22.
line 9: updated_at: Must not be before created_at.
line 10: created_at: Needed with updated_at.
line 11: The first line has 5 cells, this one 2.
Error: nothing was stored; mend these lines, or leave them out with --skip-invalid
"""


def test_all_or_nothing(run: Run, alice: Caller, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(BAD)
    result = run("import", "in.csv", "--user", "alice", code=1)
    assert (result.stdout, result.stderr) == ("", NAMED)
    assert leads(alice) == []


def test_ten_bad_rows_are_enough(run: Run, alice: Caller) -> None:
    endless = "company_id\n" + "x\n" * 5000
    result = run("import", "-", "--format", "csv", "--user", "alice", stdin=endless, code=1)
    assert result.stderr.count("\n") == 11


def test_skip_invalid(run: Run, alice: Caller, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(BAD)
    result = run("import", "in.csv", "--user", "alice", "--skip-invalid")
    assert result.stdout == "1 lead stored.\n"
    assert result.stderr == "9 left out, with reasons in in.csv.rejects\n"
    rejects = [json.loads(line) for line in (tmp_path / "in.csv.rejects").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == list(range(3, 12))
    assert rejects[0] == {
        "line": 3,
        "errors": {"company_id": ["Not a valid integer."]},
        "row": {"company_id": "x", "status": "new"},
    }
    assert [lead["notes"] for lead in leads(alice)] == ["good"]


def test_a_file_is_not_its_own_rejects(run: Run, alice: Caller, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("company_id\n0\n")
    words = ("import", "in.csv", "--user", "alice", "--skip-invalid", "--rejects", "./in.csv")
    assert "can't be what is read" in run(*words, code=2).stderr
    assert (tmp_path / "in.csv").read_text() == "company_id\n0\n"
    assert "No such file" in run(*words[:-1], "no/where", code=1).stderr


def test_jsonl_rows_that_are_none(run: Run, alice: Caller, tmp_path: Path) -> None:
    rows = ["[1", "[]", '{"company_id": "1"}', '{"company_id": 1, "score": 5}', '"\\ud800"']
    rows += ['{"company_id": 1, "notes": "\\ud800"}', f'{{"company_id": {"9" * 5000}}}', "[" * 9999]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    run("import", "in.jsonl", "--user", "alice", "--skip-invalid", "--rejects", "bad")
    assert len((tmp_path / "bad").read_text().splitlines()) == len(rows)
    assert leads(alice) == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write(run: Run, alice: Caller, delimiter: str) -> None:
    """Their delimiters, headers as people type them, days, and columns of their own."""
    rows = (
        (" NOTES", "Company_ID", "Owner; of, the\tdeal", "Created_At ", "updated_at", ""),
        ("a;b,c\td", "7", "x", "2020-02-29", "2020-03-01", ""),
        ("", "8", "=1+1", "", "", "y"),
    )
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    words = ("import", "-", "--format", "csv", "--user", "alice", "--ignore-extra")
    run(*words, stdin="\ufeff" + text.getvalue())
    assert [(lead["company_id"], lead["notes"]) for lead in leads(alice)] == [
        (7, "a;b,c\td"),
        (8, ""),
    ]
    assert leads(alice)[0]["created_at"] == "2020-02-29T00:00:00.000000Z"
    assert leads(alice)[0]["updated_at"] == "2020-03-01T00:00:00.000000Z"


def test_the_delimiter_is_what_stands_beside_company_id(run: Run, alice: Caller) -> None:
    text = '"a,b";company_id;"c,company_id,d"\n1,2;7;3,4,5\n'
    words = ("import", "-", "--format", "csv", "--user", "alice", "--ignore-extra")
    run(*words, stdin=text)
    assert leads(alice)[0]["company_id"] == 7


def test_other_fields_in_json(run: Run, alice: Caller) -> None:
    words = ("import", "-", "--format", "jsonl", "--user", "alice")
    text = '{"company_id": 7, "score": 5, "Status": "new"}\n'
    assert run(*words, stdin=text, code=1).stderr.startswith(
        "line 1: It names columns that no lead has: 'score', 'Status'; "
        "leave them out with --ignore-extra.\n"
    )
    run(*words, "--ignore-extra", stdin=text)
    assert [lead["company_id"] for lead in leads(alice)] == [7]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("[1", "Not valid JSON."),
        ("[]", "Not a JSON object."),
        ('{"notes": "x"}', "company_id: Missing data for required field."),
    ],
)
def test_what_is_wrong_with_a_line(run: Run, alice: Caller, row: str, problem: str) -> None:
    words = ("import", "-", "--format", "jsonl", "--user", "alice")
    assert run(*words, stdin=row, code=1).stderr.splitlines()[0] == f"line 1: {problem}"


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("in.csv", b"", "the first line must name company_id"),
        ("in.csv", b"notes\nx\n", "the first line must name company_id"),
        ("in.csv", b"company_id|notes\n1|x\n", "the first line must name company_id"),
        (
            "in.csv",
            b"notes\n",
            "the first line must name company_id, and may name status, notes, created_at and "
            "updated_at; nothing was stored",
        ),
        (
            "in.csv",
            b"company_id,Score\n1,5\n",
            "the first line names a column that no lead has: 'Score'; leave it out with "
            "--ignore-extra; nothing was stored",
        ),
        (
            "in.csv",
            b"company_id,score,,\x1b[31m\n1,5,,\n",
            r"columns that no lead has: 'score', '', '\x1b[31m'; leave them out",
        ),
        ("in.csv", b"User,company_id\nalice,1\n", "or let user say whose each lead is"),
        ("in.csv", b"company_id, Company_ID\n1,1\n", "the first line names company_id twice"),
        ("in.csv", b'company_id,"' + b"x" * 10_000_001, "line 1: field larger than"),
        ("in.csv", b'company_id,notes\n1,"open\n', "unexpected end of data"),
        ("in.csv", b'company_id,notes\n1,"a"b\n', "expected after"),
        ("in.csv", b'"company_id\n', "unexpected end of data"),
        ("in.csv", b"company_id,notes\n1," + b"x" * 200_000, "line 2: notes: Longer than"),
        ("in.jsonl", b'{"company_id":1,"created_at":""}', "line 1: created_at: Not a time"),
        ("in.jsonl", b'{"company_id":1,"updated_at":"~"}', "line 1: updated_at: Not a time"),
        (
            "in.csv",
            b"company_id,notes\n1,\xff\n",
            "line 2: It is not UTF-8; save",
        ),
        ("in.txt", b"company_id\n1\n", "say --format csv or jsonl"),
    ],
)
def test_files_that_are_none(
    run: Run, alice: Caller, tmp_path: Path, name: str, content: bytes, part: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = run("import", name, "--user", "alice", code=2 if name == "in.txt" else 1)
    assert part in result.stderr
    assert leads(alice) == []


def test_an_import_for_nobody(run: Run, alice: Caller) -> None:
    from_file = ("import", "-", "--format", "csv", "--user", "nobody")
    assert "there is no user 'nobody'" in run(*from_file, stdin="company_id\n1\n", code=1).stderr


def test_while_another_one_writes(run: Run, alice: Caller, service: AppState, url: str) -> None:
    """Everything is read before the lock is asked for; without it nothing is stored."""
    service.storage.database.timeout = 0
    other = SqliteDatabase(url.removeprefix("sqlite:///"))
    words = ("import", "-", "--format", "csv", "--user", "alice")
    with other.atomic("IMMEDIATE"):
        assert "database is locked" in run(*words, stdin="company_id\n1\n", code=1).stderr
    other.close()
    assert run(*words, stdin="company_id\n1\n").stdout == "1 lead stored.\n"


def test_a_scorer_that_fails(
    run: Run, alice: Caller, app: Flask, service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, EXTENSION, service._replace(scorer=raises))
    words = ("import", "-", "--format", "csv", "--user", "alice")
    assert "the scorer" in run(*words, stdin="company_id\n1\n", code=1).stderr
    assert leads(alice) == []


def test_an_import_for_a_user_who_is_removed_meanwhile(
    run: Run, alice: Caller, app: Flask, service: AppState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(**_: Any) -> int:
        service.accounts.remove_user("alice", erase=True)
        return 50

    monkeypatch.setitem(app.extensions, EXTENSION, service._replace(scorer=score))
    words = ("import", "-", "--format", "csv", "--user", "alice")
    message = run(*words, stdin="company_id\n1\n", code=1).stderr
    assert f"the user with id {alice.id} does not exist any more" in message
    assert service.leads.count(alice.id) == 0


def test_many_leads_keep_the_indexes(run: Run, alice: Caller, service: AppState) -> None:
    def indexes() -> list[tuple[str, str]]:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name"
        return service.storage.database.execute_sql(query).fetchall()

    before = indexes()
    text = "company_id\n" + "".join(f"{number}\n" for number in range(1, 10_001))
    run("import", "-", "--format", "csv", "--user", "alice", stdin=text)
    assert indexes() == before
    assert service.storage.database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(alice.client.get("/v1/leads?company_id=10000").json["data"]) == 1


@pytest.mark.parametrize(("count", "is_made_anew"), [(9, False), (10, True)])
def test_many_leads_are_indexed_after_they_are_stored(
    service: AppState,
    alice: Caller,
    bob: Caller,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    is_made_anew: bool,
) -> None:
    monkeypatch.setattr(sqlite_storage, "MANY", 10)
    storage = service.storage
    fields: dict[str, Any] = {"user_id": alice.id, "company_id": 1, "status": "new", "notes": ""}
    fields |= {"score": 0, "created_at": OLD, "updated_at": OLD}
    made = ["DROP", "INSERT", "CREATE"] if is_made_anew else ["INSERT"]
    moved = ["DROP", "UPDATE", "CREATE"] if is_made_anew else ["UPDATE"]
    with storage.opened():
        insert = partial(storage.insert_leads, [fields] * count, lambda _: None)
        assert steps(storage, insert) == made
        assert steps(storage, partial(service.leads.reassign, alice.id, bob.id)) == moved


def steps(storage: Storage, action: Callable[[], object]) -> list[str]:
    """Run an action, and return the kinds of its statements on leads and indexes, in order."""
    statements: list[str] = []
    connection = storage.database.connection()
    connection.set_trace_callback(statements.append)
    action()
    connection.set_trace_callback(None)
    form = re.compile(
        r'(DROP|CREATE) INDEX "?leads_lead|(INSERT) INTO leads_lead|(UPDATE) "leads_lead"'
    )
    found = [match[0].split()[0] for match in map(form.match, statements) if match]
    return [name for name, _ in groupby(found)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_export_wrote_gives_the_same_leads(
    run: Run, alice: Caller, bob: Caller, clock: Any, kind: str
) -> None:
    for notes in ("", "plain", 'a "quoted"\r\nline\n\r', "東京, שלום, 😀", " \t", "\ufeff", "\x01"):
        lead = alice.client.post("/v1/leads", json={"company_id": 1, "notes": notes}).json
        clock.move(seconds=1)
        alice.client.patch(f"/v1/leads/{lead['id']}", json={"status": "lost"})
    exported = run("export", "--user", "alice", "--format", kind).stdout_bytes
    run("import", "-", "--format", kind, "--user", "bob", stdin=exported)
    assert leads(bob) == leads(alice)
    assert run("export", "--user", "bob", "--format", kind).stdout_bytes == exported


def test_export_filters_as_the_api_does(run: Run, alice: Caller, bob: Caller) -> None:
    for company_id, status in ((1, "new"), (2, "lost"), (3, "converted")):
        made = alice.client.post("/v1/leads", json={"company_id": company_id}).json
        alice.client.patch(f"/v1/leads/{made['id']}", json={"status": status})
    bob.client.post("/v1/leads", json={"company_id": 4})

    def companies(*options: str) -> list[str]:
        rows = csv.DictReader(io.StringIO(run("export", *options).stdout))
        return [row["company_id"] for row in rows]

    assert companies() == ["1", "2", "3", "4"]
    assert companies("--user", "alice") == ["1", "2", "3"]
    assert companies("--user", "alice", "--status", "lost") == ["2"]
    assert companies("--min-score", "10", "--max-score", "99") == ["1", "4"]
    assert companies("--company-id", "3") == ["3"]
    assert companies("--created-after", "2026-11-22", "--created-before", "2026-11-22") != []
    assert companies("--created-before", "2026-11-21") == []
    assert "--min-score: Not a valid integer." in run("export", "--min-score", "x", code=2).stderr


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_everybodys_leads_into_another_store(
    run: Run, alice: Caller, bob: Caller, clock: Any, tmp_path: Path, kind: str
) -> None:
    for owner, company_id in ((bob, 1), (alice, 2), (bob, 3)):
        owner.client.post("/v1/leads", json={"company_id": company_id, "notes": "a\r\nb"})
        clock.move(seconds=1)
    exported = run("export", "--format", kind).stdout_bytes
    other = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/other.db"})
    others = {name: caller(other, name) for name in ("bob", "carol", "alice")}
    words = ["leads", "import", "-", "--format", kind, "--users-by", "name"]
    result = other.test_cli_runner().invoke(args=words, input=exported)
    assert result.output.endswith("3 leads stored.\n")
    assert leads(others["alice"]) == leads(alice) != []
    assert leads(others["bob"]) == leads(bob)
    assert leads(others["carol"]) == []


def test_users_by_id(run: Run, alice: Caller, bob: Caller) -> None:
    text = f" USER ;company_id\n{bob.id};7\n{alice.id};8\n"
    run("import", "-", "--format", "csv", "--users-by", "id", stdin=text)
    assert [lead["company_id"] for lead in leads(alice)] == [8]
    assert [lead["company_id"] for lead in leads(bob)] == [7]


@pytest.mark.parametrize(
    ("by", "rows", "problems"),
    [
        ("name", "alice,1\n,2\n", ["line 3: user: Missing: whose lead is it?"]),
        ("name", "Alice,1\n", ["line 2: user: There is no user 'Alice'; add the user first."]),
        ("name", "1,1\n", ["line 2: user: There is no user '1'; add the user first."]),
        ("id", "alice,1\n", ["line 2: user: There is no user 'alice'; add the user first."]),
        ("id", "2,1\n", ["line 2: user: There is no user '2'; add the user first."]),
    ],
)
def test_rows_of_nobody(run: Run, alice: Caller, by: str, rows: str, problems: list[str]) -> None:
    words = ("import", "-", "--format", "csv", "--users-by", by)
    result = run(*words, stdin=f"user,company_id\n{rows}", code=1)
    assert result.stderr.splitlines()[:-1] == problems
    assert leads(alice) == []


def test_rejects_name_the_owner(run: Run, alice: Caller, tmp_path: Path) -> None:
    words = ("import", "-", "--format", "csv", "--users-by", "name", "--skip-invalid")
    run(*words, stdin="user,company_id\nalice,0\neve,1\nalice,7\n")
    rejects = [json.loads(line) for line in (tmp_path / "stdin.rejects").read_text().splitlines()]
    assert [reject["row"]["user"] for reject in rejects] == ["alice", "eve"]
    assert [lead["company_id"] for lead in leads(alice)] == [7]


@pytest.mark.parametrize("words", [(), ("--user", "alice", "--users-by", "name")])
def test_whose_leads_they_become_is_said_once(
    run: Run, alice: Caller, words: tuple[str, ...]
) -> None:
    result = run("import", "-", "--format", "csv", *words, stdin="company_id\n1\n", code=2)
    assert "either --user or --users-by" in result.stderr
    result = run("import", "-", "--format", "csv", "--users-by", "id", stdin="user\n1\n", code=1)
    assert "the first line must name company_id and user, and may name" in result.stderr


def test_everybodys_leads_from_host_to_host(tmp_path: Path) -> None:
    runners = []
    for name in ("one", "two"):
        host = Flask(name)
        database = SqliteDatabase(str(tmp_path / f"{name}.db"))
        init_app(host, user_id=lambda: 7, database=database)
        runners.append(host.test_cli_runner())
    words = ["leads", "import", "-", "--format", "csv"]
    text = "user,company_id\n7,1\n-8,2\n"
    for runner in runners:
        assert (
            "2 leads stored" in runner.invoke(args=[*words, "--users-by", "id"], input=text).output
        )
        text = runner.invoke(args=["leads", "export"]).stdout
        assert [line.split(",")[:2] for line in text.splitlines()[1:]] == [["-8", "2"], ["7", "1"]]
    result = runners[0].invoke(args=[*words, "--users-by", "name"], input=text)
    assert (result.exit_code, "say --users-by id" in result.output) == (2, True)
    result = runners[0].invoke(args=[*words, "--users-by", "id"], input="user,company_id\nx,1\n")
    assert "line 2: user: 'x' is no user's id" in result.output


def test_what_a_spreadsheet_would_run(run: Run, alice: Caller, service: AppState) -> None:
    service.accounts.rename_user("alice", "=alice")
    for notes in NOTES:
        alice.client.post("/v1/leads", json={"company_id": 1, "notes": notes})
    exact = csv.DictReader(io.StringIO(run("export").stdout_bytes.decode(), newline=""))
    assert [row["notes"] for row in exact] == list(NOTES)
    text = run("export", "--for-spreadsheet").stdout_bytes
    assert text.startswith(b"\xef\xbb\xbf")
    defused = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))
    assert [row["notes"] for row in defused] == list(NOTES.values())
    assert {row["user"] for row in defused} == {"'=alice"}
    words = ("export", "--for-spreadsheet", "--format", "jsonl")
    assert "--for-spreadsheet is for CSV" in run(*words, code=2).stderr


NOTES = {
    "=1+1": "'=1+1",
    "+1": "'+1",
    "-1": "'-1",
    "@SUM(1)": "'@SUM(1)",
    "\t=1": "'\t'=1",
    "\r=1": "'\r'=1",
    "\n=1": "'\n'=1",
    "\uff1d1": "'\uff1d1",
    "x;=1;y": "x;'=1;y",  # a spreadsheet that expects semicolons sees three cells
    "x\r\n=1": "x\r\n'=1",
    "1-1=0, a@b": "1-1=0, a@b",
    "'=1": "'=1",
    "plain\r\ntext": "plain\r\ntext",
}


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES |= st.sampled_from([[], "", "~"])
TIMES = st.datetimes().map(lambda time: time.isoformat(timespec="microseconds") + "Z")
TIMES |= st.dates().map(str)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "company_id": st.integers(-1, 5) | st.just(2**63) | VALUES,
        "status": st.sampled_from(STATUSES) | VALUES,
        "notes": st.text(max_size=5) | VALUES,
        "created_at": TIMES | st.just("2026-W01-1T00:00:00.000000Z") | VALUES,
        "updated_at": TIMES | VALUES,
        "score": VALUES,
    },
)


@settings(max_examples=300)
@given(row=ROWS)
def test_what_is_plainly_valid_is_so_by_the_schema(row: Any) -> None:
    try:
        loaded = LeadImportSchema().load(row)
    except ValidationError:
        assert not is_plainly_valid(row)
    else:
        if is_plainly_valid(row):
            assert loaded == row


def test_the_schema_is_spared_what_is_plainly_valid(
    run: Run, alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def load(row: dict[str, Any]) -> dict[str, Any]:
        read.append(row)
        return row

    monkeypatch.setattr(transfer._schema, "load", load)
    run("import", "-", "--format", "csv", "--user", "alice", stdin="company_id,notes\n1,a\n2,b\n")
    assert read == []
    run("import", "-", "--format", "csv", "--user", "alice", stdin='company_id,notes\n1,"\t"\n')
    assert read == [{"company_id": 1, "notes": "\t"}]


def test_lines_are_counted_as_an_editor_does() -> None:
    text = 'company_id,notes\n1,"a\nb"\n\nx,\n'
    assert [line for line, _ in read_csv(io.StringIO(text))] == [2, 5]
    assert [line for line, _ in read_jsonl(["\n", "{}\n"])] == [2]
