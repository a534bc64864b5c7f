"""Absolute URLs in responses.

A Host header that is not a valid host is ignored, so that no client can inject text into them.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from flask import request

VALID_HOST = re.compile(
    r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)


def request_address() -> str:
    """Return the URL of the current request, without query and trailing slash."""
    environ = request.environ
    return _address(environ, environ["PATH_INFO"])


def root_address() -> str:
    """Return the URL of the application's root, without a trailing slash."""
    return _address(request.environ, "")


def lead_location(lead: Mapping[str, Any]) -> str:
    """Return the URL of a lead that the current request (a POST to the list) has created."""
    return f"{request_address()}/{lead['id']}"


def next_link(query: Mapping[str, Any], cursor: int | None) -> dict[str, str]:
    """Return the header Link with the URL of the next page, with the same filters.

    Args:
        query: The query parameters of the current request, as loaded by ``LeadQuerySchema``. No
            value that the schema accepts needs percent-encoding.
        cursor: The cursor of the next page; None on the last page.

    Returns:
        The header as a dict; an empty one on the last page.
    """
    if cursor is None:
        return {}
    pairs = [f"{name}={value}" for name, value in query.items() if name != "cursor"]
    return {"Link": f'<{request_address()}?{"&".join(pairs)}&cursor={cursor}>; rel="next"'}


def _address(environ: WSGIEnvironment, path: str) -> str:
    """Put an address together, as ``request.base_url`` does not: it believes any host."""
    host = environ.get("HTTP_HOST", "")
    if not VALID_HOST.fullmatch(host):
        host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    path = environ.get("SCRIPT_NAME", "").rstrip("/") + path.rstrip("/")
    return f"{environ['wsgi.url_scheme']}://{host}{quote(path.encode('latin-1'))}"
