"""What the OpenAPI document has beyond views and schemas: errors, headers, names, the token."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from flask_smorest import Api, Blueprint
from marshmallow import Schema
from werkzeug.http import HTTP_STATUS_CODES

from leads_service.api.schemas import (
    LeadCreateSchema,
    LeadPageSchema,
    LeadsChangedErrorSchema,
    LeadSchema,
    LeadsErrorSchema,
    LeadUpdateSchema,
)
from leads_service.lead import FIELDS, FILTERS, MAX_INTEGER, STATUSES
from leads_service.validation import StatusField
from leads_service.version import __version__

DAYS = " and ".join(f"`{name}`" for name, declared in FILTERS.items() if declared.is_day)
DESCRIPTION = f"""\
Track a sales pipeline: create leads from companies, move them through five statuses, keep notes,
list them with filters and cursors. Every user sees their own leads and no others: somebody else's
lead does not exist for you (404).

* Leads are listed newest first: by `created_at`, then `id`, both descending. Follow `next_cursor`,
  or the `Link` header, to the next page; leads that are created meanwhile do not disturb the walk.
* {DAYS} are whole days in UTC, both included.
* Requests are read strictly: an unknown or repeated parameter, an unknown field, a number sent as
  text or the other way round is an error (422) that names it; so is an integer written `42.0`.
* An answer with one lead has an `ETag`: its `updated_at` in quotes, which differs between any two
  states of a lead. With it as `If-Match`, PATCH and DELETE do nothing if the lead has changed since
  (412).
* Times are RFC 3339 in UTC with microseconds.
* `id`, `company_id`, `user_id` and cursors are integers of 64 bits. Up to 2^53 - 1, which is
  9007199254740991, they are safe in JavaScript. Above, `JSON.parse` rounds without a word, and what
  is sent back names another company: 9007199254740993 becomes 9007199254740992. Ids of leads count
  from 1 and do not get there. Keep `company_id` below too, or read the JSON with a library that
  keeps large integers.
