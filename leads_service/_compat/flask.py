"""What Flask lacks: the request without a proxy, and error handlers past a blueprint's."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, request


def current_request() -> Request:
    """Return the current request itself; the proxy ``flask.request`` looks it up at each access.

    https://werkzeug.palletsprojects.com/en/stable/local/#werkzeug.local.LocalProxy._get_current_object
    """
    found: Request = request._get_current_object()  # type: ignore[attr-defined]  # of the proxy
    return found


def app_error_handler(app: Flask, error: Exception) -> Callable[[Exception], Any] | None:
    """Return the application's own handler of an error, None if it has none.

    A blueprint's handler takes precedence over the application's, and has no public way to leave
    an error to it: ``Flask.handle_http_exception()`` would find the blueprint's handler again, and
    the format of ``Flask.error_handler_spec`` may change at any time:
    https://flask.palletsprojects.com/en/stable/api/#flask.Flask.error_handler_spec.
    """
    handler = app._find_error_handler(error, [])
    return None if handler is None else app.ensure_sync(handler)
