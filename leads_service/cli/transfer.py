"""The commands ``import`` and ``export``."""

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import click
from flask.cli import with_appcontext

from leads_service import transfer
from leads_service.cli.base import progress_bar, ready_state
from leads_service.cli.filters import filter_options, filters_of
from leads_service.exceptions import AccountError
from leads_service.lead import IN_FILES
from leads_service.leads import how_many
from leads_service.state import AppState
from leads_service.transfer import (
    OPTIONAL,
    OWNER,
    REQUIRED,
    Owner,
    Row,
    listed,
    owned_by,
    owned_by_column,
    read_csv,
    read_jsonl,
)

READERS = {"csv": read_csv, "jsonl": read_jsonl}
FORMATS = tuple(READERS)
REMEDY = "mend these lines, or leave them out with --skip-invalid"
UNDECODED = re.compile("[\udc80-\udcff]")  # surrogateescape: bytes that are not UTF-8
MAX_REPORTED = 10  # invalid rows that are reported before an import is aborted
# What makes a cell a formula: https://owasp.org/www-community/attacks/CSV_Injection. It is matched
# after delimiters too, where a spreadsheet that expects another delimiter begins a new cell.
FORMULA_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"  # the last four are full-width forms
FORMULA_START = re.compile(rf"^(?=[{FORMULA_SIGNS}\t\r\n])|(?<=[,;\t\r\n])(?=[{FORMULA_SIGNS}])")


class Rejects:
    """The destination of invalid rows: a file, or messages on stderr up to ``MAX_REPORTED``.

    Attributes:
        count: How many rows have been added.
    """

    def __init__(self, path: Path | None, remedy: str = REMEDY):
        """Create it.

        Args:
            path: The file to write the rows to; None to report them on stderr.
            remedy: What the final error message advises to do.
        """
        self.count = 0
        self._path = path
        self._remedy = remedy
        self._file: TextIO | None = None

    def add(self, line: int, errors: dict[str, Any], row: Any) -> None:
        """Report an invalid row, or write it to the file.

        Args:
            line: The line of the row in its file.
            errors: Messages by field.
            row: The row.

        Raises:
            ClickException: ``MAX_REPORTED`` rows have been reported.
        """
        self.count += 1
        values = row.values() if isinstance(row, dict) else ()
        if any(isinstance(value, str) and UNDECODED.search(value) for value in values):
            errors = {"_schema": ["It is not UTF-8; save the file as CSV UTF-8."]}
        if self._path is not None:
            self._file = self._file or self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps({"line": line, "errors": errors, "row": row}) + "\n")
            return
        for field, messages in errors.items():
            name = "" if field == "_schema" else f"{field}: "
            click.echo(f"line {line}: {name}{' '.join(messages)}", err=True)
        if self.count == MAX_REPORTED:
            list(self.end())

    def end(self) -> Iterator[Row]:
        """Finish, after the last row: close the file, if there is one.

        It is an iterator without elements, so that it can be chained to the rows and runs within
        the transaction of the import.

        Raises:
            ClickException: There is no file and a row was invalid: the import must not be stored.
        """
        if self._file is not None:
            self._file.close()
        elif self.count:
            raise click.ClickException(f"nothing was stored; {self._remedy}")
        yield from ()


format_option = click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="Instead of what the name ends in."
)
ignore_extra_option = click.option(
    "--ignore-extra", is_flag=True, help="Leave out columns that no lead has."
)


IMPORT_HELP = f"""
Store the leads of a CSV or JSON Lines file (- is stdin), all of them or none.

The columns are {listed(REQUIRED)}, and if need be {listed(OPTIONAL)}, with a comma, a semicolon
or a tab between them. A day without a time is its first moment in UTC. What export wrote without
--user is taken with --users-by name, or id in an application with users of its own.

\b
Example:  leads-service import leads.csv --user alice
"""


@click.command("import", help=IMPORT_HELP)
@click.argument(
    "source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--user", "name", metavar="NAME", help="Whose leads they become.")
