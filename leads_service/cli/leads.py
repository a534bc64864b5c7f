"""The commands ``rescore``, ``reassign`` and ``pipeline``."""

import sys
from datetime import datetime, timedelta

import click
from flask.cli import with_appcontext

from leads_service.cli.base import progress_bar, ready_state
from leads_service.cli.filters import filter_options, filters_of
from leads_service.cli.progress import BAR_WIDTH, Span, echo_json, echo_progress
from leads_service.lead import MAX_INTEGER
from leads_service.leads import how_many
from leads_service.progress import ALL

BLOCK = "█"


@click.command("rescore")
@with_appcontext
def rescore() -> None:
    """Apply the scorer, when it has changed, to the leads that exist.

    \b
    Example:  LEADS_SCORER=acme.scoring:score leads-service rescore
    """
    leads = ready_state().leads
    total = sum(leads.count_by_status().values())
    with progress_bar(total, "Scoring") as bar:
        for count in leads.rescore():
            bar.update(count)
    click.echo(f"{how_many(total)} scored.")


@click.command("reassign")
@click.option("--from", "old", required=True, metavar="NAME", help="Whose leads.")
@click.option("--to", "new", required=True, metavar="NAME", help="Whose they become.")
@filter_options
@with_appcontext
def reassign(old: str, new: str, **given: str | None) -> None:
    """Give a user's leads, all or those that pass the filters, to another user.

    Each is scored anew, and its updated_at moves.

    \b
    Example:  leads-service reassign --from alice --to bob --status new
    """
    state = ready_state()
    filters = filters_of(given)
    count = state.leads.reassign(state.user_id(old), state.user_id(new), filters)
    click.echo(f"{how_many(count)} reassigned.")


@click.command("pipeline")
@click.option("--user", "name", metavar="NAME", help="This user's leads only.")
@click.option(
    "--since",
    "span",
    type=Span(),
    metavar="SPAN",
    help=f"The user's progress since then: 90d, 1y, a day in UTC, or {ALL}.",
)
@click.option(
    "--company",
    "company_id",
    type=click.IntRange(1, MAX_INTEGER),
    metavar="ID",
    help=f"The progress with this company; --since is {ALL} if not given.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="json: the progress as JSON; --since as above.",
)
@with_appcontext
def pipeline(
    name: str | None, span: timedelta | datetime | str | None, company_id: int | None, form: str
) -> None:
    """Show how many leads stand at each status, or the progress of one user.

    The progress: how far the leads created since then have come, leads per week, the time in each
    status, and the conversion rate.

    \b
    Example:  leads-service pipeline --user alice
              leads-service pipeline --user alice --since 90d
    """
    block = BLOCK if _can_print(BLOCK) else "#"
    if span is None and company_id is None and form == "text":
        _echo_counts(name, block)
        return
    if name is None:
        raise click.UsageError("the progress is one user's: say whose, with --user")
    state = ready_state()
    length = None if isinstance(span, str) else span
    progress = state.leads.progress(state.user_id(name), length, company_id)
    if form == "json":
        echo_json(progress)
    else:
        echo_progress(progress, block)


def _echo_counts(name: str | None, block: str) -> None:
    state = ready_state()
    user_id = None if name is None else state.user_id(name)
    counts = state.leads.count_by_status(user_id)
    total = sum(counts.values())
    most = max(1, *counts.values())
    for status, count in counts.items():
        share = count / total if total else 0
        bar = block * round(BAR_WIDTH * count / most)
        click.echo(f"{status:<9}  {count:>9,}  {share:>6.1%}  {bar}".rstrip())
    rate = counts["converted"] / total if total else 0
    click.echo(f"\nConversion rate: {rate:.1%} ({counts['converted']:,} of {total:,} leads)")


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
