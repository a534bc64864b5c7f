"""The API's filters as options of a command."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from marshmallow import ValidationError

from leads_service.schemas import LeadQuerySchema

OPTIONS = (
    click.option("--status", help="With this status."),
    click.option("--company-id", help="Of this company."),
    click.option("--min-score", help="With this score at least."),
    click.option("--max-score", help="With this score at most."),
    click.option("--created-after", metavar="DATE", help="Created on this day in UTC or later."),
    click.option("--created-before", metavar="DATE", help="Created on this day in UTC or earlier."),
)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters; ``filters_of`` reads what it gets as keyword arguments."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def filters_of(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the filters that are given; raises UsageError for one that is none."""
    options = {option: value for option, value in given.items() if value is not None}
    try:
        filters: dict[str, Any] = LeadQuerySchema().load(options)
    except ValidationError as error:
        ((option, messages),) = list(error.normalized_messages().items())[:1]
        raise click.UsageError(f"--{option.replace('_', '-')}: {' '.join(messages)}") from error
    del filters["limit"]
    return filters