* `score` is computed by the service when a lead is created or changed; it can't be set.
"""

ORIGIN = "https://example.com"  # in examples
CHANGED_LEAD = {name: field.example for name, field in FIELDS.items()} | {
    "score": 30,
    "updated_at": "2026-11-22T22:03:12.123456Z",
}
MAX_ADDRESS = 2048  # characters; a host name has 253 at most

# RFC 9110, sections 8.8.3, 13.1.1 and, for empty elements, 5.6.1.
ENTITY_TAG = r'(W/)?"([!#-~\x80-\xff]*)"'
ENTITY_TAGS = rf"\*|[ \t,]*{ENTITY_TAG}([ \t]*,[ \t,]*{ENTITY_TAG})*[ \t,]*"
MAX_ENTITY_TAGS = 1000  # characters, about thirty tags

LEAD_ID = {
    "in": "path",
    "name": "lead_id",
    "required": True,
    "description": "The lead's id.",
    "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_INTEGER},
}

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes a retry safe: the same key with the same body answers with the lead that "
    "the first call made, for 24 hours; with another body, 422; if the lead has been deleted, 410. "
    "Choose a new one for each lead, such as a UUID.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
}

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "Do it only if the lead is as you know it, otherwise 412: the lead's `ETag`, "
    "which is its `updated_at` in quotes, or several with commas between, or `*` for any.",
    "schema": {"type": "string", "maxLength": MAX_ENTITY_TAGS, "pattern": f"^({ENTITY_TAGS})$"},
}


def headers(*names: str) -> dict[str, str]:
    """Return, for ``blp.response``, references to these headers and to X-Request-ID."""
    return {name: header_name(name) for name in ("X-Request-ID", *names)}


def header_name(name: str) -> str:
    """Return the component name of a header, prefixed so that it can't clash with a host's."""
    return f"Leads-{name}"


def header_components(address: str) -> dict[str, dict[str, Any]]:
    """Return the component of each header by name.

    Args:
        address: The URL of the list of leads, for the examples.
    """
    return {
        "X-Request-ID": _text(
            "The request's id: yours, if you sent a sane one, or a new one.", "4f0c6a52", 128
        ),
        "ETag": _text(
            "The lead's `updated_at` in quotes; for `If-Match`.",
            '"2026-11-22T22:03:11.123456Z"',
            29,
        ),
        "Link": _text(
            "The full address of the next page, when there is one.",
            f'<{address}?cursor=1>; rel="next"',
            MAX_ADDRESS,
        ),
        "Location": _text("The lead's address.", f"{address}/1", MAX_ADDRESS),
        "Idempotency-Replayed": _text(
            "`true` when the Idempotency-Key had made the lead before.", "true", 4
        ),
        "Retry-After": _header("Seconds to wait.", {"type": "integer", "minimum": 1}, 1),
        "WWW-Authenticate": _text("How to authenticate.", 'Bearer realm="leads"', 100),
    }


def _text(description: str, example: str, max_length: int) -> dict[str, Any]:
    return _header(description, {"type": "string", "maxLength": max_length}, example)


def _header(description: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"description": description, "schema": schema, "example": example}


class Error(NamedTuple):
    """An error response in the document.

    Attributes:
        description: When it is returned.
        message: The example's ``message``.
        headers: Its headers besides X-Request-ID.
        schema: The schema of its body.
        members: The example's members besides ``code``, ``status`` and ``message``.
    """

    description: str
    message: str
    headers: tuple[str, ...] = ()
    schema: type[LeadsErrorSchema] = LeadsErrorSchema
    members: Mapping[str, Any] = MappingProxyType({})

    def response(self, status: int) -> dict[str, Any]:
        """Return the component of the response with this status."""
        example = {"code": status, "status": HTTP_STATUS_CODES[status], "message": self.message}
        content = {"schema": self.schema, "example": example | dict(self.members)}
        return {
            "description": self.description,
            "headers": headers(*self.headers),
            "content": {"application/json": content},
        }


# tests/test_openapi.py checks that the service does return each of these.
ERRORS = {
    400: Error("The body is not JSON in UTF-8.", "The body is not valid JSON in UTF-8."),
    401: Error(
        "The token is missing, malformed, unknown, expired or revoked.",
        "A token is needed: send it as 'Authorization: Bearer TOKEN'.",
        headers=("WWW-Authenticate",),
    ),
    403: Error("The token is read-only.", "This token is read-only; use one that may write."),
    404: Error("The caller has no lead with this id.", "There is no such lead."),
    410: Error(
        "The lead that the Idempotency-Key made has been deleted.",
        "The lead that this Idempotency-Key made was deleted; send a new key for a new lead.",
    ),
    411: Error(
        "The body is chunked, and the server can't tell whether all of it came; send its length.",
        "Send the body whole, with a Content-Length, not chunked.",
    ),
    412: Error(
        "The lead is in no state that `If-Match` names; nothing was stored.",
        "The lead has changed since, so nothing was done; lead holds it as it is now.",
        headers=("ETag",),
        schema=LeadsChangedErrorSchema,
        members={"lead": CHANGED_LEAD},
    ),
    413: Error("The body is larger than 256 KiB.", "The body is larger than 256 KiB."),
    415: Error(
        "The Content-Type is not application/json.",
        "Send the body as Content-Type: application/json.",
    ),
    422: Error(
        "A parameter, field or header has a wrong type or value, or is unknown; `errors` names it.",
        "The request is not valid; see errors.",
        members={"errors": {"json": {"company_id": ["Not a valid integer."]}}},
    ),
    429: Error(
        "Too many invalid tokens came from the caller's address; this one was not looked at.",
        "Too many invalid tokens came from your address; try again later.",
        headers=("Retry-After",),
    ),
    500: Error(
        "Something unforeseen; the message holds the request's id and nothing else.",
        "Something went wrong here; it was logged as 4f0c6a52.",
    ),
    503: Error(
        "The store can't be reached or stays locked. The message says whether anything was stored.",
        "The store can't be reached or is busy; nothing was stored. Try again.",
        headers=("Retry-After",),
    ),
}
# With a host's login there are no tokens, so none that are read-only (403) or guessed (429).
ERRORS_WITHOUT_TOKENS = {status: ERRORS[status] for status in ERRORS if status not in (403, 429)}
ERRORS_WITHOUT_TOKENS[401] = Error("Nobody is logged in.", "Log in first.")


def errors(*statuses: int) -> dict[int, str]:
    """Return, for ``blp.doc``, references to the error responses with these statuses."""
    return {status: f"Leads{status}" for status in statuses}


SPEC = {
    "API_TITLE": "Leads API",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
    },
}
SECURITY: list[dict[str, list[str]]] = [{"leadsToken": []}]
SCHEMAS: dict[str, type[Schema]] = {
    "Lead": LeadSchema,
    "LeadPage": LeadPageSchema,
    "LeadCreate": LeadCreateSchema,
    "LeadUpdate": LeadUpdateSchema,
}


class DocumentedBlueprint(Blueprint):
    """A flask-smorest blueprint whose operations have a tag other than the blueprint's name."""

    def __init__(self, name: str, import_name: str, *, tag: str, description: str, **options: Any):
        """Create the blueprint.

        Args:
            name: Its name in Flask, the prefix of its endpoints.
            import_name: The module that it belongs to.
            tag: The tag of its operations in the OpenAPI document.
            description: The description of the tag.
            options: Further ones of ``flask_smorest.Blueprint``.
        """
        super().__init__(name, import_name, description=description, **options)
        self._tag = tag

    def add_url_rule(self, *args: Any, **options: Any) -> None:
        """Add a view and tag its operations."""
        super().add_url_rule(*args, **options | {"tags": [self._tag]})

    def register_in(self, api: Api, app: Any, **options: Any) -> None:
        """Register the blueprint in an application and its views in the application's document.

        ``api.register_blueprint()`` does the same, but uses the blueprint's name as the tag.
        """
        app.register_blueprint(self, **options)
        self.register_views_in_doc(api, app, api.spec, name=self.name, parameters=None)
        api.spec.tag({"name": self._tag, "description": self.description})


