"""The declaration of a lead: its fields and their bounds, and the filters of the list.

Schemas, models, queries, imports and exports, the options of commands and the OpenAPI document are
derived from ``FIELDS`` and ``FILTERS``.
"""

import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

STATUSES = ("new", "contacted", "qualified", "converted", "lost")
FUNNEL = STATUSES[:4]  # a lead that reaches one of them has reached those before it
ENDS = ("converted", "lost")
MAX_INTEGER = 2**63 - 1  # the largest that SQLite stores, https://www.sqlite.org/datatype3.html
MAX_SCORE = 100
MAX_NOTES = 10_000  # code points

EXAMPLE_TIME = "2026-11-22T22:03:11.123456Z"
BEGINNING = datetime.min.replace(tzinfo=UTC)  # the earliest time
DAY_BEGINS, DAY_ENDS = "00:00:00.000000Z", "23:59:59.999999Z"

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Whole:
    """A 64-bit integer within inclusive bounds; None for no bound."""

    minimum: int | None = None
    maximum: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether values may exceed 32 bits."""
        return self.maximum is None or self.maximum >= 2**31


@dataclass(frozen=True)
class Text:
    """Unicode text without NUL and lone surrogates."""

    max_length: int  # code points


@dataclass(frozen=True)
class Choice:
    """One of several texts."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """A point in time, as text in the format of ``timestamp``."""


Kind = Whole | Text | Choice | Moment


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a lead: its type, who may set it, and its documentation.

    Attributes:
        kind: The type of its values, besides None if it is ``nullable``.
        description: Its description in responses, for the OpenAPI document.
        example: Its example in the OpenAPI document.
        on_create: Its description in the body of a POST, which may be empty; None if a client
            can't set it there.
        on_update: The same for the body of a PATCH.
        required: Whether the body of a POST must have it.
        initial: The value in a new lead if the body does not have it.
        nullable: Whether the value may be None.
        null_means: The value that null in a body stands for. A field that is not ``nullable``
            accepts null only if this is set.
        in_files: Whether exports write it and imports read it.
        scored: Whether it is passed to scorers that ask for it.
    """

    kind: Kind
    description: str = ""
    example: Any = None
    on_create: str | None = None
    on_update: str | None = None
    required: bool = False
    initial: Any = None
    nullable: bool = False
    null_means: Any = None
    in_files: bool = False
    scored: bool = False

    @property
    def takes_null(self) -> bool:
        """Whether a body may have null."""
        return self.nullable or self.null_means is not None


ID = Whole(1, MAX_INTEGER)

# In the order of responses and columns.
FIELDS: Mapping[str, Field] = {
    "id": Field(kind=ID, description="Unique, never reused.", example=1),
    "user_id": Field(
        kind=Whole(), description="The user whose lead it is.", example=1, scored=True
    ),
    "company_id": Field(
        kind=ID,
        description="The company, which lives in another system.",
        example=42,
        on_create="The company; not checked here.",
        required=True,
        in_files=True,
        scored=True,
    ),
    "status": Field(
        kind=Choice(STATUSES),
        example="contacted",
        on_update="",
        initial=STATUSES[0],
        in_files=True,
        scored=True,
    ),
    "notes": Field(
        kind=Text(MAX_NOTES),
        description="Free text; empty when there are no notes, never null.",
        example="Met at the fair",
        on_create="Free text; null means none.",
        on_update="Free text; null clears it.",
        initial="",
        null_means="",
        in_files=True,
        scored=True,
    ),
    "score": Field(
        kind=Whole(0, MAX_SCORE),
        description="How promising the lead is; computed by the service.",
        example=10,
    ),
    "created_at": Field(
        kind=Moment(),
        description="When the lead was created, in UTC.",
        example=EXAMPLE_TIME,
        in_files=True,
    ),
    "updated_at": Field(
        kind=Moment(),
        description="When something about the lead last changed, in UTC.",
        example=EXAMPLE_TIME,
        in_files=True,
    ),
}

