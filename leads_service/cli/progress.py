"""The output of ``pipeline`` for a span: a user's progress as tables, or as JSON."""

import json
from datetime import datetime, timedelta
from typing import Any

import click

from leads_service.cli.base import echo_table
from leads_service.progress import SPANS, Outcome, Progress, plain, span_of

BAR_WIDTH = 40
NONE = "-"


class Span(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """A span that ends now: ``90d``, ``8w``, ``1y``, the day in UTC on which it began, or all."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | datetime | str:
        """Return its length or its beginning, or ``ALL``; fail if it is malformed."""
        span = span_of(value) if isinstance(value, str) else value
        if span is None:
            self.fail(f"{value!r} is no span: use {SPANS}", param, ctx)
        return span


def echo_json(progress: Progress) -> None:
    """Print a progress as an object of JSON; times are texts, lengths are seconds."""
    click.echo(json.dumps(plain(progress), indent=2))


def echo_progress(progress: Progress, block: str) -> None:
    """Print a progress as tables.

    Args:
        progress: The progress.
        block: The character that bars are made of.
    """
    steps, lost = progress.funnel
    most = max(1, steps[0].leads)
    click.echo(f"Leads created {_since(progress)}, and what they reached\n")
    for step in steps:
        bar = block * round(BAR_WIDTH * step.leads / most)
        click.echo(f"{step.status:<9}  {step.leads:>9,}  {_percent(step.share):>6}  {bar}".rstrip())
    click.echo(f"{'lost':<9}  {lost:>9,}\n")
    weeks = ((week.monday, *(f"{count:,}" for count in week[1:])) for week in progress.weeks)
    echo_table(("WEEK OF", "CREATED", "CONVERTED", "LOST"), weeks)
    click.echo()
    stays = (
        (stay.status, f"{stay.ended:,}", _length(stay.median), _length(stay.ninetieth))
        for stay in progress.stays
    )
    echo_table(("TIME IN", "ENDED", "MEDIAN", "90% WITHIN"), stays)
    click.echo(f"\nConversion rate: {_outcome(progress.outcome)}")
    if progress.before is not None:
        click.echo(f"The span before: {_outcome(progress.before)}")


def _since(progress: Progress) -> str:
    since = "ever" if progress.since is None else f"since {progress.since.date()}"
    return since if progress.company_id is None else f"{since} of company {progress.company_id}"


def _outcome(outcome: Outcome) -> str:
    rate = _percent(outcome.conversion_rate)
    return f"{rate} ({outcome.converted:,} converted, {outcome.created:,} created)"


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}"


def _length(seconds: int | None) -> str:
    """Return a length in its two largest units: ``3d 4h``, ``2h 5m``, ``5m 1s``."""
    if seconds is None:
        return NONE
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}h"
    return f"{hour}h {minute}m" if hour else f"{minute}m {second}s"
