"""Commands about users and tokens."""

import re
from datetime import timedelta
from typing import Any

import click
from flask.cli import AppGroup

from leads_service.cli.base import echo_table, ready_service

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_LIFETIME = timedelta(days=36_500)  # a hundred years; far longer, and the calendar ends


class Duration(click.ParamType[timedelta]):
    """A time span such as ``90d``: a whole number and m, h, d or w."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the time span; fails for one that is malformed, zero or over a hundred years."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([0-9]{1,8})([mhdw])", value)
        span = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta()
        if not timedelta() < span <= MAX_LIFETIME:
            self.fail(
                f"{value!r} is no duration: use 30m, 12h, 90d or 8w, up to 36500d", param, ctx
            )
        return span


user = AppGroup("user", help="Who may have leads.")
token = AppGroup("token", help="What users call with.")
GROUPS = (user, token)


@user.command("add")
@click.argument("name")
def add(name: str) -> None:
    """Add a user and print the id.

    \b
    Example:  leads-service user add alice
    """
    click.echo(ready_service().accounts.add_user(name))


@user.command("list")
def list_users() -> None:
    """List the users.

    \b
    Example:  leads-service user list
    """
    users = ready_service().accounts.users()
    echo_table(("ID", "NAME", "CREATED"), ((u["id"], u["name"], u["created_at"]) for u in users))


@token.command("create")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="Refuse to create or change leads with it.")
@click.option("--expires", type=Duration(), metavar="DURATION", help="How long it lasts: 90d, 12h.")
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
def create(name: str, read_only: bool, expires: timedelta | None, label: str) -> None:
    """Print a new token for a user, who sees it this once.

    \b
    Example:  TOKEN=$(leads-service token create alice --expires 90d)
    """
    accounts = ready_service().accounts
    click.echo(accounts.create_token(name, read_only=read_only, lifetime=expires, label=label))
    click.echo("Keep it: only its SHA-256 is stored.", err=True)


@token.command("list")
@click.argument("name", required=False)
def list_tokens(name: str | None) -> None:
    """List the tokens of all users, or of one; never the tokens themselves.

    \b
    Example:  leads-service token list alice
    """
    headers = ("ID", "USER", "TOKEN", "LABEL", "READ-ONLY", "CREATED", "EXPIRES", "LAST USED")
    tokens = ready_service().accounts.tokens(name)
    echo_table(
        headers,
        (
            (
                t["id"],
                t["user_name"],
                t["prefix"] + "...",
                t["label"] or "-",
                "yes" if t["read_only"] else "no",
                t["created_at"],
                t["expires_at"] or "never",
                t["last_used_at"] or "never",
            )
            for t in tokens
        ),
    )


@token.command("revoke")
@click.argument("token_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
def revoke(token_id: int) -> None:
    """End a token at once, in every running worker.

    \b
    Example:  leads-service token revoke 3
    """
    ready_service().accounts.revoke_token(token_id)
    click.echo(f"Token {token_id} is revoked.", err=True)
