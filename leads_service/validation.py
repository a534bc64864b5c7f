"""Marshmallow fields and schemas for values from clients and files, derived from ``lead``.

They are stricter than marshmallow's own. Schemas that only HTTP needs are in ``api.schemas``.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from leads_service.lead import (
    EXAMPLE_TIME,
    FILTERS,
    RANGES,
    Choice,
    Field,
    Filter,
    Kind,
    Moment,
    Text,
    Whole,
    timestamp,
)

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(r"[0-9-]{10}[Tt ][0-9:]{8}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})")


class StrictSchema(Schema):
    """A schema that rejects unknown fields, also in the OpenAPI document."""

    class Meta:
        unknown = RAISE  # marshmallow's default, but older releases of apispec need it here
        register = False  # a host may refer to a LeadSchema of its own by that name


class StatusField(fields.String):
    """A lead's status; the OpenAPI document has one shared schema for all such fields."""


class DigitsField(fields.Integer):
    """An integer in a query string: ASCII digits and a minus sign, not all that int() accepts."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"-?[0-9]+", value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class DayField(fields.Date):
    """A date in a query string: only ``YYYY-MM-DD``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not DAY.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type="date")
        return super()._deserialize(value, attr, data, **kwargs)


class MomentField(fields.String):
    """A time in RFC 3339, which is converted to the format of ``lead.timestamp``.

    A date without a time is midnight in UTC.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if DAY.fullmatch(text):
            text += "T00:00:00Z"
        try:
            if not TIME.fullmatch(text):
                raise ValueError(text)
            return timestamp(datetime.fromisoformat(text.upper()).astimezone(UTC))
        except (ValueError, OverflowError) as error:
            raise ValidationError(
                "Not a time such as 2026-11-22T22:03:11.123456Z, or a day such as 2026-11-22."
            ) from error


def is_storable(text: str) -> None:
    """Check that a database can store a text unchanged.

    Raises:
        ValidationError: It contains NUL or a lone surrogate.
    """
    if "\0" in text:
        raise ValidationError("Must not contain the character NUL (U+0000).")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError("Must not contain lone surrogates (U+D800 to U+DFFF).") from error


def is_between(low: int | None, high: int | None) -> Range:
    """Return the validator for a number within inclusive bounds; None for no bound."""
    return Range(low, high, error="Must be from {min} to {max}.")


def checks(kind: Kind) -> list[Callable[[Any], Any]]:
    """Return the validators for values of a kind, besides the check of their type."""
    match kind:
        case Whole(None, None) | Moment():
            return []
        case Whole(low, high):
            return [is_between(low, high)]
        case Text(max_length):
            return [Length(max=max_length), is_storable]
        case Choice(options):
            return [OneOf(options, error="Must be one of: {choices}.")]


def openapi_metadata(kind: Kind, description: str, example: Any) -> dict[str, Any]:
    """Return the metadata of a marshmallow field, for the OpenAPI document.

    Args:
        kind: The kind of its values.
        description: Its description; may be empty.
        example: Its example; None for none.
    """
    more: dict[str, Any] = {}
    match kind:
        case Whole(is_long=True):
            more = {"format": "int64"}
        case Text():
            more = {"pattern": "^[^\\u0000]*$"}
        case Moment():
            more = {"format": "date-time", "maxLength": len(EXAMPLE_TIME)}
    said = {"description": description or None, "example": example, **more}
    return {name: value for name, value in said.items() if value is not None}


TYPES: "Mapping[type[Kind], Callable[..., fields.Field[Any]]]" = {
    Whole: fields.Integer,
    Text: fields.String,
    Choice: StatusField,
    Moment: fields.String,
}


def response_field(field: Field) -> "fields.Field[Any]":
    """Return the marshmallow field for a field of a lead in responses."""
    metadata = openapi_metadata(field.kind, field.description, field.example)
    return TYPES[type(field.kind)](
        required=True, allow_none=field.nullable, validate=checks(field.kind), metadata=metadata
    )


def request_field(field: Field, description: str, **options: Any) -> "fields.Field[Any]":
    """Return the marshmallow field for a field of a lead in request bodies and files.

    Args:
        field: The declaration.
        description: Its description in the OpenAPI document; may be empty.
        options: Further options of the marshmallow field.
    """
    if isinstance(field.kind, Moment):
        return MomentField(**options)
    if isinstance(field.kind, Whole):
        options["strict"] = True
    return TYPES[type(field.kind)](
        allow_none=field.takes_null,
        validate=checks(field.kind),
        metadata=openapi_metadata(field.kind, description, field.example),
        **options,
    )


def _filter_field(declared: Filter) -> "fields.Field[Any]":
    """Return the marshmallow field for a filter in a query string.

    It has no example, because Swagger UI would prefill it as a value.
    """
    if declared.is_day:
        return DayField(
            metadata={"description": declared.description, "maxLength": len("2026-11-22")}
        )
    kind = DigitsField if isinstance(declared.kind, Whole) else TYPES[type(declared.kind)]
    metadata = openapi_metadata(declared.kind, declared.description, None)
    return kind(validate=checks(declared.kind), metadata=metadata)


class RangesSchema(StrictSchema):
    """A schema that rejects ranges whose lower bound is greater than the upper one."""

    @validates_schema
    def ranges_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check the order of the bounds of each range in ``lead.RANGES``.

        Raises:
            ValidationError: A lower bound is greater than the upper one; it is reported for the
                lower one.
        """
        for low, high in RANGES:
            if low in data and high in data and data[low] > data[high]:
                raise ValidationError(f"Must not be greater than {high}.", low)


def filter_fields() -> "dict[str, fields.Field[Any]]":
    """Return the marshmallow fields for all filters by name, for a ``RangesSchema``."""
    return {name: _filter_field(declared) for name, declared in FILTERS.items()}


LeadFilterSchema = RangesSchema.from_dict(filter_fields(), name="LeadFilterSchema")
