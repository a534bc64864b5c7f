"""What a lead is: its fields, their bounds, and the filters of the list, each declared once.

Schemas, columns, statements, files, the options of commands and the OpenAPI document derive from
``FIELDS`` and ``FILTERS``.
"""

import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

STATUSES = ("new", "contacted", "qualified", "converted", "lost")
MAX_INTEGER = 2**63 - 1  # the largest that SQLite stores, https://www.sqlite.org/datatype3.html
MAX_SCORE = 100
MAX_NOTES = 10_000  # code points

EXAMPLE_TIME = "2026-11-22T22:03:11.123456Z"
DAY_BEGINS, DAY_ENDS = "00:00:00.000000Z", "23:59:59.999999Z"

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Whole:
    """An integer within bounds, both included; an unbounded one is one of 64 bits."""

    minimum: int | None = None
    maximum: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether it may take more than 32 bits."""
        return self.maximum is None or self.maximum >= 2**31


@dataclass(frozen=True)
class Text:
    """Unicode text without NUL and lone surrogates."""

    max_length: int  # code points


@dataclass(frozen=True)
class Choice:
    """One of some texts."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """A time, stored and shown as ``timestamp`` writes it."""


Kind = Whole | Text | Choice | Moment


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a lead: its values, who may set it, and what is said about it.

    Attributes:
        kind: The values that it may have, beside None if it is ``nullable``.
        description: What the OpenAPI document says of it in answers.
        example: What the OpenAPI document shows.
        on_create: What the document says of it in a body that creates a lead, empty for nothing;
            None if a client can't send it there.
        on_update: The same of a body that changes a lead.
        required: Whether a body that creates a lead must have it.
        initial: What a new lead has unless the body says otherwise.
        nullable: Whether a lead may be without it.
        null_means: What null stands for in a body; a field that is not ``nullable`` takes null
            only if this is given.
        in_files: Whether an export writes it and an import reads it.
        scored: Whether scorers are told it.

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
        """Whether a body may say null."""
        return self.nullable or self.null_means is not None


ID = Whole(1, MAX_INTEGER)

# In the order in which they are shown.
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
# What a change of a lead may set; the last two are computed.
CHANGING = (*UPDATABLE, "score", "updated_at")


def new_lead(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new lead that a client may set or an import may bring, but the times.

    Args:
        values: What is given of them; None where a body says null.

    """
    names = (name for name in FIELDS if name in CREATABLE or name in UPDATABLE)
    return {name: without_null(name, values.get(name, FIELDS[name].initial)) for name in names}


def without_null(name: str, value: Any) -> Any:
    """Return what a value of a field is stored as: what null means, if it is None."""
    return FIELDS[name].null_means if value is None else value


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter of the list.

    Attributes:
        field: The field of a lead that is compared. Of a ``Moment`` whole days in UTC are compared.
        condition: What has to hold, ``operator.eq``, ``ge`` or ``le``: for the lead's value on the
            left and the filter's on the right.
        description: What the OpenAPI document says of the parameter.
        option_help: What a command says of the option, if that differs.

    """

    field: str
    condition: Callable[[Any, Any], Any]
    description: str
    option_help: str | None = None

    @property
    def kind(self) -> Kind:
        """The values of its field."""
        return FIELDS[self.field].kind

    @property
    def is_day(self) -> bool:
        """Whether its value is a whole day."""
        return isinstance(self.kind, Moment)

    def bound(self, value: Any) -> Any:
        """Return what is compared with the lead's value: of a day, its first or last moment."""
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
# The filters that are the two ends of a range: the lower one has to be no greater than the other.
RANGES = tuple(
    (low, high)
    for low, lower in FILTERS.items()
    for high, upper in FILTERS.items()
    if lower.field == upper.field
    and lower.condition is operator.ge
    and upper.condition is operator.le
)


def utc_now() -> datetime:
    """Return the time, in UTC: the clock unless another one is given."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return a UTC time as it is stored and shown: RFC 3339, microseconds, ``Z``.

    All have one width, so that the order of the texts is the order of the times.
    """
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def later(last: str, now: datetime) -> str:
    """Return the time ``now``, or if that is not after ``last`` a microsecond after ``last``.

    Thus no two states of a lead have the same ``updated_at``, by which clients tell them apart.
    After the last microsecond of the year 9999, ``last`` stays.
    """
    moment = timestamp(now)
    if moment > last:
        return moment
    with suppress(OverflowError):
        return timestamp(datetime.fromisoformat(last) + timedelta(microseconds=1))
    return last
