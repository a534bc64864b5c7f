"""The command ``copy``."""

from urllib.parse import quote

import click
from flask.cli import with_appcontext

from leads_service import copying
from leads_service.cli.base import progress_bar, ready_state
from leads_service.exceptions import ConfigError, StorageUnusableError
from leads_service.storage import open_storage
from leads_service.storage.base import Storage

NAMES = {
    "leads_user": "users",
    "leads_token": "tokens",
    "leads_lead": "leads",
    "leads_history": "status changes",
    "leads_idempotency": "idempotency keys",
    "leads_deleted": "positions of deleted leads",
}


@click.command("copy")
@click.option(
    "--to",
    metavar="URL_OR_PATH",
    required=True,
    help="The database to copy to, as LEADS_DATABASE names it, or the path of an SQLite file.",
)
@with_appcontext
def copy(to: str) -> None:
    """Copy users, tokens, leads and all else to an empty database, such as PostgreSQL's.

    Ids, times, tokens and Idempotency-Keys stay as they are. The copy is of one moment and
    compared with what it was made of. Stop the server first: what is written meanwhile is not
    copied.

    \b
    Example:  leads-service copy --to postgresql://leads@db.example.com/leads
    """
    source = ready_state().storage
    target = _target(to)
    leads = sum(source.count_by_status().values())
    with progress_bar(2 * leads, "Copying") as bar:
        try:
            counts = copying.copy(source, target, bar.update)
        except StorageUnusableError as error:
            message = str(error)
            if target.location in message:
                message = message.replace("LEADS_DATABASE", "--to")
            raise StorageUnusableError(message) from error
    for table, count in counts.items():
        click.echo(f"{count:>9,} {NAMES[table]}")
    click.echo(f"copied to {target.location}; set LEADS_DATABASE to its URL")


def _target(to: str) -> Storage:
    try:
        return open_storage(to if ":" in to else f"sqlite:///{quote(to)}")
    except ConfigError as error:
        raise click.UsageError(str(error).replace("LEADS_DATABASE", "--to")) from error