def describe(api: Api, takes_tokens: bool, is_hosted: bool, url_prefix: str) -> None:
    """Add the components that the operations refer to: schemas, responses, headers, security.

    In a host's document all their names begin with Leads, since the host may have a schema Lead of
    its own. Prefixing only the names that are taken would make the names in generated clients
    depend on the order in which the host registers its components.

    Args:
        api: The Api whose document is completed.
        takes_tokens: Whether callers authenticate with tokens of this service.
        is_hosted: Whether the document is a host's.
        url_prefix: Where the views are mounted, for the examples.
    """
    spec = api.spec
    prefix = "Leads" if is_hosted else ""
    status = f"{prefix}Status"
    spec.components.schema(
        status,
        {
            "type": "string",
            "enum": list(STATUSES),
            "description": "Where a lead stands in the pipeline; any status may follow any other.",
        },
    )

    def refer_to_status(_: Any, field: Any, ret: dict[str, Any]) -> dict[str, Any]:
        """Replace the schema of a status field by a reference to the shared component."""
        if not isinstance(field, StatusField):
            return {}
        about = {"description": ret["description"]} if "description" in ret else {}
        ret.clear()
        return {"$ref": f"#/components/schemas/{status}"} | about

    api.ma_plugin.converter.add_attribute_function(refer_to_status)
    for name, schema in SCHEMAS.items():
        spec.components.schema(f"{prefix}{name}", schema=schema)
    if takes_tokens:
        program = "flask leads" if is_hosted else "leads-service"
        how = f"Made with `{program} token create NAME`; a token may be read-only."
        token = {"type": "http", "scheme": "bearer", "description": how}
        spec.components.security_scheme("leadsToken", token)
    for name, header in header_components(f"{ORIGIN}{url_prefix}/leads").items():
        spec.components.header(header_name(name), header, lazy=True)
    for code, error in (ERRORS if takes_tokens else ERRORS_WITHOUT_TOKENS).items():
        spec.components.response(f"Leads{code}", error.response(code), lazy=True)
