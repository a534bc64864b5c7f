"""The stub's additions to the OpenAPI document."""

from typing import Any

from leads_service.stub.faults import ERROR_STATUSES
from leads_service.stub.samples import TOKENS

TOKEN_HELP = (
    f"One of {', '.join(f'`{token}`' for token in TOKENS.values())}: alice and bob have leads "
    "each, and the last one is alice's, for reading only."
)
PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Stub-Fail": {
        "description": "Answer with this error; nothing is stored.",
        "schema": {"type": "integer", "enum": ERROR_STATUSES},
    },
    "X-Stub-Delay": {
        "description": "Answer late: `300ms` or `1.5s`, up to `60s`.",
        "schema": {"type": "string", "maxLength": 11, "pattern": r"^[0-9]{1,5}(\.[0-9]{1,3})?m?s$"},
    },
}
RESET: dict[str, Any] = {
    "post": {
        "operationId": "resetStub",
        "summary": "Put the first state back: leads, clock and the order of failures.",
        "tags": ["Stub"],
        "security": [],
        "responses": {"204": {"description": "It is as at the start."}},
    }
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Add the stub's tokens, headers and reset operation to the service's document; return it."""
    components = document["components"]
    components["securitySchemes"]["leadsToken"]["description"] = TOKEN_HELP
    components["parameters"] = {
        name: {"in": "header", "name": name} | about for name, about in PARAMETERS.items()
    }
    references = [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]
    for path, item in document["paths"].items():
        if path.startswith("/v1/"):
            item["parameters"] = item.get("parameters", []) + references
    document["paths"]["/stub/reset"] = RESET
    document["tags"].append({"name": "Stub", "description": "What the real service does not have."})
    document["info"]["title"] += " (stub)"
    return document