@click.option(
    "--users-by",
    type=click.Choice(["name", "id"]),
    help="What the column user holds, which says whose lead each one becomes.",
)
@format_option
@ignore_extra_option
@click.option(
    "--skip-invalid", is_flag=True, help="Store the valid rows, write the others to a file."
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="That file; FILE.rejects unless given.",
)
@with_appcontext
def import_leads(
    source: str,
    name: str | None,
    users_by: str | None,
    kind: str | None,
    ignore_extra: bool,
    skip_invalid: bool,
    rejects: Path | None,
) -> None:
    """Import leads from a file."""
    kind = kind_of(source, kind)
    if (name is None) == (users_by is None):
        raise click.UsageError("say whose leads they become: either --user or --users-by")
    state = ready_state()
    owner = _by_column(state, users_by) if users_by else owned_by(state.user_id(name or ""))
    path = rejects or Path(f"{'stdin' if source == '-' else source}.rejects")
    if source != "-" and path.exists() and path.samefile(source):
        raise click.UsageError(f"{path} can't be what is read and what is written; see --rejects")
    invalid = Rejects(path if skip_invalid else None)
    with open_text(source) as file, _progress(file) as bar:
        lines = _counted(file, bar)
        rows = READERS[kind](lines, has_owner=bool(users_by), ignore_extra=ignore_extra)
        try:
            stored = transfer.import_leads(
                state.storage,
                state.scorer,
                owner,
                chain(rows, invalid.end()),
                datetime.now(UTC),
                invalid.add,
                state.leads.confirm_users,
            )
        except ValueError as error:
            raise click.ClickException(f"{source}: {error}; nothing was stored") from error
    click.echo(f"{how_many(stored)} stored.")
    if skip_invalid:
        click.echo(f"{invalid.count} left out, with reasons in {path}", err=True)


@click.command("export")
@click.option("--user", "name", metavar="NAME", help="This user's leads only.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option(
    "--for-spreadsheet",
    is_flag=True,
    help="Put an apostrophe before what a spreadsheet would take for a formula.",
)
@filter_options
@with_appcontext
def export(name: str | None, kind: str, for_spreadsheet: bool, **given: str | None) -> None:
    """Print leads, oldest first, exactly as import takes them.

    Without --user, everybody's, with a column user in front: the owner's name, or in an application
    with users of its own their id; see import --users-by. What is written --for-spreadsheet is to
    be looked at: an import would keep its apostrophes.

    \b
    Example:  leads-service export --user alice --status qualified > qualified.csv
    """
    if for_spreadsheet and kind != "csv":
        raise click.UsageError("--for-spreadsheet is for CSV")
    state = ready_state()
    filters = filters_of(given)
    user_id = None if name is None else state.user_id(name)
    first = 0 if name is None else 1  # no column user in a file of one user's leads
    columns = (OWNER, *IN_FILES)[first:]
    leads = transfer.export(state.storage, filters, user_id=user_id, by_name=state.takes_tokens)
    rows = (row[first:] for row in leads)
    if for_spreadsheet:
        rows = (tuple(map(_escape_formula, row)) for row in rows)
    # Excel detects UTF-8 by its byte order mark only.
    encoding = "utf-8-sig" if for_spreadsheet else "utf-8"
    out = TextIOWrapper(sys.stdout.buffer, encoding, newline="")
    if kind == "csv":
        # Quote all texts: notes may contain any line ending.
        writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        for row in rows:
            lead = dict(zip(columns, row, strict=True))
            out.write(json.dumps(lead, ensure_ascii=False) + "\n")
    out.detach()


def kind_of(source: str, kind: str | None) -> str:
    """Return the format of a file.

    Args:
        source: The file's name.
        kind: The format if it was given as an option; None to derive it from the name.

    Raises:
        UsageError: The name does not end in a known format.
    """
    kind = kind or source.rpartition(".")[2].lower()
    if kind not in FORMATS:
        raise click.UsageError(f"what {source!r} holds is not clear; say --format csv or jsonl")
    return kind


def open_text(source: str) -> TextIO:
    """Open a text file, or stdin for ``-``.

    Line endings are preserved, a BOM is skipped, and bytes that are not UTF-8 become surrogates,
    which validation reports.
    """
    binary = click.open_file(source, "rb")
    return TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="")


def _by_column(state: AppState, users_by: str) -> Owner:
    """Return the function that finds the owner in the column ``user``.

    Args:
        state: The application's state.
        users_by: What the column holds, ``name`` or ``id``.

    Raises:
        UsageError: A host's users have no names here.
    """
    if not state.takes_tokens:
        if users_by == "name":
            raise click.UsageError("users are known by their integer ids here: say --users-by id")
        return owned_by_column(state.user_id)
    ids: dict[str, int] = {str(user[users_by]): user["id"] for user in state.accounts.users()}

    def find(named: str) -> int:
        try:
            return ids[named]
        except KeyError as error:
            raise AccountError(f"There is no user {named!r}; add the user first.") from error

    return owned_by_column(find)


def _progress(file: TextIO) -> Any:
    try:
        size = os.fstat(file.fileno()).st_size
    except OSError:  # a stream without a file descriptor
        size = 0
    return progress_bar(size, "Reading")


def _counted(lines: Iterable[str], bar: Any) -> Iterator[str]:
    for line in lines:
        yield line
        bar.update(len(line))


def _escape_formula(cell: Any) -> Any:
    return FORMULA_START.sub("'", cell) if isinstance(cell, str) else cell
