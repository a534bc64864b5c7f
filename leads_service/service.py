"""What an application has of ours, and where it keeps it."""

from collections.abc import Callable
from typing import NamedTuple

from flask import current_app
from peewee import SqliteDatabase

from leads_service.accounts import Accounts, Caller
from leads_service.leads import Leads
from leads_service.owners import Owners
from leads_service.scoring import Scorer

EXTENSION = "leads_service"


class Service(NamedTuple):
    """The store, what can be done with it, and who is calling."""

    database: SqliteDatabase
    leads: Leads
    scorer: Scorer
    accounts: Accounts
    owners: Owners
    caller: Callable[[], Caller]
    user_id: Callable[[str], int]  # of the user whom a command names
    takes_tokens: bool  # otherwise a host says who calls
    is_hosted: bool = False  # a part of another application
    shares_database: bool = False  # which is the host's to open and to close


def current_service() -> Service:
    """Return what the current application has of ours."""
    return current_app.extensions[EXTENSION]  # type: ignore[no-any-return]
