"""The Flask extension: leads within a host application."""

import re
from inspect import iscoroutinefunction
from typing import Any

from flask import Flask
from flask_smorest import Api

from leads_service import board as boards
from leads_service import cli, config, scoring
from leads_service._compat.smorest import belongs_to
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


def init_app(  # noqa: PLR0913  # by keyword, each for itself
    app: Flask,
    *,
    user_id: UserId | None = None,
    database: DatabaseLike | None = None,
    scorer: Scorer | None = None,
    api: Api | None = None,
    url_prefix: str = "/v1",
    board: str | None = None,
    migrate: bool = True,
    clock: Clock = utc_now,
) -> None:
    """Add leads to a host application, which keeps its own error handlers, users and database.

    Args:
        app: The host application.
        user_id: Returns the integer id of the user who sends the current request, or None if
            nobody is logged in. Without this function, callers authenticate with tokens, for users
            that the commands ``flask leads user`` manage.
        database: The host's Peewee database, which the host opens and closes, or a URL; None for
            ``LEADS_DATABASE``, or ``leads.db`` in the instance folder.
        scorer: Scores leads from 0 to 100; None for ``LEADS_SCORER``.
        api: The host's flask-smorest Api, to whose OpenAPI document the operations are added.
        url_prefix: The path under which the views are mounted, without a trailing slash.
        board: The path of the board, such as ``/crm/board``; None for no board.
        migrate: Whether to apply pending migrations now.
        clock: Returns the current time in UTC.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a wrong value, or the application has leads already.
        ConfigError: A setting is not valid.
        StorageUnusableError: The database can't be used.
    """
    _check(app, user_id, scorer, api)
    _check_path("url_prefix", url_prefix, "/crm/v1")
    if board is not None:
        _check_path("board", board, "/crm/board")
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
    if board is not None:
        boards.mount(app, board)
    name = "leads-service" if "leads" in app.cli.commands else "leads"
    app.cli.add_command(cli.for_host(takes_tokens=user_id is None), name)


def forget_user(app: Flask, user_id: int) -> int:
    """Delete all leads and idempotency keys of a user.

    Call it when the host deletes the user: if its database reuses the id, the next user with it
    would own the leads. An open connection stays open. Within a transaction of the caller, the
    deletion is a part of it, and rolled back with it.

    Args:
        app: The host application.
        user_id: The user's id.

    Returns:
        How many leads were deleted.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: ``init_app`` has not been called for the application.
        StorageError: The database can't be used; nothing is deleted, unless it is a
            CommitOutcomeUnknownError.
    """
    _check_users(app, user_id)
    state = state_of(app)
    with state.storage.opened():
        return state.leads.forget(user_id)


def reassign_user(app: Flask, old: int, new: int) -> int:
    """Move all leads of one user to another.

    They are scored again, and ``updated_at`` changes. The idempotency keys that created them become
    valid for both users. An open connection stays open. Within a transaction of the caller, the
    change is a part of it, and rolled back with it.

    Args:
        app: The host application.
        old: The id of the leads' owner.
        new: The id of their new owner.

    Returns:
        How many leads were moved.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: ``init_app`` has not been called for the application, or both ids are the same.
        ScorerError: The scorer failed; nothing is changed.
        StorageError: The database can't be used; nothing is changed, unless it is a
            CommitOutcomeUnknownError.
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
    **flags: bool,
) -> None:
    """Create the services, store them in ``app.extensions``, and register the views.

    Args:
        app: The application.
        storage: The storage of the services.
        scorer: As for ``init_app``, but not None.
        api: As for ``init_app``.
        url_prefix: As for ``init_app``.
        clock: As for ``init_app``.
        throttle: The rate limiter for invalid tokens.
        user_id: As for ``init_app``.
        flags: The fields ``is_hosted`` and ``shares_database`` of ``AppState``.

    Raises:
        ConfigError: The scorer can't be called with facts about a lead.
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
        **flags,
    )
    app.url_map.converters["leads_service_id"] = LeadId
    if api is None:
        app.register_blueprint(blp, url_prefix=url_prefix)
    else:
        describe(api, state.takes_tokens, state.is_hosted, url_prefix)
        blp.register_in(api, app, url_prefix=url_prefix)


def _check(app: Any, user_id: Any, scorer: Any, api: Any) -> None:
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
    if api is not None and (not isinstance(api, Api) or not belongs_to(api, app)):
        raise TypeError(f"api must be a flask_smorest.Api of this application, not {api!r}")
    if api is not None and api.spec.openapi_version.major < 3:  # noqa: PLR2004  # OpenAPI 3
        raise ValueError("api must speak OpenAPI 3; set OPENAPI_VERSION to 3.1.0")


def _check_path(name: str, path: Any, example: str) -> None:
    if not isinstance(path, str) or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
        raise ValueError(f"{name} must be a path such as {example!r}, not {path!r}")


def _check_users(app: Any, *user_ids: Any) -> None:
    if not isinstance(app, Flask):
        raise TypeError(f"app must be a Flask application, not {app!r}")
    if EXTENSION not in app.extensions:
        raise ValueError("this application has no leads; call init_app first")
    for user_id in user_ids:
        if type(user_id) is not int or abs(user_id) > MAX_INTEGER:
            raise TypeError(f"a user's id must be an integer of 64 bits, not {user_id!r}")


def _check_persistence(storage: Storage) -> None:
    """Check that the migrated tables outlive the connection, unlike those of a database in memory.

    The connection can't be kept open here: each thread has its own, and the host closes it.

    Raises:
        ValueError: The tables are gone.
    """
    with storage.opened():
        if storage.pending_migrations():
            raise ValueError(
                f"database {storage.location!r} is lost whenever it is closed: open it before "
                "init_app and keep it open, for the one thread that it serves, or use a file "
                "(in tests, one in a temporary folder)"
            )
