"""The leads as an application of their own."""

from functools import cache
from typing import Any, NoReturn
from wsgiref.types import WSGIApplication

from flask import Flask, Request

from leads_service import config, logging, metrics, scoring
from leads_service.api import cors
from leads_service.api.blueprint import ROUTING_ERRORS, authenticate, close_request
from leads_service.api.docs import LeadsApi, pages
from leads_service.api.middleware import SerializeReads, behind_proxies
from leads_service.api.openapi import SPEC
from leads_service.api.responses import WholeResponse, error_response
from leads_service.api.throttle import Throttle
from leads_service.cli import commands
from leads_service.extension import mount
from leads_service.lead import Clock, utc_now
from leads_service.storage import DatabaseLike, open_storage

URL_PREFIX = "/v1"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")  # from where health is checked


class Application(Flask):
    """A Flask application that asks for a token first, for whatever is asked under /v1."""

    response_class = WholeResponse

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Say that there is nothing at a path, or not for a method; under /v1 not without a token.

        What else routing objects to, as to a host that is not trusted, is said to anybody.
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
) -> Flask:
    """Return the application, set up by the environment and, over that, by ``settings``.

    Args:
        settings: Settings by name, as ``LEADS_LOG_LEVEL``.
        database: The database instead of the one that ``LEADS_DATABASE`` names.
        instance_path: The folder of ``leads.db`` if nothing names a database; Flask's unless given.
        migrate: Whether to bring the schema of the database up to date now.
        clock: What tells the time, in UTC.

    Raises:
        ConfigError: A setting can't be used, or the extra ``server`` is not installed.
        StorageUnusableError: The database can't be used.

    """
    app = Application(__name__, instance_path=instance_path, static_folder=None)
    # // is no path of ours; it would be answered with a page.
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
    app.teardown_request(close_request)  # also where there is nothing, beyond the blueprint
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
    app.cli.add_command(commands)
    if origins := config.names(app.config["LEADS_CORS_ORIGINS"]):
        cors.allow_origins(app, origins)
    if token := app.config["LEADS_METRICS_TOKEN"]:
        metrics.install(app, token, throttle)
    wsgi_app: WSGIApplication = SerializeReads(app.wsgi_app)
    if hops := app.config["LEADS_PROXY_HOPS"]:
        wsgi_app = behind_proxies(wsgi_app, hops)
    app.wsgi_app = wsgi_app  # type: ignore[assignment,method-assign]
    return app


@cache
def application() -> Flask:
    """Return the process's application, without migrating its database.

    The commands and the server's workers share it: forked workers inherit it, and so know from
    their first moment how to stop; spawned workers build their own.
    """
    return create_app(migrate=False)
