"""The tables. They speak to the database that a query is run on; none is bound to them."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

STATUSES = ("new", "contacted", "qualified", "converted", "lost")
MAX_INTEGER = 2**63 - 1  # SQLite's largest, https://www.sqlite.org/datatype3.html
MAX_SCORE = 100
MAX_NOTES = 10_000  # code points

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, in UTC: the clock unless another one is given."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return a UTC time as it is stored and shown: RFC 3339, microseconds, ``Z``.

    One fixed width, so that the order of the texts is the order of the times.
    """
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def later(last: str, now: datetime) -> str:
    """Return the time ``now``; if that is not after ``last``, a microsecond after ``last``.

    So no two states of a lead have the same ``updated_at``: clients tell them apart by it.
    """
    moment = timestamp(now)
    if moment > last:
        return moment
    with suppress(OverflowError):  # after the last moment of the year 9999 there is none
        return timestamp(datetime.fromisoformat(last) + timedelta(microseconds=1))
    return last


class User(Model):
    """Somebody who owns leads."""

    id = AutoField()
    name = TextField(unique=True)
    created_at = TextField()

    class Meta:
        table_name = "leads_user"


class Token(Model):
    """A way in for a user; of the token itself, the SHA-256 and the first characters are kept."""

    id = AutoField()
    user = ForeignKeyField(User, backref="tokens")
    digest = TextField(unique=True)
    prefix = TextField()
    label = TextField()
    read_only = BooleanField()
    created_at = TextField()
    expires_at = TextField(null=True)
    last_used_at = TextField(null=True)

    class Meta:
        table_name = "leads_token"


class Lead(Model):
    """A company on its way through the pipeline, owned by one user."""

    id = AutoField()
    user_id = BigIntegerField()
    company_id = BigIntegerField()
    status = TextField()
    notes = TextField()
    score = IntegerField()
    created_at = TextField()
    updated_at = TextField()

    class Meta:
        table_name = "leads_lead"


class DeletedLead(Model):
    """What is left of a lead that was deleted: where it stood, for a cursor that names it."""

    user_id = BigIntegerField()
    id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_deleted"
        primary_key = CompositeKey("user_id", "id")


class Idempotency(Model):
    """What a create with an Idempotency-Key has made, and of which body."""

    id = AutoField()
    user_id = BigIntegerField()
    key = TextField()
    digest = TextField()
    lead_id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_idempotency"
