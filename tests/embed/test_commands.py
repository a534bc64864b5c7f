"""The commands in a host's own."""

import pytest
from click import Group
from flask import Flask
from peewee import Database

from leads_service import init_app
from tests.embed.hosts import LEADS


def test_the_hosts_commands_stay(host: Flask) -> None:
    runner = host.test_cli_runner()
    assert runner.invoke(args=["greet"]).output == "hello\n"
    status = runner.invoke(args=["leads", "db", "status"]).output
    assert "\nschema: up to date\n" in status
    leads = host.cli.commands["leads"]
    assert isinstance(leads, Group)
    assert leads.commands.keys() == {"db", "pipeline", "rescore", "reassign", "import", "export"}


def test_a_command_of_the_hosts_of_the_same_name(database: Database) -> None:
    app = Flask("host")
    app.cli.command("leads")(lambda: print("the host's"))
    init_app(app, user_id=lambda: 1, database=database)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["leads"]).output == "the host's\n"
    assert "Conversion rate" in runner.invoke(args=["leads-service", "pipeline"]).output


def test_files_for_the_hosts_users(host: Flask) -> None:
    runner = host.test_cli_runner()
    words = ["leads", "import", "-", "--format", "csv", "--user"]
    assert runner.invoke(args=[*words, "7"], input="company_id\n5\n").exit_code == 0
    assert "no user's id" in runner.invoke(args=[*words, "alice"], input="company_id\n").output
    client = host.test_client()
    client.get("/login/7")
    assert [lead["company_id"] for lead in client.get(LEADS).get_json()["data"]] == [5]


def test_commands_leave_the_schema_to_a_host_that_migrates_itself(
    database: Database,
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database, migrate=False)
    runner = app.test_cli_runner()
    result = runner.invoke(args=["leads", "pipeline"])
    assert result.exit_code == 1
    assert "the schema is not up to date; run: flask leads db migrate" in result.output
    assert database.get_tables() == []
    database.close()
    assert runner.invoke(args=["leads", "db", "migrate"]).exit_code == 0
    assert runner.invoke(args=["leads", "pipeline"]).exit_code == 0


@pytest.mark.parametrize("name", ["x", "99999999999999999999999", " 7", "\u0663"])
def test_ids_that_are_none(host: Flask, name: str) -> None:
    result = host.test_cli_runner().invoke(args=["leads", "pipeline", "--user", name])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {name!r} is no user's id; users are known by their integer ids\n",
    )


def test_remedies_name_the_hosts_program(database: Database) -> None:
    app = Flask("host")
    init_app(app, database=database)
    result = app.test_cli_runner().invoke(args=["leads", "token", "create", "bob"])
    assert "add one with: flask leads user add bob" in result.output
