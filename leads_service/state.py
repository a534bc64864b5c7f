"""Per-application state, stored in ``app.extensions``."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from flask import Flask, current_app

from leads_service.accounts import Accounts, Caller
from leads_service.leads import LeadService
from leads_service.scoring import Scorer
from leads_service.storage.base import Storage

EXTENSION = "leads_service"


class Authenticate(Protocol):
    """Authenticates the current request, and returns the caller or aborts with 401 or 429."""

    def __call__(self, *, may_defer: bool = False) -> Caller:
        """Authenticate; ``may_defer`` is that of ``Accounts.caller``."""


class AppState(NamedTuple):
    """The services of an application, and how it authenticates callers.

    Attributes:
        storage: The database.
        leads: The operations on leads.
        accounts: The operations on users and tokens.
        scorer: Scores leads.
        caller: Authenticates the current request, and returns the caller or aborts with 401 or 429.
        user_id: Returns the id of the user whom a command names; raises AccountError if there is
            none.
        takes_tokens: Whether callers authenticate with tokens of ``accounts`` rather than by the
            host's login.
        is_hosted: Whether the application is a host's rather than the standalone one.
        shares_database: Whether the host opens and closes the database.
    """

    storage: Storage
    leads: LeadService
    accounts: Accounts
    scorer: Scorer
    caller: Authenticate
    user_id: Callable[[str], int]
    takes_tokens: bool
    is_hosted: bool = False
    shares_database: bool = False


def state_of(app: Flask) -> AppState:
    """Return the state of an application that ``init_app`` or ``create_app`` has set up.

    Raises:
        KeyError: It has not been set up.
    """
    state: AppState = app.extensions[EXTENSION]
    return state


def current_state() -> AppState:
    """Return the state of the current application."""
    state: AppState = current_app.extensions[EXTENSION]
    return state
