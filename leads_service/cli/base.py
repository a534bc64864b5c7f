"""What all commands share: errors in one line, the prepared store, tables."""

import sys
from collections.abc import Iterable, Sequence
from errno import EPIPE
from io import StringIO
from typing import Any

import click
from flask.cli import AppGroup

from leads_service.exceptions import (
    AccountError,
    ConfigError,
    ScorerError,
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.state import AppState, current_state

EXPECTED_ERRORS = (AccountError, ConfigError, ScorerError, StorageUnusableError)


class Commands(AppGroup):
    """A group whose commands end with one line and exit code 1 when they can't do their work."""

    program = "leads-service"  # what to type before a command of the group

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except EXPECTED_ERRORS as error:
            message = str(error).replace("leads-service ", f"{self.program} ")
            raise click.ClickException(message) from error
        except OSError as error:
            if error.errno == EPIPE:  # whoever reads has had enough; click knows that
                raise
            raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from error
        except StorageUnavailableError as error:
            raise click.ClickException(
                f"the store failed ({error}); try again, or see: leads-service db status"
            ) from error


def ready_state(*, creates: bool = False) -> AppState:
    """Return the application's state once its database is up to date, connected for the command.

    Args:
        creates: Whether the command creates the database if there is none.

    Raises:
        StorageUnusableError: There is no database, or in a host, which brings its schema up to date
            itself, it is not up to date.

    """
    state = current_state()
    storage = state.storage
    if not creates and not state.shares_database and not storage.exists():
        raise StorageUnusableError(
            f"there is no store of leads at {storage.location}; "
            "check LEADS_DATABASE, or make one with: leads-service db migrate"
        )
    if not state.is_hosted:
        storage.migrate()
    click.get_current_context().with_resource(storage.opened())
    if state.is_hosted and storage.pending_migrations():
        raise StorageUnusableError("the schema is not up to date; run: leads-service db migrate")
    return state


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
