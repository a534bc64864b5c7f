"""The standalone application."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from inspect import iscoroutinefunction
from typing import Any, NoReturn
from wsgiref.types import WSGIApplication

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from leads_service import board, config, logging, metrics, scoring
from leads_service.api import cors
from leads_service.api.blueprint import ROUTING_ERRORS, authenticate, close_request
from leads_service.api.docs import OPENAPI, LeadsApi, pages
from leads_service.api.middleware import SerializeReads, behind_proxies
from leads_service.api.openapi import SPEC
from leads_service.api.responses import WholeResponse, error_response
from leads_service.api.throttle import Throttle
from leads_service.cli import commands
from leads_service.extension import mount
from leads_service.lead import Clock, utc_now
from leads_service.storage import DatabaseLike, open_storage

URL_PREFIX = "/v1"
BOARD = "/board"
MAX_INSPECTED = 1000  # functions; there are some fifty
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")  # for health checks on the same machine


class NoSessions(SessionInterface):
    """What Flask's sessions are replaced by: a browser's session is a token of ours."""

    null_session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return a session in which nothing can be stored."""
        return self.null_session


is_asynchronous = lru_cache(MAX_INSPECTED)(iscoroutinefunction)


class Application(Flask):
    """A Flask application that shows routing errors under /v1 only to authenticated callers."""

    response_class = WholeResponse
    session_interface = NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what routes a request; raises SecurityError (400) if its host is not trusted.

        Flask's own also looks for subdomains, WebSockets and names in IDNA, which this application
        has no use for ("URL adapter" in ``benchmarks/pieces.py``).
        """
        if request is None:
            return super().create_url_adapter(None)
        request.trusted_hosts = self.config.get("TRUSTED_HOSTS")  # Flask 3.0 has no default
        return MapAdapter(
            self.url_map,
            server_name=request.host,
            script_name=request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
            query_args=request.query_string.decode(errors="replace"),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that can be called as others are.

        Flask inspects each view and hook at each request; here it is done once ("ensure_sync" in
        ``benchmarks/pieces.py``).
        """
        return super().ensure_sync(func) if is_asynchronous(func) else func

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise 404 or 405; under /v1, 401 comes first for a request without a valid token.

        Other routing errors, such as 400 for an untrusted host, need no token.
        """
        is_not_routed = isinstance(request.routing_exception, ROUTING_ERRORS)
        if is_not_routed and f"{request.path}/".startswith(f"{URL_PREFIX}/"):
            authenticate()
        super().raise_routing_exception(request)


def create_app(
    settings: dict[str, Any] | None = None,
    *,
    database: DatabaseLike | None = None,
    instance_path: str | None = None,
    migrate: bool = True,
    clock: Clock = utc_now,
    board_tokens: Mapping[str, str] | None = None,
) -> Flask:
    """Return the standalone application, configured by the environment.

    Args:
        settings: Settings by name, such as ``LEADS_LOG_LEVEL``; they override the environment.
        database: The database, as a URL or a Peewee database; None for ``LEADS_DATABASE``.
        instance_path: The folder of ``leads.db``, which is used if neither names a database; None
            for Flask's instance folder.
        migrate: Whether to apply pending migrations now.
        clock: Returns the current time in UTC.
        board_tokens: As ``tokens`` of ``board.mount``.

    Raises:
        ConfigError: A setting is not valid, or a required extra is not installed.
        StorageUnusableError: The database can't be used.
    """
    app = Application(__name__, instance_path=instance_path, static_folder=None)
    # Otherwise Flask redirects // to / with an HTML page.
    app.url_map = app.url_map_class(merge_slashes=False)
    app.config.update(SPEC, **config.load(settings))
    if hosts := config.names(app.config["LEADS_HOSTS"]):
        app.config["TRUSTED_HOSTS"] = [*hosts, *LOOPBACK_HOSTS]
    logging.configure(app.config["LEADS_LOG_LEVEL"])
    storage = open_storage(
        database if database is not None else config.database_url(app.config, app.instance_path),
        busy_timeout=app.config["LEADS_BUSY_TIMEOUT"],
    )
    if migrate:
        storage.migrate()
    app.before_request(logging.begin_request)
    app.after_request(logging.end_request)
    app.teardown_request(close_request)  # for routing errors too, which are outside the blueprint
    app.register_error_handler(Exception, error_response)
    api = LeadsApi(app)
    throttle = Throttle(app.config["LEADS_AUTH_FAILURES"])
    mount(
        app,
        storage,
        scorer=scoring.load(app.config["LEADS_SCORER"]),
        api=api,
        url_prefix=URL_PREFIX,
        clock=clock,
        throttle=throttle,
    )
    pages.register_in(api, app)
    board.mount(app, BOARD, board_tokens)
    app.add_url_rule("/openapi.json", OPENAPI, api.document)
    app.cli.add_command(commands)
    if origins := config.names(app.config["LEADS_CORS_ORIGINS"]):
        cors.allow_origins(app, origins)
    if token := app.config["LEADS_METRICS_TOKEN"]:
        metrics.install(app, token, throttle)
    wsgi_app: WSGIApplication = app.wsgi_app
    if storage.is_embedded:
        wsgi_app = SerializeReads(wsgi_app)
    if hops := app.config["LEADS_PROXY_HOPS"]:
        wsgi_app = behind_proxies(wsgi_app, hops)
    app.wsgi_app = wsgi_app  # type: ignore[assignment,method-assign]  # Flask's way
    return app


@cache
def application() -> Flask:
    """Return the application of this process, created at the first call, without migrating.

    The commands and the server's workers use it. Forked workers inherit the cached application, so
    there is no gap in which they could not handle a stop; spawned workers create their own.
    """
    return create_app(migrate=False)
