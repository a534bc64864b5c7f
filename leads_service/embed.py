"""The leads as a part of a Flask application."""

import re
from inspect import iscoroutinefunction
from typing import Any

from flask import Flask
from flask_smorest import Api
from peewee import DatabaseProxy, SqliteDatabase

from leads_service import api as views
from leads_service import cli, config, db, migrations, scoring
from leads_service.accounts import Accounts
from leads_service.auth import UserId, bearer, by_host, id_in_host
from leads_service.blueprint import LeadId
from leads_service.leads import Leads
from leads_service.models import MAX_INTEGER, Clock, utc_now
from leads_service.openapi import describe
from leads_service.owners import Owners
from leads_service.scoring import Scorer
from leads_service.service import EXTENSION, Service
from leads_service.throttle import Throttle


def init_app(
    app: Flask,
    *,
    user_id: UserId | None = None,
    database: SqliteDatabase | str | None = None,
    scorer: Scorer | None = None,
    api: Api | None = None,
    url_prefix: str = "/v1",
    migrate: bool = True,
    clock: Clock = utc_now,
) -> None:
    """Mount the leads in ``app``, a host that stays what it is.

    ``user_id`` returns the integer id of whoever sends the current request, or None for nobody;
    without it the service has users and tokens of its own. ``database`` is a Peewee SQLite
    database of the host's, opened and closed as the host does, or a URL; without it,
    ``LEADS_DATABASE`` or ``leads.db`` in the instance folder. ``scorer`` replaces LEADS_SCORER.
    ``api`` is the host's flask-smorest Api, in whose OpenAPI document the leads then stand.
    Unless ``migrate`` is false, the tables are brought up to date, and closed again.

    Raises TypeError or ValueError for an argument that can't be used, ConfigError for a setting
    that can't, StoreError for a store that can't.
    """
    _check(app, user_id, scorer, api, url_prefix)
    settings = config.load({name: app.config[name] for name in app.config if name[:6] == "LEADS_"})
    if database is None:
        database = config.database_url(settings, app.instance_path)
    shares_database = not isinstance(database, str)
    store = _opened(database, settings["LEADS_BUSY_TIMEOUT"])
    if migrate:
        migrations.migrate(store)
        if shares_database:
            _check_that_it_keeps(store)
    mount(
        app,
        store,
        user_id=user_id,
        scorer=scorer or scoring.load(settings["LEADS_SCORER"]),
        api=api,
        url_prefix=url_prefix,
        clock=clock,
        throttle=Throttle(settings["LEADS_AUTH_FAILURES"]),
        is_hosted=True,
        shares_database=shares_database,
    )
    name = "leads-service" if "leads" in app.cli.commands else "leads"
    app.cli.add_command(cli.for_host(takes_tokens=user_id is None), name)


def forget_user(app: Flask, user_id: int) -> int:
    """Erase the leads of the host's user with this id, and all that is kept beside them.

    For a host that deletes a user: ids that its database gives out again would bring the leads to a
    stranger. Return how many leads there were. A database that is open stays open, and a
    transaction in which this is called can be rolled back with it.

    Raises TypeError or ValueError for an argument that can't be used, StoreError or a
    PeeweeException for a store that can't.
    """
    _check_users(app, user_id)
    service: Service = app.extensions[EXTENSION]
    with db.opened(service.database):
        return service.owners.forget(user_id)


def reassign_user(app: Flask, old: int, new: int) -> int:
    """Give all leads of the host's user with the id ``old`` to the one with the id ``new``.

    They are scored anew, and their ``updated_at`` moves. The Idempotency-Keys of their creates hold
    for both. Return how many leads there were. A database that is open stays open, and a
    transaction in which this is called can be rolled back with it.

    Raises TypeError or ValueError for an argument that can't be used, ScorerError for a scorer that
    fails, StoreError or a PeeweeException for a store that can't be used; then nothing is changed.
    """
    _check_users(app, old, new)
    if old == new:
        raise ValueError(f"old and new must be two users, not {old} twice")
    service: Service = app.extensions[EXTENSION]
    with db.opened(service.database):
        return service.owners.reassign(old, new)


