"""Fields and checks that are stricter than marshmallow's own."""

import re
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import OneOf, Range

from leads_service.models import STATUSES, timestamp

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def is_between(low: int, high: int) -> Range:
    """Return the check that a number is within these bounds, both included."""
    return Range(low, high, error="Must be from {min} to {max}.")


def is_storable(text: str) -> None:
    """Raise ValidationError for what a SQLite text can't hold whole: a NUL, or a lone surrogate."""
    if "\0" in text:
        raise ValidationError("Must not contain the character NUL (U+0000).")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError("Must not contain lone surrogates (U+D800 to U+DFFF).") from error


class Status(fields.String):
    """One of the statuses; the OpenAPI document has one schema for all such fields."""

    def __init__(self, **options: Any):
        is_status = OneOf(STATUSES, error="Must be one of: {choices}.")
        super().__init__(validate=is_status, **options)


class DecimalDigits(fields.Integer):
    """An integer in a query string: ASCII digits and a sign, not all that int() takes."""

    def _validated(self, value: Any) -> int:
        if not re.fullmatch(r"-?[0-9]+", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Moment(fields.String):
    """A time of RFC 3339, which becomes what is stored: UTC, microseconds, ``Z``.

    A day without a time is its first moment in UTC.
    """

    PATTERN = re.compile(r"[0-9-]{10}[Tt ][0-9:]{8}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if DAY.fullmatch(text):
            text += "T00:00:00Z"
        try:
            if not self.PATTERN.fullmatch(text):
                raise ValueError(text)
            return timestamp(datetime.fromisoformat(text.upper()).astimezone(UTC))
        except (ValueError, OverflowError) as error:
            raise ValidationError(
                "Not a time such as 2026-11-22T22:03:11.123456Z, or a day such as 2026-11-22."
            ) from error


class Day(fields.Date):
    """A date in a query string: ``YYYY-MM-DD`` and nothing else."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not DAY.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type="date")
        return super()._deserialize(value, attr, data, **kwargs)
