"""What the OpenAPI document says beyond the views and schemas: errors, headers, the token."""

from typing import Any

from apispec import APISpec
from flask_smorest.error_handler import ErrorSchema as SmorestErrorSchema
from marshmallow import fields

from leads_service.parameters import HEADERS, header
from leads_service.schemas import LeadSchema
from leads_service.version import __version__

DESCRIPTION = """\
Track a sales pipeline: create leads from companies, move them through five statuses, keep notes,
list them with filters and cursors. Every user sees their own leads and no others: somebody else's
lead does not exist for you (404).

* Leads are listed newest first: by `created_at`, then `id`, both descending. Follow `next_cursor`,
  or the `Link` header, to the next page; leads that are created meanwhile do not disturb the walk.
* `created_after` and `created_before` are whole days in UTC, both included.
* Requests are read strictly: an unknown or repeated parameter, an unknown field, a number sent as
  text or the other way round is an error (422) that names it; so is an integer written `42.0`.
* An answer with one lead has an `ETag`: its `updated_at` in quotes, which differs between any two
  states of a lead. With it as `If-Match`, PATCH and DELETE do nothing if the lead has changed since
  (412).
* Times are RFC 3339 in UTC with microseconds.
* `score` is computed by the service when a lead is created or changed; it can't be set.
"""


class LeadsErrorSchema(SmorestErrorSchema):
    """Any error."""

    code = fields.Integer(
        required=True, metadata={"description": "The HTTP status.", "example": 422}
    )
    status = fields.String(
        required=True, metadata={"description": "Its name.", "example": "Unprocessable Entity"}
    )
    message = fields.String(
        required=True,
        metadata={
            "description": "What is wrong, in a sentence.",
            "example": "The request is not valid; see errors.",
        },
    )
    errors = fields.Dict(
        metadata={
            "description": "With 422: what is wrong by place (json, query, headers) and name.",
            "example": {"json": {"company_id": ["Not a valid integer."]}},
        }
    )


class LeadsChangedErrorSchema(LeadsErrorSchema):
    """The lead has changed."""

    lead = fields.Nested(
        LeadSchema, required=True, metadata={"description": "The lead as it is now."}
    )


def _error(
    description: str,
    schema: type[LeadsErrorSchema] = LeadsErrorSchema,
    **headers: dict[str, Any],
) -> dict[str, Any]:
    return {
        "description": description,
        "headers": HEADERS["any"]
        | {name.replace("_", "-"): header for name, header in headers.items()},
        "content": {"application/json": {"schema": schema}},
    }


_RESPONSES = {
    400: _error("The body is not JSON in UTF-8."),
    401: _error(
        "The token is missing, malformed, unknown, expired or revoked.",
        WWW_Authenticate=header("How to authenticate.", 'Bearer realm="leads"'),
    ),
    403: _error("The token is read-only."),
    404: _error("The caller has no lead with this id."),
    410: _error("The lead that the Idempotency-Key made has been deleted."),
    411: _error(
        "The body is chunked, and the server can't tell whether all of it came; send its length."
    ),
    412: _error(
        "The lead is in no state that `If-Match` names; nothing was stored.",
        LeadsChangedErrorSchema,
        ETag=HEADERS["lead"]["ETag"],
    ),
    413: _error("The body is larger than 256 KiB."),
    415: _error("The Content-Type is not application/json."),
    422: _error(
        "A parameter, field or header has a wrong type or value, or is unknown; `errors` names it."
    ),
    429: _error(
        "Too many invalid tokens came from the caller's address; this one was not looked at.",
        Retry_After=header("Seconds to wait.", 1, "integer"),
    ),
    500: _error("Something unforeseen; the message holds the request's id and nothing else."),
    503: _error(
        "The store can't be reached or stays locked; nothing was stored.",
        Retry_After=header("Seconds to wait.", 1, "integer"),
    ),
}


def errors(*statuses: int) -> dict[int, str]:
    """Return, for an operation's documentation, the responses with these error statuses."""
    return {status: f"Leads{status}" for status in statuses}


SECURITY: list[dict[str, list[str]]] = [{"leadsToken": []}]

SPEC = {
    "API_TITLE": "Leads API",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
    },
}


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Made with `leads-service token create NAME`; a token may be read-only.",
}


def describe(spec: APISpec, *, takes_tokens: bool) -> None:
    """Add to ``spec`` what the leads' operations refer to and the framework does not bring."""
    if takes_tokens:
        spec.components.security_scheme("leadsToken", _TOKEN)
    for status, response in _RESPONSES.items():
        spec.components.response(f"Leads{status}", response, lazy=True)
