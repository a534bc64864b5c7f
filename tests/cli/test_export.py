"""The command export, and what it wrote imported again."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from leads_service import create_app
from leads_service.state import AppState
from tests.cli.files import portable
from tests.helpers import Caller, Run, caller


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_export_wrote_gives_the_same_leads(
    run: Run, alice: Caller, bob: Caller, clock: Any, kind: str
) -> None:
    for notes in ("", "plain", 'a "quoted"\r\nline\n\r', "東京, שלום, 😀", " \t", "\ufeff", "\x01"):
        lead = alice.client.post("/v1/leads", json={"company_id": 1, "notes": notes}).get_json()
        clock.move(seconds=1)
        alice.client.patch(f"/v1/leads/{lead['id']}", json={"status": "lost"})
    exported = run("export", "--user", "alice", "--format", kind).stdout.encode()
    run("import", "-", "--format", kind, "--user", "bob", stdin=exported)
    assert portable(bob) == portable(alice)
    assert run("export", "--user", "bob", "--format", kind).stdout.encode() == exported


def test_export_filters_as_the_api_does(run: Run, alice: Caller, bob: Caller) -> None:
    for company_id, status in ((1, "new"), (2, "lost"), (3, "converted")):
        made = alice.client.post("/v1/leads", json={"company_id": company_id}).get_json()
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
    exported = run("export", "--format", kind).stdout.encode()
    other = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/other.db"})
    others = {name: caller(other, name) for name in ("bob", "carol", "alice")}
    words = ["leads", "import", "-", "--format", kind, "--users-by", "name"]
    result = other.test_cli_runner().invoke(args=words, input=exported)
    assert result.output.endswith("3 leads stored.\n")
    assert portable(others["alice"]) == portable(alice) != []
    assert portable(others["bob"]) == portable(bob)
    assert portable(others["carol"]) == []


def test_what_a_spreadsheet_would_run(run: Run, alice: Caller, service: AppState) -> None:
    service.accounts.rename_user("alice", "=alice")
    for notes in NOTES:
        alice.client.post("/v1/leads", json={"company_id": 1, "notes": notes})
    exact = csv.DictReader(io.StringIO(run("export").stdout, newline=""))
    assert [row["notes"] for row in exact] == list(NOTES)
    text = run("export", "--for-spreadsheet").stdout.encode()
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
