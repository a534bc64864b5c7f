"""The commands ``backup`` and ``restore``."""

from pathlib import Path

import click
from flask.cli import with_appcontext

from leads_service.state import current_state

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("backup")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Replace the file if it exists.")
@with_appcontext
def backup(file: Path, replace: bool) -> None:
    """Copy the store into one file, whole and checked, while the server runs.

    \b
    Example:  leads-service backup leads-2026-11-22.db
    """
    current_state().storage.back_up(file, replace=replace)
    click.echo(f"{file} ({file.stat().st_size:,} bytes)")


@click.command("restore")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Put the store that is there aside.")
@with_appcontext
def restore(file: Path, replace: bool) -> None:
    """Put a backup in the store's place, of an older version too; stop the server first.

    \b
    Example:  leads-service restore leads-2026-11-22.db
    """
    storage = current_state().storage
    aside = storage.restore(file, replace=replace)
    click.echo(f"restored {storage.location}")
    if aside is not None:
        click.echo(f"the store that was there is now {aside}")
