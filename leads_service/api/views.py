"""The views: one function for each operation on leads, and the responses to its errors.

The docstrings of the operations are part of the OpenAPI document.
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import Response, g, request
from flask_smorest import abort
from marshmallow import RAISE
from orjson import Fragment
from werkzeug.exceptions import Gone, NotFound, PreconditionFailed

from leads_service.api.blueprint import blp, note_checked
from leads_service.api.links import lead_location, next_link
from leads_service.api.openapi import (
    ENTITY_TAG,
    ENTITY_TAGS,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LEAD_ID,
    MAX_ENTITY_TAGS,
    errors,
    headers,
)
from leads_service.api.parsing import refuse_parameters
from leads_service.api.responses import empty_response, error_response, json_response
from leads_service.api.schemas import (
    LeadCreateSchema,
    LeadPageSchema,
    LeadQuerySchema,
    LeadSchema,
    LeadUpdateSchema,
)
from leads_service.exceptions import (
    CursorNotFoundError,
    KeyReusedError,
    LeadChangedError,
    LeadGoneError,
    LeadNotFoundError,
)
from leads_service.state import current_state

VALID_KEY = re.compile(r"[ -~]{1,255}")

__all__ = ["blp"]

LEAD_PATH = "/leads/<leads_service_id:lead_id>"
READ_ERRORS = (401, 422, 429, 500, 503)
WRITE_ERRORS = (400, 401, 403, 411, 413, 415, 422, 429, 500, 503)


@blp.route("/leads")
@blp.arguments(LeadQuerySchema(), location="query", unknown=RAISE)
@blp.response(200, LeadPageSchema, description="A page of leads.", headers=headers("Link"))
@blp.doc(operationId="listLeads", responses=errors(*READ_ERRORS))
def list_leads(query: dict[str, Any]) -> Response:
    """List the caller's leads, newest first."""
    filters = dict(query)
    limit, cursor = filters.pop("limit"), filters.pop("cursor", None)
    try:
        page = current_state().leads.page(
            g.leads_caller.user_id, filters, limit=limit, cursor=cursor
        )
    except CursorNotFoundError:
        abort(422, errors={"query": {"cursor": ["Must be the next_cursor of a page of yours."]}})
    else:
        payload = page._asdict() | {"data": Fragment(page.data)}
        return json_response(payload, headers=next_link(query, page.next_cursor))


@blp.route("/leads", methods=["POST"])
@blp.arguments(LeadCreateSchema())
@blp.response(
    201,
    LeadSchema,
    description="The new lead.",
    headers=headers("ETag", "Location", "Idempotency-Replayed"),
)
@blp.doc(
    operationId="createLead", parameters=[IDEMPOTENCY_KEY], responses=errors(410, *WRITE_ERRORS)
)
def create_lead(body: dict[str, Any]) -> Response:
    """Create a lead from a company; it starts as new."""
    leads, caller = current_state().leads, g.leads_caller
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        lead = leads.create(caller.user_id, body, token=caller.unchecked)
        note_checked(caller)
        return _created(lead)
    if not VALID_KEY.fullmatch(key):
        abort(422, errors=_key_error("Must be 1 to 255 printable ASCII characters."))
    try:
        lead, replayed = leads.create_once(caller.user_id, key, body)
    except KeyReusedError:
        abort(422, errors=_key_error("Came with another body less than 24 hours ago."))
    else:
        return _created(lead, replayed=replayed)


@blp.route(LEAD_PATH, parameters=[LEAD_ID])
@blp.response(200, LeadSchema, description="The lead.", headers=headers("ETag"))
@blp.doc(operationId="getLead", responses=errors(404, *READ_ERRORS))
def get_lead(lead_id: int) -> Response:
    """Get a lead."""
    refuse_parameters(request)
    lead = current_state().leads.get(g.leads_caller.user_id, lead_id)
    return json_response(lead, headers=_etag(lead))


@blp.route(LEAD_PATH, methods=["PATCH"], parameters=[LEAD_ID])
@blp.arguments(LeadUpdateSchema())
@blp.response(200, LeadSchema, description="The lead as it is now.", headers=headers("ETag"))
@blp.doc(operationId="updateLead", parameters=[IF_MATCH], responses=errors(404, 412, *WRITE_ERRORS))
def update_lead(body: dict[str, Any], lead_id: int) -> Response:
    """Change a lead's status or notes; only what is sent changes."""
    leads, user_id = current_state().leads, g.leads_caller.user_id
    lead = leads.update(user_id, lead_id, body, _versions())
    return json_response(lead, headers=_etag(lead))


@blp.route(LEAD_PATH, methods=["DELETE"], parameters=[LEAD_ID])
@blp.response(204, description="The lead is erased.", headers=headers())
@blp.doc(
    operationId="deleteLead", parameters=[IF_MATCH], responses=errors(403, 404, 412, *READ_ERRORS)
)
def delete_lead(lead_id: int) -> Response:
    """Erase a lead for good; its id is never used again."""
    refuse_parameters(request)
    current_state().leads.delete(g.leads_caller.user_id, lead_id, _versions())
    return empty_response()


@blp.errorhandler(LeadNotFoundError)
def not_found(_: LeadNotFoundError) -> Response:
    """Return 404: the caller has no such lead."""
    return error_response(NotFound("There is no such lead."))


@blp.errorhandler(LeadGoneError)
def gone(_: LeadGoneError) -> Response:
    """Return 410: the lead that an idempotency key created has been deleted."""
    message = "The lead that this Idempotency-Key made was deleted; send a new key for a new lead."
    return error_response(Gone(message))


@blp.errorhandler(LeadChangedError)
def changed(error: LeadChangedError) -> Response:
    """Return 412 with the lead as it is now: it is in none of the states of If-Match."""
    message = "The lead has changed since, so nothing was done; lead holds it as it is now."
    return error_response(PreconditionFailed(message), _etag(error.lead), lead=error.lead)


def _etag(lead: Mapping[str, Any]) -> dict[str, str]:
    return {"ETag": f'"{lead["updated_at"]}"'}


def _versions() -> list[str] | None:
    """Return the versions that the header If-Match accepts; None if it accepts any.

    Aborts with 422 if the header is malformed.
    """
    given = request.environ.get("HTTP_IF_MATCH")
    if given is None or given == "*":
        return None
    if len(given) > MAX_ENTITY_TAGS or not re.fullmatch(ENTITY_TAGS, given):
        problem = "Must be a lead's ETag in its quotes, or several with commas between, or *."
        abort(422, errors={"headers": {"If-Match": [problem]}})
    return [tag for weak, tag in re.findall(ENTITY_TAG, given) if not weak]


def _created(lead: dict[str, Any], *, replayed: bool = False) -> Response:
    headers = _etag(lead) | {"Location": lead_location(lead)}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(lead, 201, headers)


def _key_error(problem: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": [problem]}}
