"""The stack of this project as in its tutorials: Flask, Peewee, marshmallow."""

import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, g, request
from marshmallow import Schema, fields, validate
from peewee import (
    CharField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

app = Flask(__name__)
database = SqliteDatabase(os.environ["BENCH_DATABASE"].removeprefix("sqlite:///"))


class BaseModel(Model):
    """The base of all models."""

    class Meta:
        database = database


class User(BaseModel):
    """Somebody who owns leads."""

    name = CharField(unique=True)


class Token(BaseModel):
    """A bearer token of a user."""

    user = ForeignKeyField(User, backref="tokens")
    key = CharField(unique=True)


class Lead(BaseModel):
    """A lead."""

    user = ForeignKeyField(User, backref="leads", index=False)
    company_id = IntegerField()
    status = CharField(default="new")
    notes = TextField(default="")
    score = IntegerField(default=10)
    created_at = DateTimeField()
    updated_at = DateTimeField()

    class Meta:
        indexes = ((("user", "created_at"), False),)  # SQLite appends the id to every index


STATUSES = ("new", "contacted", "qualified", "converted", "lost")


class LeadSchema(Schema):
    """A lead in requests and responses."""

    id = fields.Integer(dump_only=True)
    user_id = fields.Integer(dump_only=True)
    company_id = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    status = fields.String(dump_only=True)
    notes = fields.String(load_default="", validate=validate.Length(max=10_000))
    score = fields.Integer(dump_only=True)
    created_at = fields.DateTime(dump_only=True)
    updated_at = fields.DateTime(dump_only=True)


class LeadUpdateSchema(Schema):
    """The body of an update."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    notes = fields.String(validate=validate.Length(max=10_000))


@app.before_request
def connect() -> None:
    """Open a connection and authenticate the request."""
    database.connect()
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    token = Token.get_or_none(Token.key == key)
    if token is None:
        abort(401)
    g.user = token.user


@app.teardown_request
def close(_: BaseException | None) -> None:
    """Close the connection."""
    database.close()


@app.get("/leads")
def list_leads() -> dict[str, Any]:
    """Return the caller's newest leads."""
    leads = g.user.leads.order_by(Lead.created_at.desc(), Lead.id.desc()).limit(50)
    return {"data": LeadSchema(many=True).dump(leads)}


@app.post("/leads")
def create_lead() -> tuple[dict[str, Any], int]:
    """Store a lead of the caller's."""
    now = datetime.now(UTC).replace(tzinfo=None)
    body = LeadSchema().load(request.get_json())
    lead = Lead.create(user=g.user, created_at=now, updated_at=now, **body)
    return LeadSchema().dump(lead), 201


@app.patch("/leads/<int:lead_id>")
def update_lead(lead_id: int) -> dict[str, Any]:
    """Change a lead of the caller's."""
    lead = g.user.leads.where(Lead.id == lead_id).get_or_none()
    if lead is None:
        abort(404)
    for name, value in LeadUpdateSchema().load(request.get_json()).items():
        setattr(lead, name, value)
    lead.updated_at = datetime.now(UTC).replace(tzinfo=None)
    lead.save()
    body: dict[str, Any] = LeadSchema().dump(lead)
    return body


if __name__ == "__main__":
    database.create_tables([User, Token, Lead])
    for name in ("bench", "other"):
        Token.create(user=User.create(name=name), key=f"token-of-{name}")
