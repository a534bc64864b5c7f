"""The command that gets leads out into files."""

import csv
import json
import re
import sys
from io import TextIOWrapper
from typing import Any

import click
from flask.cli import with_appcontext

from leads_service import transfer
from leads_service.cli.base import ready_service
from leads_service.cli.filters import filter_options, filters_of
from leads_service.files import COLUMNS, OWNER

FORMATS = ("csv", "jsonl")
# What makes a formula of a cell: https://owasp.org/www-community/attacks/CSV_Injection. Not only at
# its beginning: a spreadsheet that expects another delimiter begins a cell behind each of those.
SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"  # the last four are East Asian forms of the others
FORMULA = re.compile(rf"^(?=[{SIGNS}\t\r\n])|(?<=[,;\t\r\n])(?=[{SIGNS}])")


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
    service = ready_service()
    filters = filters_of(given)
    if name is not None:
        filters["user_id"] = service.user_id(name)
    first = 0 if name is None else 1  # a file of one user's leads does not name the user
    columns = (OWNER, *COLUMNS)[first:]
    leads = transfer.export(service.database, filters, by_name=service.takes_tokens)
    rows = (row[first:] for row in leads)
    if for_spreadsheet:
        rows = (tuple(map(_defused, row)) for row in rows)
    # Without the mark, Excel takes UTF-8 for something else.
    encoding = "utf-8-sig" if for_spreadsheet else "utf-8"
    out = TextIOWrapper(sys.stdout.buffer, encoding, newline="")
    if kind == "csv":
        # A text that is always quoted can hold any line end.
        writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        for row in rows:
            lead = dict(zip(columns, row, strict=True))
            out.write(json.dumps(lead, ensure_ascii=False) + "\n")
    out.detach()


def _defused(cell: Any) -> Any:
    return FORMULA.sub("'", cell) if isinstance(cell, str) else cell