def mount(
    app: Flask,
    database: SqliteDatabase,
    *,
    scorer: Scorer,
    api: Api | None,
    url_prefix: str,
    clock: Clock,
    throttle: Throttle,
    user_id: UserId | None = None,
    **facts: bool,
) -> None:
    """Put the service into the application, and the views under ``url_prefix``."""
    accounts = Accounts(database, clock)
    app.extensions[EXTENSION] = Service(
        database,
        Leads(database, scorer, clock, users_are_ours=user_id is None),
        scorer,
        accounts,
        Owners(database, scorer, clock, accounts, users_are_ours=user_id is None),
        bearer(accounts, throttle) if user_id is None else by_host(user_id),
        accounts.user_id if user_id is None else id_in_host,
        takes_tokens=user_id is None,
        **facts,
    )
    app.url_map.converters["leads_service_id"] = LeadId
    if api is None:
        app.register_blueprint(views.blp, url_prefix=url_prefix)
    else:
        service = app.extensions[EXTENSION]
        describe(api, service.takes_tokens, service.is_hosted, url_prefix)
        views.blp.register_in(api, app, url_prefix=url_prefix)


def _check(app: Any, user_id: Any, scorer: Any, api: Any, url_prefix: Any) -> None:
    if not isinstance(app, Flask):
        raise TypeError(f"app must be a Flask application, not {app!r}")
    if EXTENSION in app.extensions:
        raise ValueError("this application has leads already; call init_app once")
    if user_id is not None and (not callable(user_id) or iscoroutinefunction(user_id)):
        raise TypeError(
            f"user_id must be a plain function such as lambda: g.user.id, not {user_id!r}"
        )
    if scorer is not None and not callable(scorer):
        raise TypeError(f"scorer must be a function that returns 0 to 100, not {scorer!r}")
    if api is not None and (not isinstance(api, Api) or not _belongs(api, app)):
        raise TypeError(f"api must be a flask_smorest.Api of this application, not {api!r}")
    if api is not None and api.spec.openapi_version.major < 3:  # noqa: PLR2004
        raise ValueError("api must speak OpenAPI 3; set OPENAPI_VERSION to 3.1.0")
    if not isinstance(url_prefix, str) or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", url_prefix):
        raise ValueError(f"url_prefix must be a path such as '/crm/v1', not {url_prefix!r}")


def _check_users(app: Any, *user_ids: Any) -> None:
    if not isinstance(app, Flask):
        raise TypeError(f"app must be a Flask application, not {app!r}")
    if EXTENSION not in app.extensions:
        raise ValueError("this application has no leads; call init_app first")
    for user_id in user_ids:
        if type(user_id) is not int or abs(user_id) > MAX_INTEGER:
            raise TypeError(f"a user's id must be an integer of 64 bits, not {user_id!r}")


def _belongs(api: Api, app: Flask) -> bool:
    apis = app.extensions.get("flask-smorest", {}).get("apis", {}).values()
    return any(known["ext_obj"] is api for known in apis)


def _check_that_it_keeps(store: SqliteDatabase) -> None:
    """Raise ValueError if what migrate() has made is gone: in memory, it goes with the connection.

    Nor can the connection be kept: each thread has its own, and when is the host's to decide.
    """
    with db.opened(store):
        if migrations.pending(store):
            raise ValueError(
                f"database {store.database!r} is lost whenever it is closed: open it before "
                "init_app and keep it open, for the one thread that it serves, or use a file "
                "(in tests, one in a temporary folder)"
            )


def _opened(database: Any, busy_timeout: int) -> SqliteDatabase:
    """Return the database that an argument names or is."""
    if isinstance(database, str):
        return db.open_database(database, busy_timeout=busy_timeout)
    if isinstance(database, DatabaseProxy):
        database = database.obj
    if not isinstance(database, SqliteDatabase) or database.deferred:
        raise TypeError(
            "database must be a Peewee SqliteDatabase that knows its file, "
            f"or a URL such as sqlite:////var/lib/crm/leads.db, not {database!r}"
        )
    return database
