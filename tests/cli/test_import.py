"""The command import: all leads of a file or none."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from peewee import SqliteDatabase

from leads_service.lead import IN_FILES
from leads_service.state import EXTENSION, AppState
from tests.cli.files import portable
from tests.helpers import Caller, Run, indexes, own_database_of
from tests.scorers import raises

OLD = "2020-02-29T23:59:59.000001Z"


LATER = "2021-01-01T00:00:00.000000Z"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
    assert portable(alice) == [
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
    assert [(lead["company_id"], lead["status"]) for lead in portable(alice)] == [
        (7, "new"),
        (8, "converted"),
    ]
    assert alice.client.get("/v1/leads?min_score=100").get_json()["data"][0]["company_id"] == 8


def test_only_the_company_is_needed_and_a_byte_order_mark_is_none(
    run: Run, alice: Caller, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbfcompany_id\n1\n")
    run("import", "in.csv", "--user", "alice")
    assert portable(alice)[0]["company_id"] == 1


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
    assert portable(alice) == []


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
    assert [lead["notes"] for lead in portable(alice)] == ["good"]


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
    assert portable(alice) == []


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
    assert [(lead["company_id"], lead["notes"]) for lead in portable(alice)] == [
        (7, "a;b,c\td"),
        (8, ""),
    ]
    assert portable(alice)[0]["created_at"] == "2020-02-29T00:00:00.000000Z"
    assert portable(alice)[0]["updated_at"] == "2020-03-01T00:00:00.000000Z"


def test_the_delimiter_is_what_stands_beside_company_id(run: Run, alice: Caller) -> None:
    text = '"a,b";company_id;"c,company_id,d"\n1,2;7;3,4,5\n'
    words = ("import", "-", "--format", "csv", "--user", "alice", "--ignore-extra")
    run(*words, stdin=text)
    assert portable(alice)[0]["company_id"] == 7


def test_other_fields_in_json(run: Run, alice: Caller) -> None:
    words = ("import", "-", "--format", "jsonl", "--user", "alice")
    text = '{"company_id": 7, "score": 5, "Status": "new"}\n'
    assert run(*words, stdin=text, code=1).stderr.startswith(
        "line 1: It names columns that no lead has: 'score', 'Status'; "
        "leave them out with --ignore-extra.\n"
    )
    run(*words, "--ignore-extra", stdin=text)
    assert [lead["company_id"] for lead in portable(alice)] == [7]


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
            f"the first line must name company_id, and may name {', '.join(IN_FILES[1:-1])} and "
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
    assert portable(alice) == []


def test_an_import_for_nobody(run: Run, alice: Caller) -> None:
    from_file = ("import", "-", "--format", "csv", "--user", "nobody")
    assert "there is no user 'nobody'" in run(*from_file, stdin="company_id\n1\n", code=1).stderr


def test_while_another_one_writes(
    run: Run, alice: Caller, service: AppState, database_file: Path
) -> None:
    """Everything is read before the lock is asked for; without it nothing is stored."""
    own_database_of(service).timeout = 0
    other = SqliteDatabase(str(database_file))
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
    assert portable(alice) == []


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


@pytest.mark.slow
@pytest.mark.usefixtures("of_sqlite")
def test_many_leads_keep_the_indexes(run: Run, alice: Caller, service: AppState, url: str) -> None:
    before = indexes(url)
    text = "company_id\n" + "".join(f"{number}\n" for number in range(1, 10_001))
    run("import", "-", "--format", "csv", "--user", "alice", stdin=text)
    assert indexes(url) == before
    assert service.storage.problems() == []
    assert len(alice.client.get("/v1/leads?company_id=10000").get_json()["data"]) == 1


def test_users_by_id(run: Run, alice: Caller, bob: Caller) -> None:
    text = f" USER ;company_id\n{bob.id};7\n{alice.id};8\n"
    run("import", "-", "--format", "csv", "--users-by", "id", stdin=text)
    assert [lead["company_id"] for lead in portable(alice)] == [8]
    assert [lead["company_id"] for lead in portable(bob)] == [7]


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
    assert portable(alice) == []


def test_rejects_name_the_owner(run: Run, alice: Caller, tmp_path: Path) -> None:
    words = ("import", "-", "--format", "csv", "--users-by", "name", "--skip-invalid")
    run(*words, stdin="user,company_id\nalice,0\neve,1\nalice,7\n")
    rejects = [json.loads(line) for line in (tmp_path / "stdin.rejects").read_text().splitlines()]
    assert [reject["row"]["user"] for reject in rejects] == ["alice", "eve"]
    assert [lead["company_id"] for lead in portable(alice)] == [7]


@pytest.mark.parametrize("words", [(), ("--user", "alice", "--users-by", "name")])
def test_whose_leads_they_become_is_said_once(
    run: Run, alice: Caller, words: tuple[str, ...]
) -> None:
    result = run("import", "-", "--format", "csv", *words, stdin="company_id\n1\n", code=2)
    assert "either --user or --users-by" in result.stderr
    result = run("import", "-", "--format", "csv", "--users-by", "id", stdin="user\n1\n", code=1)
    assert "the first line must name company_id and user, and may name" in result.stderr
