"""The commands ``db migrate``, ``db check``, ``db status`` and ``db distribute``."""

import click
from flask.cli import AppGroup

from leads_service.cli.base import ready_state
from leads_service.exceptions import StorageUnusableError
from leads_service.state import current_state

db = AppGroup("db", help="The store's schema.")


@db.command("migrate")
def migrate() -> None:
    """Bring the schema up to date; the server does so itself when it starts.

    \b
    Example:  leads-service db migrate
    """
    applied = current_state().storage.migrate()
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("The schema is up to date.")


@db.command("check")
def check() -> None:
    """Look for damage in the whole database; end with exit code 1 if there is any.

    \b
    Example:  leads-service db check
    """
    state = current_state()
    if found := state.storage.problems():
        click.echo("\n".join(found))
        remedy = "" if state.is_hosted else ": leads-service restore FILE"
        raise StorageUnusableError(
            f"{state.storage.location} is damaged, or no database; restore a backup{remedy}"
        )
    click.echo("ok")


@db.command("distribute")
def distribute() -> None:
    """Distribute the tables over the nodes of a cluster of Citus, by user.

    Stop the server first, for it has to learn of it, and its writes could end in a deadlock.

    \b
    Example:  leads-service db distribute
    """
    state = ready_state()
    distributed = state.storage.distribute(of_known_users=state.takes_tokens)
    for name in distributed:
        click.echo(f"distributed {name}")
    if not distributed:
        click.echo("The tables are distributed already.")


@db.command("status")
def status() -> None:
    """Say where the store is, how large, and whether its schema is up to date.

    \b
    Example:  leads-service db status
    """
    for heading, text in current_state().storage.status():
        click.echo(f"{heading + ':':<7} {text}")
