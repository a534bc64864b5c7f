"""The commands ``rescore``, ``reassign`` and ``pipeline``."""

import sys

import click
from flask.cli import with_appcontext

from leads_service.cli.base import progress_bar, ready_state
from leads_service.cli.filters import filter_options, filters_of
from leads_service.leads import how_many

BAR_WIDTH = 40
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
@with_appcontext
def pipeline(name: str | None) -> None:
    """Show the pipeline at a glance: how many leads stand at each status.

    \b
    Example:  leads-service pipeline --user alice
    """
    state = ready_state()
    user_id = None if name is None else state.user_id(name)
    counts = state.leads.count_by_status(user_id)
    total = sum(counts.values())
    most = max(1, *counts.values())
    block = BLOCK if _can_print(BLOCK) else "#"
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
