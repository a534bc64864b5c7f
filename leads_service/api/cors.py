"""Cross-origin resource sharing (CORS): which web pages may call the service from a browser.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Collection

from flask import Flask, Response, request
from werkzeug.datastructures import HeaderSet

from leads_service.api.blueprint import ROUTING_ERRORS
from leads_service.api.responses import empty_response

METHODS = ("DELETE", "GET", "PATCH", "POST")
EXPOSED = ("ETag", "Idempotency-Replayed", "Link", "Location", "Retry-After", "X-Request-ID")
MAX_AGE = 600  # seconds for which a browser may cache a preflight response


def allow_origins(app: Flask, origins: Collection[str]) -> None:
    """Allow cross-origin requests to an application.

    A preflight is granted for every method, header and path. A refused one would hide the actual
    error (404, 405, 422) from the web page.

    Args:
        app: The application.
        origins: The allowed origins, such as ``https://app.example.com``; ``*`` allows any.
    """

    def is_allowed() -> bool:
        return request.origin is not None and ("*" in origins or request.origin in origins)

    def is_preflight() -> bool:
        return request.method == "OPTIONS" and request.access_control_request_method is not None

    @app.before_request
    def answer_preflight() -> Response | None:
        is_not_routed = isinstance(request.routing_exception, ROUTING_ERRORS)
        return empty_response(200) if is_not_routed and is_preflight() and is_allowed() else None

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        response.vary.add("Origin")
        if is_allowed():
            response.access_control_allow_origin = request.origin
            response.access_control_expose_headers = HeaderSet(EXPOSED)
            if is_preflight():
                methods = {*METHODS, request.access_control_request_method}
                headers = request.access_control_request_headers or HeaderSet()
                response.access_control_allow_methods = HeaderSet(sorted(methods))
                response.access_control_allow_headers = headers
                response.access_control_max_age = MAX_AGE
        return response
