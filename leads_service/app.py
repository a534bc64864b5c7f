"""The leads as an application of their own."""

import re
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, NoReturn

from flask import Flask, Request
from peewee import SqliteDatabase
from werkzeug.middleware.proxy_fix import ProxyFix

from leads_service import config, cors, db, logs, metrics, migrations, scoring
from leads_service.blueprint import NOWHERE, READING, admit, leave
from leads_service.cli import commands
from leads_service.embed import mount
from leads_service.models import Clock, utc_now
from leads_service.openapi import SPEC
from leads_service.pages import LeadsApi, pages
from leads_service.responses import WholeResponse, error_response
from leads_service.throttle import Throttle

URL_PREFIX = "/v1"
SANE_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
LOOPBACK = ("127.0.0.1", "localhost")  # from where health is checked
PATIENCE = 0.05  # seconds; a page takes a two-hundredth of that


class Application(Flask):
    """A Flask application whose reads take turns, and which asks for a token under /v1 first."""

    response_class = WholeResponse

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._reading = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer a request: a read when the one before is done, as it will be in no time.

        Only one thread of a process runs Python at a time. Many that read side by side hand that
        on whenever one calls the system, and answered a fifth less than two. Writes wait for the
        disk and each other, and go on side by side.
        """
        is_first = environ["REQUEST_METHOD"] in READING and self._reading.acquire(timeout=PATIENCE)
        try:
            return super().__call__(environ, start_response)
        finally:
            if is_first:
                self._reading.release()

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Say that there is nothing at a path, or not for a method; under /v1 not without a token.

        What else routing objects to, as to a host that is not trusted, is said to anybody.
        """
        is_nowhere = isinstance(request.routing_exception, NOWHERE)
        if is_nowhere and f"{request.path}/".startswith(f"{URL_PREFIX}/"):
            admit()
        super().raise_routing_exception(request)


def create_app(
    settings: dict[str, Any] | None = None,
    *,
    database: SqliteDatabase | None = None,
    instance_path: str | None = None,
    migrate: bool = True,
    clock: Clock = utc_now,
) -> Flask:
    """Return the application, set up by the environment and, over that, by ``settings``.

    ``database`` is used instead of the one that LEADS_DATABASE names.
    Unless told not to, brings the store's schema up to date. Raises ConfigError for a setting that
    can't be used, or without the extra ``server``, StoreError for a store that can't be used.
    """
    app = Application(__name__, instance_path=instance_path, static_folder=None)
    # // is no path of ours; it would be answered with a page.
    app.url_map = app.url_map_class(merge_slashes=False)
    app.config.update(SPEC, **config.load(settings))
    if hosts := config.names(app.config["LEADS_HOSTS"]):
        app.config["TRUSTED_HOSTS"] = [*hosts, *LOOPBACK]
    logs.configure(app.config["LEADS_LOG_LEVEL"])
    if database is None:
        database = db.open_database(
            config.database_url(app.config, app.instance_path),
            busy_timeout=app.config["LEADS_BUSY_TIMEOUT"],
        )
    if migrate:
        migrations.migrate(database)
    app.before_request(logs.begin_request)
    app.after_request(logs.end_request)
    app.teardown_request(leave)  # also where there is nothing, beyond the blueprint
    app.register_error_handler(Exception, error_response)
    api = LeadsApi(app)
    scorer = scoring.load(app.config["LEADS_SCORER"])
    hops = app.config["LEADS_PROXY_HOPS"]
    throttle = Throttle(app.config["LEADS_AUTH_FAILURES"])
    mount(
        app,
        database,
        scorer=scorer,
        api=api,
        url_prefix=URL_PREFIX,
        clock=clock,
        throttle=throttle,
    )
    pages.register_in(api, app)
    app.cli.add_command(commands)
    if origins := config.names(app.config["LEADS_CORS_ORIGINS"]):
        cors.allow_origins(app, origins)
    if token := app.config["LEADS_METRICS_TOKEN"]:
        metrics.install(app, token, throttle)
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            _only_sane(app.wsgi_app), x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops
        )
    return app


@cache
def application() -> Flask:
    """Return the process's application, without migrating its store.

    The commands and the server's workers share it: a worker that is forked has it at once, and so
    knows from its first moment how to stop; one that is spawned makes its own.
    """
    return create_app(migrate=False)


def _only_sane(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return the application, to which no forwarded scheme or prefix comes that is none.

    They stand in addresses that it sends.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        sent = environ["werkzeug.proxy_fix.orig"]
        if environ["wsgi.url_scheme"] not in ("http", "https"):
            environ["wsgi.url_scheme"] = sent["wsgi.url_scheme"]
        if not SANE_PREFIX.fullmatch(environ["SCRIPT_NAME"]):
            environ["SCRIPT_NAME"] = sent["SCRIPT_NAME"]
        return app(environ, start_response)

    return call
