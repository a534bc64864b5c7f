"""Addresses in answers: complete, and without anything from the client that is no address."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import request

SANE_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def request_address() -> str:
    """Return the request's address without its query, and without a slash at its end."""
    return _address(request.environ["PATH_INFO"])


def root_address() -> str:
    """Return the application's address, without a slash at its end."""
    return _address("")


def lead_location(lead: Mapping[str, Any]) -> str:
    """Return the address of a lead that the current request has created."""
    return f"{request_address()}/{lead['id']}"


def next_link(query: Mapping[str, Any], cursor: int | None) -> dict[str, str]:
    """Return the header that leads on to the next page with the same filters, if there is one.

    Args:
        query: The parameters of the current request, as their schema has loaded them. What it lets
            through needs no quoting.
        cursor: That of the next page; None if there is none.

    """
    if cursor is None:
        return {}
    pairs = [f"{name}={value}" for name, value in query.items() if name != "cursor"]
    return {"Link": f'<{request_address()}?{"&".join(pairs)}&cursor={cursor}>; rel="next"'}


def _address(path: str) -> str:
    """Put an address together, as ``request.base_url`` does not: it believes any host."""
    environ = request.environ
    host = environ.get("HTTP_HOST", "")
    if not SANE_HOST.fullmatch(host):
        host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    path = environ.get("SCRIPT_NAME", "").rstrip("/") + path.rstrip("/")
    return f"{environ['wsgi.url_scheme']}://{host}{quote(path.encode('latin-1'))}"
