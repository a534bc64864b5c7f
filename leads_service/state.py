"""Per-application state, stored in ``app.extensions``."""

from collections.abc import Callable
from typing import NamedTuple

from flask import Flask, current_app

from leads_service.accounts import Accounts, Caller
from leads_service.leads import LeadService
from leads_service.scoring import Scorer
from leads_service.storage.base import Storage

EXTENSION = "leads_service"


class AppState(NamedTuple):
    """The services of an application, and how it finds out who is calling.

    Attributes:
        storage: Where everything is kept.
        leads: What can be done with leads.
        accounts: What can be done with users and tokens.
        scorer: What scores leads.
        caller: Returns who sent the current request, or aborts it with 401.
        user_id: Returns the id of the user whom a command names.
        takes_tokens: Whether callers send tokens of ``accounts``; otherwise a host knows them.
        is_hosted: Whether the application is a host's.
        shares_database: Whether the database is the host's to open and to close.

    """

    storage: Storage
    leads: LeadService
    accounts: Accounts
    scorer: Scorer
    caller: Callable[[], Caller]
    user_id: Callable[[str], int]
    takes_tokens: bool
    is_hosted: bool = False
    shares_database: bool = False


def state_of(app: Flask) -> AppState:
    """Return the state of an application on which ``init_app`` or ``create_app`` was called."""
    state: AppState = app.extensions[EXTENSION]
    return state


def current_state() -> AppState:
    """Return the state of the current application."""
    state: AppState = current_app.extensions[EXTENSION]
    return state
