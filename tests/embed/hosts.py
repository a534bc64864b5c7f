"""What the hosts of these tests have."""

from typing import Any

from flask.json.provider import DefaultJSONProvider

LEADS = "/crm/v1/leads"
SMOREST = {"API_TITLE": "Host", "API_VERSION": "1", "OPENAPI_VERSION": "3.1.0"}
DOCUMENTED = SMOREST | {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "openapi.json"}


class NotLoggedInError(Exception):
    """What a host may raise for strangers."""


class AiryProvider(DefaultJSONProvider):
    """A host's JSON provider."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **(kwargs | {"separators": (" , ", " : ")}))
