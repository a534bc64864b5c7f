"""What comes in and what goes out: marshmallow schemas, of which OpenAPI tells too."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from leads_service.db import MAX_INTEGER
from leads_service.models import MAX_NOTES, STATUSES
from leads_service.scoring import MAX_SCORE

MAX_LIMIT = 200
DEFAULT_LIMIT = 50


def is_between(low: int, high: int) -> Range:
    """Return the check that a number is within these bounds, both included."""
    return Range(low, high, error="Must be from {min} to {max}.")


is_id = is_between(1, MAX_INTEGER)
is_score = is_between(0, MAX_SCORE)
is_status = OneOf(STATUSES, error="Must be one of: {choices}.")


def is_storable(text: str) -> None:
    """Raise ValidationError for what a SQLite text can't hold whole: a NUL, or a lone surrogate."""
    if "\0" in text:
        raise ValidationError("Must not contain the character NUL (U+0000).")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError("Must not contain lone surrogates (U+D800 to U+DFFF).") from error


class DecimalDigits(fields.Integer):
    """An integer in a query string: ASCII digits and a sign, not all that int() takes."""

    def _validated(self, value: Any) -> int:
        if not re.fullmatch(r"-?[0-9]+", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Day(fields.Date):
    """A date in a query string: ``YYYY-MM-DD`` and nothing else."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise self.make_error("invalid", input=value, obj_type="date")
        return super()._deserialize(value, attr, data, **kwargs)


def _about(description: str, example: Any, **more: Any) -> dict[str, Any]:
    return {"description": description, "example": example, **more}


def _status(**options: Any) -> fields.String:
    about = _about("Where the lead stands in the pipeline; any status may follow any other.", "new")
    return fields.String(validate=is_status, metadata=about, **options)


def _notes(description: str, **options: Any) -> fields.String:
    about = _about(description, "Met at the fair", pattern="^[^\\u0000]*$")
    return fields.String(validate=[Length(max=MAX_NOTES), is_storable], metadata=about, **options)


def _moment(description: str) -> fields.String:
    about = _about(description, "2026-11-22T22:03:11.123456Z", format="date-time")
    return fields.String(required=True, metadata=about)


class LeadSchema(Schema):
    """A lead as it goes out."""

    id = fields.Integer(
        required=True,
        validate=is_id,
        metadata=_about("Unique, never reused.", 100, format="int64"),
    )
    user_id = fields.Integer(
        required=True,
        metadata=_about("The owner: whoever's token created it.", 1, format="int64"),
    )
    company_id = fields.Integer(
        required=True,
        validate=is_id,
        metadata=_about("The company, which lives in another system.", 42, format="int64"),
    )
    status = _status(required=True)
    notes = _notes("Free text; empty when there are no notes, never null.", required=True)
    score = fields.Integer(
        required=True,
        validate=is_score,
        metadata=_about("How promising the lead is; computed by the service.", 10),
    )
    created_at = _moment("When the lead was created, in UTC.")
    updated_at = _moment("When something about the lead last changed, in UTC.")


class LeadPageSchema(Schema):
    """A page of leads."""

    data = fields.List(fields.Nested(LeadSchema), required=True)
    next_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata=_about("The cursor of the next page; null on the last one.", 100, format="int64"),
    )
    has_more = fields.Boolean(required=True, metadata=_about("Whether there is a next page.", True))


class LeadCreateSchema(Schema):
    """A lead as it comes in."""

    company_id = fields.Integer(
        required=True,
        strict=True,
        validate=is_id,
        metadata=_about("The company; not checked here.", 42, format="int64"),
    )
    notes = _notes("Free text; null means none.", load_default="", allow_none=True)


class LeadUpdateSchema(Schema):
    """Changes to a lead: only what is sent changes."""

    status = _status()
    notes = _notes("Free text; null clears it.", allow_none=True)


class LeadQuerySchema(Schema):
    """Which leads, and how many of them."""

    status = _status()
    company_id = DecimalDigits(
        validate=is_id, metadata=_about("Equal to this.", 42, format="int64")
    )
    min_score = DecimalDigits(validate=is_score, metadata=_about("At least this.", 10))
    max_score = DecimalDigits(validate=is_score, metadata=_about("At most this.", 90))
    created_after = Day(
        metadata=_about("On or after this day in UTC; no later than created_before.", "2026-01-01")
    )
    created_before = Day(
        metadata=_about("On or before this day in UTC, all of it included.", "2026-12-31")
    )
    cursor = DecimalDigits(
        validate=is_id,
        metadata={"description": "The next_cursor of the page before.", "format": "int64"},
    )
    limit = DecimalDigits(
        load_default=DEFAULT_LIMIT,
        validate=is_between(1, MAX_LIMIT),
        metadata=_about("How many leads a page has at most.", DEFAULT_LIMIT),
    )

    @validates_schema
    def bounds_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        """Raise ValidationError if no lead can pass both ends of a range."""
        for low, high in (("min_score", "max_score"), ("created_after", "created_before")):
            if low in data and high in data and data[low] > data[high]:
                raise ValidationError(f"Must not be greater than {high}.", low)
