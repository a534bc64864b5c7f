"""Commands about the store."""

from pathlib import Path

import click

from leads_service import migrations
from leads_service.cli.base import Commands
from leads_service.service import current_service

db = Commands("db", help="The store's schema.")


@db.command("migrate")
def migrate() -> None:
    """Bring the schema up to date; the server does so itself when it starts.

    \b
    Example:  leads-service db migrate
    """
    applied = migrations.migrate(current_service().database)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("The schema is up to date.")


@db.command("status")
def status() -> None:
    """Say where the store is, how large, and whether its schema is up to date.

    \b
    Example:  leads-service db status
    """
    database = current_service().database
    file = Path(database.database)
    size = f"{file.stat().st_size:,} bytes" if file.exists() else "not there yet"
    click.echo(f"file:   {file} ({size})")
    pending = migrations.pending(database) if file.exists() else ["everything"]
    click.echo(f"schema: {'pending ' + ', '.join(pending) if pending else 'up to date'}")
