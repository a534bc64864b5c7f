"""The groups of commands ``user`` and ``token``."""

import re
import sys
from datetime import timedelta
from typing import Any

import click
from flask.cli import AppGroup

from leads_service.cli.base import echo_table, ready_state
from leads_service.leads import how_many

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_LIFETIME = timedelta(days=36_500)  # a hundred years, well before the end of datetime's range


class Duration(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """A duration such as ``90d``: an integer and a unit, one of m, h, d or w."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the duration; fail if it is malformed, zero or longer than ``MAX_LIFETIME``."""
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
    click.echo(ready_state(creates=True).accounts.add_user(name))


@user.command("list")
def list_users() -> None:
    """List the users.

    \b
    Example:  leads-service user list
    """
    users = ready_state().accounts.users()
    echo_table(("ID", "NAME", "CREATED"), ((u["id"], u["name"], u["created_at"]) for u in users))


@user.command("rename")
@click.argument("old")
@click.argument("new")
def rename(old: str, new: str) -> None:
    """Call a user otherwise; the id, the tokens and the leads stay.

    \b
    Example:  leads-service user rename alice alicia
    """
    ready_state().accounts.rename_user(old, new)
    click.echo(f"{old} is called {new} now.", err=True)


@user.command("remove")
@click.argument("name")
@click.option("--leads-to", metavar="OTHER", help="Give the leads to this user.")
@click.option("--erase", is_flag=True, help="Erase the leads.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, leads_to: str | None, erase: bool, yes: bool) -> None:
    """Remove a user, whose tokens end at once; leads have to go somewhere.

    \b
    Example:  leads-service user remove alice --leads-to bob
    """
    if erase and leads_to is not None:
        raise click.UsageError("--leads-to and --erase exclude each other")
    accounts = ready_state().accounts
    leads = how_many(accounts.count_to_remove(name, leads_to=leads_to, erase=erase))
    fate = f"erase {leads}" if leads_to is None else f"give {leads} to {leads_to}"
    if not yes:
        _confirm(f"Remove {name} and {fate}?")
    leads = how_many(accounts.remove_user(name, leads_to=leads_to, erase=erase))
    fate = f"{leads} erased" if leads_to is None else f"{leads} given to {leads_to}"
    click.echo(f"{name} is removed, {fate}.", err=True)


def _confirm(question: str) -> None:
    """Ask a question, and return if the answer is yes.

    Raises:
        Abort: The answer is no.
        ClickException: stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"{question} There is no terminal to ask on; confirm with --yes. Nothing was removed"
        )
    click.confirm(question, abort=True, err=True)


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
    accounts = ready_state().accounts
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
    tokens = ready_state().accounts.tokens(name)
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
    ready_state().accounts.revoke_token(token_id)
    click.echo(f"Token {token_id} is revoked.", err=True)
