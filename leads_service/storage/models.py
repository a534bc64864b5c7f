"""The tables that all engines have, as Peewee models.

They are bound to no database: each query is run on the one that it is given.
"""

from typing import Any

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    ForeignKeyField,
    Model,
    TextField,
)

from leads_service.lead import FIELDS, Whole


def _lead_model() -> Any:
    """Return the model of ``lead.FIELDS``; ``Any``, for a type checker can't know its columns."""

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
    """Somebody who owns leads."""

    id = AutoField()
    name = TextField(unique=True)
    created_at = TextField()

    class Meta:
        table_name = "leads_user"


class Token(Model):
    """A credential of a user; the SHA-256 of the token is kept, and its first characters."""

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


class DeletedLead(Model):
    """Where a lead stood that was deleted, for a cursor that names it."""

    user_id = BigIntegerField()
    id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_deleted"
        primary_key = CompositeKey("user_id", "id")


class Idempotency(Model):
    """The lead that a create with an Idempotency-Key made, and the digest of its body."""

    id = AutoField()
    user_id = BigIntegerField()
    key = TextField()
    digest = TextField()
    lead_id = BigIntegerField()
    created_at = TextField()

    class Meta:
        table_name = "leads_idempotency"


TABLES_WITH_OWNER: tuple[Any, ...] = (
    Lead,
    DeletedLead,
    Idempotency,
)  # the tables with a column user_id
