"""The output of ``pipeline`` for a span: a user's progress as tables, or as JSON."""

import json
import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import click

from leads_service.cli.base import echo_table
from leads_service.progress import Outcome, Progress

UNITS = {"d": 1, "w": 7, "y": 365}  # days
ALL = "all"
MAX_DAYS = 36_500
BAR_WIDTH = 40
NONE = "-"


class Span(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """A span that ends now: ``90d``, ``8w``, ``1y``, the day in UTC on which it began, or all."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | datetime | str:
        """Return its length or its beginning, or ``ALL``; fail if it is malformed."""
        span = _span(value) if isinstance(value, str) else value
        if span is None:
            self.fail(
                f"{value!r} is no span: use 90d, 8w or 1y, up to {MAX_DAYS}d, a day such as"
                f" 2026-01-31, or {ALL}",
                param,
                ctx,
            )
        return span


def _span(text: str) -> timedelta | datetime | str | None:
    if match := re.fullmatch(r"([0-9]{1,5})([dwy])", text):
        days = int(match[1]) * UNITS[match[2]]
        return timedelta(days=days) if 0 < days <= MAX_DAYS else None
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        with suppress(ValueError):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
    return ALL if text == ALL else None


def echo_json(progress: Progress) -> None:
    """Print a progress as an object of JSON; times are texts, lengths are seconds."""
    click.echo(json.dumps(_plain(progress), indent=2))


def _plain(value: Any) -> Any:
    """Return a record as a dictionary, with its rate if it has one, and so what is in it."""
    if hasattr(value, "_asdict"):
        fields = {name: _plain(item) for name, item in value._asdict().items()}
        if isinstance(value, Outcome):
            fields["conversion_rate"] = value.conversion_rate
        return fields
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value


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
