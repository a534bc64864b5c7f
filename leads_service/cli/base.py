"""Helpers of the commands: one-line errors, access to the database, progress bars, tables."""

import sys
from collections.abc import Iterable, Sequence
from errno import EPIPE
from io import StringIO
from typing import Any

import click
from flask.cli import AppGroup

from leads_service.exceptions import (
    AccountError,
    CommitOutcomeUnknownError,
    ConfigError,
    ScorerError,
    StorageUnavailableError,
    StorageUnusableError,
)
from leads_service.state import AppState, current_state

EXPECTED_ERRORS = (AccountError, ConfigError, ScorerError, StorageUnusableError)


class Commands(AppGroup):
    """A group of commands that report expected errors in one line, with exit code 1.

    Attributes:
        program: How a command of the group is called, for messages.
    """

    program = "leads-service"

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command of the group.

        Raises:
            ClickException: The command failed with an expected error, or an error of the system.
        """
        try:
            return super().invoke(ctx)
        except EXPECTED_ERRORS as error:
            message = str(error).replace("leads-service ", f"{self.program} ")
            raise click.ClickException(message) from error
        except OSError as error:
            if error.errno == EPIPE:  # the reader of stdout is gone, which click handles
                raise
            raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from error
        except CommitOutcomeUnknownError as error:
            raise click.ClickException(
                f"it is not known whether this was stored ({error}); look before you try again"
            ) from error
        except StorageUnavailableError as error:
            raise click.ClickException(
                f"the store failed ({error}); try again, or see: leads-service db status"
            ) from error


def ready_state(*, creates: bool = False) -> AppState:
    """Migrate the database, connect to it for the rest of the command, and return the state.

    A host's database is not migrated, since hosts migrate at a time of their own.

    Args:
        creates: Whether to create the database if it does not exist.

    Raises:
        StorageUnusableError: The database does not exist or can't be used, or a host's schema is
            not up to date.
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
    """Return click's progress bar on stderr, hidden unless that is a terminal.

    Click has an option for hiding since 8.2, and hosts may have older releases.

    Args:
        length: The number of steps; 0 hides the bar as well.
        label: The text before the bar.
    """
    is_seen = length and sys.stderr.isatty()
    return click.progressbar(length=length, label=label, file=sys.stderr if is_seen else StringIO())


def echo_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with aligned columns."""
    table = [headers, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
