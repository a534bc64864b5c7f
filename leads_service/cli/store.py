"""Commands about the store."""

import sqlite3
from pathlib import Path

import click
from flask.cli import AppGroup

from leads_service import migrations
from leads_service.cli.base import opened_service
from leads_service.copies import problems
from leads_service.db import StoreError
from leads_service.service import current_service
from leads_service.sqlite import has_safe_wal_reset

# https://www.sqlite.org/wal.html#walresetbug
WAL_RESET = " (has the WAL-reset bug: let no other program write to the file)"

db = AppGroup("db", help="The store's schema.")


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


@db.command("check")
def check() -> None:
    """Look for damage in the whole file; end with exit code 1 if there is any.

    \b
    Example:  leads-service db check
    """
    service = current_service()
    file = Path(service.database.database)
    if not file.exists():
        raise StoreError(f"there is no store at {file} yet; nothing to check")
    if found := problems(file):
        click.echo("\n".join(found))
        remedy = "" if service.is_hosted else ": leads-service restore FILE"
        raise StoreError(f"{file} is damaged, or no database; restore a backup{remedy}")
    click.echo("ok")


@db.command("status")
def status() -> None:
    """Say where the store is, how large, and whether its schema is up to date.

    \b
    Example:  leads-service db status
    """
    file = Path(current_service().database.database)
    size = f"{file.stat().st_size:,} bytes" if file.exists() else "not there yet"
    click.echo(f"file:   {file} ({size})")
    # Opening it would make the file.
    pending = migrations.pending(opened_service().database) if file.exists() else ["everything"]
    click.echo(f"schema: {'pending ' + ', '.join(pending) if pending else 'up to date'}")
    click.echo(f"SQLite: {sqlite3.sqlite_version}{'' if has_safe_wal_reset() else WAL_RESET}")
