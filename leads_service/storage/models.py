"""The Peewee models of the tables, the same for all engines.

They are not bound to a database; each query is executed on an explicit one.
"""

from typing import Any

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    ForeignKeyField,
    Model,
    SmallIntegerField,
    TextField,
)

from leads_service.lead import FIELDS, FUNNEL, STATUSES, Whole

BITS = {status: 1 << number for number, status in enumerate(STATUSES)}
# All that a lead has reached for certain if it is at a status.
REACHED = {
    status: sum(BITS[earlier] for earlier in FUNNEL[: FUNNEL.index(status)]) + bit
    if status in FUNNEL
    else BITS[FUNNEL[0]] + bit
    for status, bit in BITS.items()
}


def _lead_model() -> Any:
    """Return the model of ``lead.FIELDS``.

    Its columns are added at run time, so a type checker can't know them.
    """

    class Lead(Model):
        """A company on its way through the pipeline, owned by one user."""

        id = AutoField()

        class Meta:
            table_name = "leads_lead"

    for name, field in FIELDS.items():
        if name != "id":
            column: Any = BigIntegerField if isinstance(field.kind, Whole) else TextField
            Lead._meta.add_field(name, column(null=field.nullable))
    return Lead


Lead = _lead_model()


class User(Model):
    """A user of the standalone application, or of a host without its own users."""

    id = AutoField()
    name = TextField(unique=True)
    created_at = TextField()

    class Meta:
        table_name = "leads_user"


class Token(Model):
    """A user's bearer token: its SHA-256 in ``digest``, its first characters in ``prefix``.

    A session of a browser is a token as well; ``parent`` is the one that it came from.
    """

    id = AutoField()
    user = ForeignKeyField(User, backref="tokens")
    digest = TextField(unique=True)
    prefix = TextField()
    label = TextField()
    read_only = BooleanField()
    created_at = TextField()
    expires_at = TextField(null=True)
    last_used_at = TextField(null=True)
    parent = ForeignKeyField("self", null=True)

    class Meta:
        table_name = "leads_token"


class DeletedLead(Model):
    """The position of a deleted or moved lead, for cursors that refer to it."""

    user_id = BigIntegerField()
    id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_deleted"
        primary_key = CompositeKey("user_id", "id")


class Idempotency(Model):
    """A used idempotency key: the digest of the request's body, and the lead that it created."""

    user_id = BigIntegerField()
    key = TextField()
    digest = TextField()
    lead_id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_idempotency"
        primary_key = CompositeKey("user_id", "key")


class StatusChange(Model):
    """A change of a lead's status; that a lead is created, as new, is none.

    ``is_estimate`` tells what was derived from the present status: ``changed_at`` is then when the
    lead last changed, and what was in between is not known.

    What the progress is counted by is stored with it. ``seconds`` is how long the lead has been in
    ``from_status``, NULL if not known. ``reached_before`` and ``reached`` are the statuses that it
    has ever reached, before and after, as a sum of ``BITS``. ``company_id`` and
    ``lead_created_at`` are the lead's, where they never change.
    """

    user_id = BigIntegerField()
    lead_id = BigIntegerField()
    changed_at = TextField()
    from_status = TextField()
    to_status = TextField()
    is_estimate = BooleanField()
    seconds = BigIntegerField(null=True)
    reached_before = SmallIntegerField()
    reached = SmallIntegerField()
    company_id = BigIntegerField()
    lead_created_at = TextField()

    class Meta:
        table_name = "leads_history"
        primary_key = CompositeKey("user_id", "lead_id", "changed_at")


# The tables with a column user_id that is no foreign key.
TABLES_WITH_OWNER: tuple[Any, ...] = (Lead, DeletedLead, Idempotency, StatusChange)

# All tables by name, each one after those that it refers to.
TABLES: dict[str, Any] = {
    table._meta.table_name: table
    for table in (User, Token, Lead, StatusChange, Idempotency, DeletedLead)
}
TABLES_WITH_ID = ("leads_user", "leads_token", "leads_lead")  # which the database gives out
