"""The filters of the list as options of commands."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from marshmallow import ValidationError

from leads_service.lead import FILTERS
from leads_service.validation import LeadFilterSchema


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each filter to a command; ``filters_of`` converts their values."""
    for name, declared in reversed([*FILTERS.items()]):
        option = click.option(
            f"--{name.replace('_', '-')}",
            metavar="DATE" if declared.is_day else None,
            help=declared.option_help or declared.description,
        )
        function = option(function)
    return function


def filters_of(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the values of the filters by name.

    Args:
        given: The text of each option by the name of its filter; None for an option not given.

    Raises:
        UsageError: A value is not valid; the message names the option.
    """
    options = {option: value for option, value in given.items() if value is not None}
    try:
        filters: dict[str, Any] = LeadFilterSchema().load(options)
    except ValidationError as error:
        ((option, messages),) = list(error.messages_dict.items())[:1]
        raise click.UsageError(f"--{option.replace('_', '-')}: {' '.join(messages)}") from error
    return filters
