"""Leads from one host to another."""

from pathlib import Path

from flask import Flask
from peewee import SqliteDatabase

from leads_service import init_app


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
