"""What the OpenAPI document says of headers, and of parameters that no schema reads.

A parameter has neither ``example`` nor ``default``: Swagger UI would fill it in.
"""

from typing import Any

from leads_service.models import MAX_INTEGER

MAX_ADDRESS = 2048  # characters; a host name has 253 at most

# RFC 9110, sections 8.8.3, 13.1.1 and, for empty elements, 5.6.1.
ENTITY_TAG = r'(W/)?"([!#-~\x80-\xff]*)"'
ENTITY_TAGS = rf"\*|[ \t,]*{ENTITY_TAG}([ \t]*,[ \t,]*{ENTITY_TAG})*[ \t,]*"
MAX_ENTITY_TAGS = 1000  # characters, some thirty tags

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
    """Return, for a response's documentation, these headers and the one that all responses have."""
    return {name: header_name(name) for name in ("X-Request-ID", *names)}


def header_name(name: str) -> str:
    """Return the name of a header's component, which must not meet a host's own."""
    return f"Leads-{name}"


def header_components(address: str) -> dict[str, dict[str, Any]]:
    """Return what there is to say of each header, where ``address`` is the list's."""
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
