"""The marshmallow schemas of requests and responses, derived from the declaration of a lead."""

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from leads_service.lead import FIELDS, ID, Field
from leads_service.leads import DEFAULT_LIMIT, MAX_LIMIT
from leads_service.validation import (
    DigitsField,
    RangesSchema,
    StrictSchema,
    checks,
    filter_fields,
    is_between,
    request_field,
    response_field,
)

MAX_MESSAGE = 1000  # characters

LeadSchema = StrictSchema.from_dict(
    {name: response_field(field) for name, field in FIELDS.items()}, name="LeadSchema"
)


def _on_create(field: Field, description: str) -> "fields.Field[Any]":
    if field.required or field.initial is None:
        return request_field(field, description, required=field.required)
    return request_field(field, description, load_default=field.initial)


LeadCreateSchema = StrictSchema.from_dict(
    {
        name: _on_create(field, field.on_create)
        for name, field in FIELDS.items()
        if field.on_create is not None
    },
    name="LeadCreateSchema",
)

LeadUpdateSchema = StrictSchema.from_dict(
    {
        name: request_field(field, field.on_update)
        for name, field in FIELDS.items()
        if field.on_update is not None
    },
    name="LeadUpdateSchema",
)


class LeadPageSchema(StrictSchema):
    """A page of leads."""

    data = fields.List(fields.Nested(LeadSchema), required=True)
    next_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "The cursor of the next page; null on the last one.",
            "example": 1,
            "format": "int64",
        },
    )
    has_more = fields.Boolean(
        required=True, metadata={"description": "Whether there is a next page.", "example": True}
    )


# Without examples and defaults in the document: Swagger UI would prefill them as values.
LeadQuerySchema = RangesSchema.from_dict(
    {
        **filter_fields(),
        "cursor": DigitsField(
            validate=checks(ID),
            metadata={"description": "The next_cursor of the page before.", "format": "int64"},
        ),
        "limit": DigitsField(
            load_default=lambda: DEFAULT_LIMIT,  # apispec documents a value, but not a function
            validate=is_between(1, MAX_LIMIT),
            metadata={
                "description": f"How many leads a page has at most; {DEFAULT_LIMIT} unless given. "
                "It has fewer, but one, if they would take more than 1 MiB; `has_more` and "
                "`next_cursor` lead on as ever."
            },
        ),
    },
    name="LeadQuerySchema",
)


class HealthSchema(StrictSchema):
    """The body of a successful health check."""

    status = fields.String(required=True, validate=OneOf(["ok"]), metadata={"example": "ok"})


class LeadsErrorSchema(StrictSchema):
    """The body of any error."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status."})
    status = fields.String(
        required=True, validate=Length(max=100), metadata={"description": "Its name."}
    )
    message = fields.String(
        required=True,
        validate=Length(max=MAX_MESSAGE),
        metadata={"description": "What is wrong, in a sentence."},
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(
            keys=fields.String(),
            values=fields.List(fields.String(validate=Length(max=MAX_MESSAGE))),
        ),
        metadata={
            "description": "With 422: what is wrong by place (json, query, headers) and name."
        },
    )


class LeadsChangedErrorSchema(LeadsErrorSchema):
    """The body of a 412: the lead is in another state than the request expects."""

    lead = fields.Nested(LeadSchema, required=True)
