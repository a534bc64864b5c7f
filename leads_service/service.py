"""What an application has of ours, and where it keeps it."""

from collections.abc import Callable
from typing import NamedTuple

from flask import current_app
from peewee import Database

from leads_service.accounts import Accounts, Caller
from leads_service.leads import Leads
from leads_service.scoring import Scorer

EXTENSION = "leads_service"


class Service(NamedTuple):
    """The store, what can be done with it, and who is calling."""

    database: Database
    leads: Leads
    scorer: Scorer
    accounts: Accounts
    caller: Callable[[], Caller]


def current_service() -> Service:
    """Return what the current application has of ours."""
    return current_app.extensions[EXTENSION]  # type: ignore[no-any-return]