CREATABLE = tuple(name for name, field in FIELDS.items() if field.on_create is not None)
UPDATABLE = tuple(name for name, field in FIELDS.items() if field.on_update is not None)
IN_FILES = tuple(name for name, field in FIELDS.items() if field.in_files)
SCORED = tuple(name for name, field in FIELDS.items() if field.scored)
# The fields that an update sets; the last two are computed.
CHANGING = (*UPDATABLE, "score", "updated_at")


def new_lead(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new lead that clients and imports may set, except the times.

    Args:
        values: The given ones; None stands for null in a body.

    Returns:
        All of them: the given ones as stored, the others with their initial values.
    """
    names = (name for name in FIELDS if name in CREATABLE or name in UPDATABLE)
    return {name: without_null(name, values.get(name, FIELDS[name].initial)) for name in names}


def without_null(name: str, value: Any) -> Any:
    """Return the value to store for a field: ``null_means`` for None, otherwise ``value``."""
    return FIELDS[name].null_means if value is None else value


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter of the list.

    Attributes:
        field: The field of a lead that is compared. A ``Moment`` is compared with a day in UTC.
        condition: ``operator.eq``, ``operator.ge`` or ``operator.le``, with the lead's value on the
            left and the filter's on the right.
        description: The description of the query parameter in the OpenAPI document.
        option_help: The help of the command's option; None if it is the same.
    """

    field: str
    condition: Callable[[Any, Any], Any]
    description: str
    option_help: str | None = None

    @property
    def kind(self) -> Kind:
        """The type of its field."""
        return FIELDS[self.field].kind

    @property
    def is_day(self) -> bool:
        """Whether its value is a day."""
        return isinstance(self.kind, Moment)

    def bound(self, value: Any) -> Any:
        """Return the value to compare with: of a day, its first or its last microsecond."""
        if isinstance(value, date):
            return f"{value}T{DAY_BEGINS if self.condition is operator.ge else DAY_ENDS}"
        return value


FILTERS: Mapping[str, Filter] = {
    "status": Filter(field="status", condition=operator.eq, description="With this status."),
    "company_id": Filter(field="company_id", condition=operator.eq, description="Of this company."),
    "min_score": Filter(
        field="score",
        condition=operator.ge,
        description="At least this.",
        option_help="With this score at least.",
    ),
    "max_score": Filter(
        field="score",
        condition=operator.le,
        description="At most this.",
        option_help="With this score at most.",
    ),
    "created_after": Filter(
        field="created_at",
        condition=operator.ge,
        description="On or after this day in UTC; no later than created_before.",
        option_help="Created on this day in UTC or later.",
    ),
    "created_before": Filter(
        field="created_at",
        condition=operator.le,
        description="On or before this day in UTC, all of it included.",
        option_help="Created on this day in UTC or earlier.",
    ),
}
# The pairs of filters that are the lower and the upper bound of a range.
RANGES = tuple(
    (low, high)
    for low, lower in FILTERS.items()
    for high, upper in FILTERS.items()
    if lower.field == upper.field
    and lower.condition is operator.ge
    and upper.condition is operator.le
)


def utc_now() -> datetime:
    """Return the current time in UTC; the default clock."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return a UTC time as it is stored and shown: RFC 3339 with microseconds and ``Z``.

    All texts have the same length, so they sort chronologically.
    """
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def later(last: str, now: datetime) -> str:
    """Return the timestamp of ``now``, but at least one microsecond after ``last``.

    So every state of a lead has a different ``updated_at``, which serves as its ETag. Only at the
    last microsecond of the year 9999 ``last`` itself is returned.
    """
    moment = timestamp(now)
    if moment > last:
        return moment
    with suppress(OverflowError):
        return timestamp(datetime.fromisoformat(last) + timedelta(microseconds=1))
    return last
