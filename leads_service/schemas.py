"""What comes in and what goes out: marshmallow schemas, of which OpenAPI tells too."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length

from leads_service.fields import Day, DecimalDigits, Moment, Status, is_between, is_storable
from leads_service.models import MAX_INTEGER, MAX_NOTES, MAX_SCORE, STATUSES

MAX_LIMIT = 200
DEFAULT_LIMIT = 50


is_id = is_between(1, MAX_INTEGER)
is_score = is_between(0, MAX_SCORE)


def _about(description: str, example: Any, **more: Any) -> dict[str, Any]:
    return {"description": description, "example": example, **more}


def _notes(description: str, **options: Any) -> fields.String:
    about = _about(description, "Met at the fair", pattern="^[^\\u0000]*$")
    return fields.String(validate=[Length(max=MAX_NOTES), is_storable], metadata=about, **options)


def _moment(description: str) -> fields.String:
    example = "2026-11-22T22:03:11.123456Z"
    about = _about(description, example, format="date-time", maxLength=len(example))
    return fields.String(required=True, metadata=about)


def _day(description: str) -> Day:
    return Day(metadata={"description": description, "maxLength": len("2026-11-22")})


class StrictSchema(Schema):
    """A schema that refuses what it does not know, and says so in the document."""

    class Meta:
        unknown = RAISE  # it is anyway, but older apispec only sees it here
        register = False  # a host may have a LeadSchema of its own, and ask for it by that name


class LeadSchema(StrictSchema):
    """A lead as it goes out."""

    id = fields.Integer(
        required=True,
        validate=is_id,
        metadata=_about("Unique, never reused.", 1, format="int64"),
    )
    user_id = fields.Integer(
        required=True,
        metadata=_about("The user whose lead it is.", 1, format="int64"),
    )
    company_id = fields.Integer(
        required=True,
        validate=is_id,
        metadata=_about("The company, which lives in another system.", 42, format="int64"),
    )
    status = Status(required=True)
    notes = _notes("Free text; empty when there are no notes, never null.", required=True)
    score = fields.Integer(
        required=True,
        validate=is_score,
        metadata=_about("How promising the lead is; computed by the service.", 10),
    )
    created_at = _moment("When the lead was created, in UTC.")
    updated_at = _moment("When something about the lead last changed, in UTC.")


class LeadPageSchema(StrictSchema):
    """A page of leads."""

    data = fields.List(fields.Nested(LeadSchema), required=True)
    next_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata=_about("The cursor of the next page; null on the last one.", 1, format="int64"),
    )
    has_more = fields.Boolean(required=True, metadata=_about("Whether there is a next page.", True))


class LeadCreateSchema(StrictSchema):
    """A lead as it comes in."""

    company_id = fields.Integer(
        required=True,
        strict=True,
        validate=is_id,
        metadata=_about("The company; not checked here.", 42, format="int64"),
    )
    notes = _notes("Free text; null means none.", load_default="", allow_none=True)


class LeadUpdateSchema(StrictSchema):
    """Changes to a lead: only what is sent changes."""

    status = Status()
    notes = _notes("Free text; null clears it.", allow_none=True)


class LeadImportSchema(LeadCreateSchema):
    """A lead as a file brings it: what the API takes, where it stands, and when that came about."""

    status = Status(load_default=STATUSES[0])
    created_at = Moment()
    updated_at = Moment()

    @validates_schema
    def times_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        """Raise ValidationError for a change before the creation."""
        if data.get("updated_at", "~") < data.get("created_at", ""):
            raise ValidationError("Must not be before created_at.", "updated_at")


class LeadQuerySchema(StrictSchema):
    """Which leads, and how many of them.

    Without examples and defaults for the document: Swagger UI would fill them in.
    """

    status = Status(metadata={"description": "With this status."})
    company_id = DecimalDigits(
        validate=is_id, metadata={"description": "Of this company.", "format": "int64"}
    )
    min_score = DecimalDigits(validate=is_score, metadata={"description": "At least this."})
    max_score = DecimalDigits(validate=is_score, metadata={"description": "At most this."})
    created_after = _day("On or after this day in UTC; no later than created_before.")
    created_before = _day("On or before this day in UTC, all of it included.")
    cursor = DecimalDigits(
        validate=is_id,
        metadata={"description": "The next_cursor of the page before.", "format": "int64"},
    )
    limit = DecimalDigits(
        load_default=lambda: DEFAULT_LIMIT,  # of a function, the document says nothing
        validate=is_between(1, MAX_LIMIT),
        metadata={
            "description": f"How many leads a page has at most; {DEFAULT_LIMIT} unless given. It "
            "has fewer, but one, if they would take more than 1 MiB; `has_more` and `next_cursor` "
            "lead on as ever."
        },
    )

    @validates_schema
    def bounds_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        """Raise ValidationError if no lead can pass both ends of a range."""
        for low, high in (("min_score", "max_score"), ("created_after", "created_before")):
            if low in data and high in data and data[low] > data[high]:
                raise ValidationError(f"Must not be greater than {high}.", low)
