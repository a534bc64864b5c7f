"""What the OpenAPI document says of headers, and of parameters that no schema reads."""

from typing import Any

from leads_service.models import MAX_INTEGER


def header(description: str, example: Any, kind: str = "string") -> dict[str, Any]:
    """Return a header's description, as OpenAPI has it."""
    return {"description": description, "schema": {"type": kind}, "example": example}


_ANY = {
    "X-Request-ID": header(
        "The request's id: yours, if you sent a sane one, or a new one.", "4f0c6a52"
    )
}
_LINK = header(
    "The full address of the next page, when there is one.",
    '<http://127.0.0.1:8000/v1/leads?cursor=100>; rel="next"',
)
_ETAG = header(
    "The lead's `updated_at` in quotes; for `If-Match`.", '"2026-11-22T22:03:11.123456Z"'
)
_LOCATION = header("The lead's address.", "http://127.0.0.1:8000/v1/leads/100")
_REPLAYED = header("`true` when the Idempotency-Key had made the lead before.", "true")
HEADERS = {
    "any": _ANY,
    "page": _ANY | {"Link": _LINK},
    "lead": _ANY | {"ETag": _ETAG},
    "created": _ANY | {"ETag": _ETAG, "Location": _LOCATION, "Idempotency-Replayed": _REPLAYED},
}

LEAD_ID = {
    "in": "path",
    "name": "lead_id",
    "required": True,
    "description": "The lead's id.",
    "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_INTEGER},
    "example": 100,
}

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes a retry safe: the same key with the same body answers with the lead that "
    "the first call made, for 24 hours; with another body, 422; if the lead has been deleted, 410.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    "example": "4f0c6a52-order-17",
}

# RFC 9110, sections 8.8.3, 13.1.1 and, for empty elements, 5.6.1.
ENTITY_TAG = r'(W/)?"([!#-~\x80-\xff]*)"'
ENTITY_TAGS = rf"\*|[ \t,]*{ENTITY_TAG}([ \t]*,[ \t,]*{ENTITY_TAG})*[ \t,]*"

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "Do it only if the lead is as you know it, otherwise 412: the lead's `ETag`, "
    "which is its `updated_at` in quotes, or several with commas between, or `*` for any.",
    "schema": {"type": "string", "pattern": f"^({ENTITY_TAGS})$"},
}
