"""The leads as a part of a Flask application."""

import re
from inspect import iscoroutinefunction
from typing import Any

from flask import Flask
from flask_smorest import Api

from leads_service import cli, config, scoring
from leads_service.accounts import Accounts
from leads_service.api.auth import UserId, bearer, by_host, id_in_host
from leads_service.api.blueprint import LeadId
from leads_service.api.openapi import describe
from leads_service.api.throttle import Throttle
from leads_service.api.views import blp
from leads_service.exceptions import ConfigError
from leads_service.lead import MAX_INTEGER, Clock, utc_now
from leads_service.leads import LeadService
from leads_service.scoring import Scorer, facts_for
from leads_service.state import EXTENSION, AppState, state_of
from leads_service.storage import DatabaseLike, open_storage
from leads_service.storage.base import Storage


def init_app(
    app: Flask,
    *,
    user_id: UserId | None = None,
    database: DatabaseLike | None = None,
    scorer: Scorer | None = None,
    api: Api | None = None,
    url_prefix: str = "/v1",
    migrate: bool = True,
    clock: Clock = utc_now,
) -> None:
    """Mount the leads in a host application, which keeps its own errors, users and database.

    Args:
        app: The host.
        user_id: Returns the integer id of whoever sends the current request, or None for nobody;
            without it the leads have users and tokens of their own.
        database: A Peewee database of the host's, opened and closed as the host does, or a URL;
            without it, ``LEADS_DATABASE`` or ``leads.db`` in the instance folder.
        scorer: What scores leads, instead of ``LEADS_SCORER``.
        api: The host's flask-smorest Api, in whose OpenAPI document the leads then stand.
        url_prefix: Where they are mounted: a path without a slash at its end.
        migrate: Whether to bring the tables up to date now.
        clock: What tells the time, in UTC.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a value that can't be used.
        ConfigError: A setting can't be used.
        StorageUnusableError: The database can't be used.

    """
    _check(app, user_id, scorer, api, url_prefix)
    settings = config.load({name: app.config[name] for name in app.config if name[:6] == "LEADS_"})
    if database is None:
        database = config.database_url(settings, app.instance_path)
    shares_database = not isinstance(database, str)
    storage = open_storage(database, busy_timeout=settings["LEADS_BUSY_TIMEOUT"])
    if migrate:
        storage.migrate()
        if shares_database:
            _check_persistence(storage)
    mount(
        app,
        storage,
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
    """Erase the leads of a user of the host's, and all that is kept beside them.

    For a host that deletes a user: ids that its database gives out again would bring the leads to a
    stranger. A database that is open stays open, and a transaction in which this is called can be
    rolled back with it.

    Args:
        app: The host.
        user_id: The user's id.

    Returns:
        How many leads there were.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The application has no leads.
        StorageError: The database can't be used; nothing is erased.

    """
    _check_users(app, user_id)
    state = state_of(app)
    with state.storage.opened():
        return state.leads.forget(user_id)


def reassign_user(app: Flask, old: int, new: int) -> int:
    """Give all leads of one user of the host's to another one.

    They are scored anew, and their ``updated_at`` moves. The Idempotency-Keys of their creates hold
    for both. A database that is open stays open, and a transaction in which this is called can be
    rolled back with it.

    Args:
        app: The host.
        old: The id of the user who has them.
        new: The id of the user who gets them.

    Returns:
        How many leads there were.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The application has no leads, or both users are the same.
        ScorerError: The scorer failed; nothing is changed.
        StorageError: The database can't be used; nothing is changed.

    """
    _check_users(app, old, new)
    if old == new:
        raise ValueError(f"old and new must be two users, not {old} twice")
    state = state_of(app)
    with state.storage.opened():
        return state.leads.reassign(old, new)


def mount(
    app: Flask,
    storage: Storage,
    *,
    scorer: Scorer,
    api: Api | None,
    url_prefix: str,
    clock: Clock,
    throttle: Throttle,
    user_id: UserId | None = None,
    **facts: bool,
) -> None:
    """Put the services into an application, and the views under ``url_prefix``.

    The other arguments are those of ``init_app``, and fields of ``AppState``.
    """
    has_own_users = user_id is None
    leads = LeadService(storage, scorer, clock, has_own_users=has_own_users)
    accounts = Accounts(storage, leads, clock)
    app.extensions[EXTENSION] = state = AppState(
        storage,
        leads,
        accounts,
        scorer,
        bearer(accounts, throttle) if user_id is None else by_host(user_id),
        accounts.user_id if has_own_users else id_in_host,
        takes_tokens=has_own_users,
        **facts,
    )
    app.url_map.converters["leads_service_id"] = LeadId
    if api is None:
        app.register_blueprint(blp, url_prefix=url_prefix)
    else:
        describe(api, state.takes_tokens, state.is_hosted, url_prefix)
        blp.register_in(api, app, url_prefix=url_prefix)


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
    if scorer is not None:
        try:
            facts_for(scorer)
        except ConfigError as error:
            raise TypeError(str(error)) from error
    if api is not None and (not isinstance(api, Api) or not _is_registered(api, app)):
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


def _is_registered(api: Api, app: Flask) -> bool:
    apis = app.extensions.get("flask-smorest", {}).get("apis", {}).values()
    return any(known["ext_obj"] is api for known in apis)


def _check_persistence(storage: Storage) -> None:
    """Check that what ``migrate`` has made is still there: in memory, it goes with the connection.

    Nor can the connection be kept: each thread has its own, and when it ends is the host's to say.
    """
    with storage.opened():
        if storage.pending_migrations():
            raise ValueError(
                f"database {storage.location!r} is lost whenever it is closed: open it before "
                "init_app and keep it open, for the one thread that it serves, or use a file "
                "(in tests, one in a temporary folder)"
            )
