"""The command that brings leads in from files."""

import json
import os
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
from leads_service.cli.base import ready_service
from leads_service.files import Row, read_csv, read_jsonl

READERS = {"csv": read_csv, "jsonl": read_jsonl}
FORMATS = tuple(READERS)
REMEDY = "mend these lines, or leave them out with --skip-invalid"
NAMED = 10  # bad rows that are named before an import gives up


class Rejects:
    """Where invalid rows go: named on stderr, up to a limit, or all of them into a file."""

    def __init__(self, path: Path | None, remedy: str = REMEDY):
        self.count = 0
        self._path = path
        self._remedy = remedy
        self._file: TextIO | None = None

    def add(self, line: int, errors: dict[str, Any], row: Any) -> None:
        """Take an invalid row; raises ClickException for the last one that is named."""
        self.count += 1
        if self._path is not None:
            self._file = self._file or self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps({"line": line, "errors": errors, "row": row}) + "\n")
            return
        for field, messages in errors.items():
            name = "the row" if field == "_schema" else field
            click.echo(f"line {line}: {name}: {' '.join(messages)}", err=True)
        if self.count == NAMED:
            list(self.end())

    def end(self) -> Iterator[Row]:
        """Stand behind the last row, yielding none.

        Close the file; without one, raise ClickException if there was an invalid row.
        """
        if self._file is not None:
            self._file.close()
        elif self.count:
            raise click.ClickException(f"nothing was stored; {self._remedy}")
        yield from ()


@click.command("import")
@click.argument(
    "source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--user", "name", required=True, metavar="NAME", help="Whose leads they become.")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="Instead of what the name ends in."
)
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
    source: str, name: str, kind: str | None, skip_invalid: bool, rejects: Path | None
) -> None:
    """Store the leads of a CSV or JSON Lines file (- is stdin), all of them or none.

    The columns are company_id, and if need be status, notes, created_at and updated_at.

    \b
    Example:  leads-service import leads.csv --user alice
    """
    kind = kind or source.rpartition(".")[2].lower()
    if kind not in FORMATS:
        raise click.UsageError(f"what {source!r} holds is not clear; say --format csv or jsonl")
    service = ready_service()
    user_id = service.user_id(name)
    path = rejects or Path(f"{'stdin' if source == '-' else source}.rejects")
    if source != "-" and path.exists() and path.samefile(source):
        raise click.UsageError(f"{path} can't be what is read and what is written; see --rejects")
    invalid = Rejects(path if skip_invalid else None)
    with open_text(source) as file, _progress(file) as bar:
        rows = READERS[kind](_counted(file, bar))
        try:
            stored = transfer.store(
                service.database,
                service.scorer,
                user_id,
                chain(rows, invalid.end()),
                datetime.now(UTC),
                invalid.add,
            )
        except ValueError as error:
            raise click.ClickException(f"{source}: {error}; nothing was stored") from error
    click.echo(f"{stored} lead{'' if stored == 1 else 's'} stored.")
    if skip_invalid:
        click.echo(f"{invalid.count} left out, with reasons in {path}", err=True)


def open_text(source: str) -> TextIO:
    """Open a file as it is: line ends inside notes stay, and bytes that are no UTF-8 show up."""
    binary = click.open_file(source, "rb")
    return TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="")


def _progress(file: TextIO) -> Any:
    try:
        size = os.fstat(file.fileno()).st_size
    except OSError:  # no file of the system's
        size = 0
    hidden = not size or not sys.stderr.isatty()
    return click.progressbar(length=size, label="Reading", file=sys.stderr, hidden=hidden)


def _counted(lines: Iterable[str], bar: Any) -> Iterator[str]:
    for line in lines:
        yield line
        bar.update(len(line))
