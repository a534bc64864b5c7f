"""The command that gets leads out into files."""

import csv
import json
import sys
from io import TextIOWrapper
from typing import Any

import click
from flask.cli import with_appcontext
from marshmallow import ValidationError

from leads_service import transfer
from leads_service.cli.base import ready_service
from leads_service.files import COLUMNS
from leads_service.schemas import LeadQuerySchema

FORMATS = ("csv", "jsonl")


@click.command("export")
@click.option("--user", "name", metavar="NAME", help="This user's leads only.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--status", help="With this status.")
@click.option("--company-id", help="Of this company.")
@click.option("--min-score", help="With this score at least.")
@click.option("--max-score", help="With this score at most.")
@click.option("--created-after", metavar="DATE", help="Created on this day in UTC or later.")
@click.option("--created-before", metavar="DATE", help="Created on this day in UTC or earlier.")
@with_appcontext
def export(name: str | None, kind: str, **given: str | None) -> None:
    """Print leads, oldest first, in a form that import takes.

    Without --user, everybody's, with the owner's user_id in front.

    \b
    Example:  leads-service export --user alice --status qualified > qualified.csv
    """
    service = ready_service()
    try:
        filters: dict[str, Any] = LeadQuerySchema().load(
            {option: value for option, value in given.items() if value is not None}
        )
    except ValidationError as error:
        ((option, messages),) = list(error.normalized_messages().items())[:1]
        raise click.UsageError(f"--{option.replace('_', '-')}: {' '.join(messages)}") from error
    del filters["limit"]
    if name is not None:
        filters["user_id"] = service.user_id(name)
    first = 0 if name is None else 1  # a file of one user's leads does not name the user
    columns = ("user_id", *COLUMNS)[first:]
    rows = (row[first:] for row in transfer.export(service.database, filters))
    out = TextIOWrapper(sys.stdout.buffer, "utf-8", newline="")
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
