"""What all commands share: errors in one line, the prepared store, tables."""

import sys
from collections.abc import Iterable, Sequence
from errno import EPIPE
from io import StringIO
from typing import Any

import click
from flask.cli import AppGroup
from peewee import PeeweeException

from leads_service.accounts import AccountError
from leads_service.config import ConfigError
from leads_service.db import StoreError, connect
from leads_service.migrations import has_store, migrate, pending
from leads_service.scoring import ScorerError
from leads_service.service import Service, current_service

EXPECTED = (AccountError, ConfigError, ScorerError, StoreError)


class Commands(AppGroup):
    """A group whose commands end with one line and exit code 1 when they can't do their work."""

    program = "leads-service"  # what to type before a command of the group

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            message = str(error).replace("leads-service ", f"{self.program} ")
            raise click.ClickException(message) from error
        except OSError as error:
            if error.errno == EPIPE:  # whoever reads has had enough; click knows that
                raise
            raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from error
        except PeeweeException as error:
            raise click.ClickException(
                f"the store failed ({error}); try again, or see: leads-service db status"
            ) from error


def opened_service() -> Service:
    """Return the application's service, its database open until the command ends."""
    service = current_service()
    if connect(service.database):
        click.get_current_context().call_on_close(service.database.close)
    return service


def ready_service(*, makes_store: bool = False) -> Service:
    """Return the application's service once its store is up to date.

    Raises StoreError if there is no store, unless the command ``makes_store``; and in a host, which
    brings its database up to date itself, if it has not.
    """
    service = current_service()
    if not makes_store and not service.shares_database and not has_store(service.database):
        raise StoreError(
            f"there is no store of leads at {service.database.database}; "
            "check LEADS_DATABASE, or make one with: leads-service db migrate"
        )
    if not service.is_hosted:
        migrate(service.database)
    opened_service()
    if service.is_hosted and pending(service.database):
        raise StoreError("the schema is not up to date; run: leads-service db migrate")
    return service


def progress_bar(length: int, label: str) -> Any:
    """Return a progress bar on stderr, which shows if that is a terminal and ``length`` is not 0.

    Click has an option for that since its 8.2.
    """
    is_seen = length and sys.stderr.isatty()
    return click.progressbar(length=length, label=label, file=sys.stderr if is_seen else StringIO())


def echo_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their headers, each column as wide as its widest cell."""
    table = [headers, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
