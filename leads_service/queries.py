"""The queries on one user's leads, each one beginning with whose they are."""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import reduce
from operator import and_
from typing import Any

from peewee import ModelInsert, ModelSelect, ModelUpdate, Tuple

from leads_service.models import Lead
from leads_service.statements import parameter

COLUMNS = tuple(Lead._meta.columns)  # a lead's fields, in the order in which they are shown
CHANGING = ("status", "notes", "score", "updated_at")

OWN = Lead.user_id == parameter("user_id")
ONE = OWN & (Lead.id == parameter("id"))
CONDITIONS = {
    "status": Lead.status == parameter("status"),
    "company_id": Lead.company_id == parameter("company_id"),
    "min_score": Lead.score >= parameter("min_score"),
    "max_score": Lead.score <= parameter("max_score"),
    "created_after": Lead.created_at >= parameter("created_after"),
    "created_before": Lead.created_at <= parameter("created_before"),
    "cursor": Tuple(Lead.created_at, Lead.id)
    < Tuple(parameter("cursor_created_at"), parameter("cursor")),
}


def insert_one() -> ModelInsert:
    """Return the query that stores a lead and answers with its id."""
    return Lead.insert({name: parameter(name) for name in COLUMNS[1:]}).returning(Lead.id)


def select_one() -> "ModelSelect[Lead]":
    """Return the query for the user's lead with an ``id``."""
    return _select().where(ONE)


def update_one() -> ModelUpdate:
    """Return the query that changes the user's lead with an ``id``."""
    return Lead.update({name: parameter(name) for name in CHANGING}).where(ONE)


def select_page(names: Iterable[str]) -> "ModelSelect[Lead]":
    """Return the query for a page with the filters of these names, newest first."""
    where = reduce(and_, (CONDITIONS[name] for name in sorted(names)), OWN)
    newest_first = (Lead.created_at.desc(), Lead.id.desc())
    return _select().where(where).order_by(*newest_first).limit(parameter("limit"))


def as_lead(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a row as a lead goes out: written out, for half the time that dict(zip()) takes."""
    lead_id, user_id, company_id, status, notes, points, created_at, updated_at = row
    return {
        "id": lead_id,
        "user_id": user_id,
        "company_id": company_id,
        "status": status,
        "notes": notes,
        "score": points,
        "created_at": created_at,
        "updated_at": updated_at,
    }


def as_stored(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters with each day as the first or the last moment of it, as it is stored."""
    ends = {"created_after": "T00:00:00.000000Z", "created_before": "T23:59:59.999999Z"}
    return {
        name: value.isoformat() + ends[name] if isinstance(value, date) else value
        for name, value in filters.items()
    }


def _select() -> "ModelSelect[Lead]":
    return Lead.select(*Lead._meta.sorted_fields)
