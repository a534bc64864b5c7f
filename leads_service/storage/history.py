"""The queries on the status changes, and on what the progress counts: one user's rows only."""

from collections.abc import Callable, Sequence
from typing import Any

from peewee import SQL, fn

from leads_service.lead import STATUSES
from leads_service.storage.base import StatusChangeRecord
from leads_service.storage.models import REACHED, Lead, StatusChange
from leads_service.storage.queries import Query, parameter

COLUMNS = tuple(StatusChange._meta.sorted_field_names)
INITIAL = STATUSES[0]
# A change that is taken back so soon was a mistake, such as a slip of the hand on the board.
MAX_MISTAKE = 60  # seconds

CHANGES_OF_LEAD = (StatusChange.user_id == parameter("user_id")) & (
    StatusChange.lead_id == parameter("id")
)

_REACHED = " ".join(f"WHEN '{status}' THEN {bits}" for status, bits in REACHED.items())
# Of leads that come with a status: when they got it is estimated, what was before is not known.
ESTIMATE = f"""
    INSERT INTO leads_history ({", ".join(COLUMNS)})
    SELECT
        user_id, id, updated_at, '{INITIAL}', status, TRUE, NULL, {REACHED[INITIAL]},
        CASE status {_REACHED} END, company_id, created_at
    FROM {{}} WHERE status <> '{INITIAL}' AND id > {{}} ORDER BY user_id, id
"""  # noqa: S608  # ours

# The conditions of the partial indexes, in the words of the migrations: a planner has to find them
# in the query, and does not look into parameters.
HAS_SECONDS = SQL("seconds IS NOT NULL")
IS_END = SQL("to_status IN ('converted', 'lost')")
IS_FIRST = SQL("reached <> reached_before")


def insert_status_change() -> Query:
    """Return the query that records a status change."""
    return StatusChange.insert({getattr(StatusChange, name): parameter(name) for name in COLUMNS})


def select_status_changes() -> Query:
    """Return the query for the status changes of the user's lead with an ``id``, oldest first."""
    columns = (getattr(StatusChange, name) for name in StatusChangeRecord._fields)
    return StatusChange.select(*columns).where(CHANGES_OF_LEAD).order_by(StatusChange.changed_at)


def select_last_status_change() -> Query:
    """Return the query for what the next status change of a lead goes on from."""
    last = (
        StatusChange.changed_at,
        StatusChange.is_estimate,
        StatusChange.reached,
        StatusChange.from_status,
    )
    changes = StatusChange.select(*last).where(CHANGES_OF_LEAD)
    return changes.order_by(StatusChange.changed_at.desc()).limit(parameter("limit"))


def delete_status_change() -> Query:
    """Return the query that deletes the status change of the user's lead at a ``changed_at``."""
    return delete_status_changes().where(StatusChange.changed_at == parameter("changed_at"))


def delete_status_changes() -> Query:
    """Return the query that deletes the status changes of the user's lead with an ``id``."""
    return StatusChange.delete().where(CHANGES_OF_LEAD)


def _within(table: Any, column: Any, terms: Sequence[Any], *, of_company: bool) -> list[Any]:
    """Return the conditions on the user, the time from ``since`` to before ``until``, and more."""
    time = (column >= parameter("since"), column < parameter("until"))
    company = (table.company_id == parameter("company_id"),) if of_company else ()
    return [table.user_id == parameter("user_id"), *terms, *time, *company]


def count_created(*, of_company: bool) -> Query:
    """Return the query for how many leads were created within a time."""
    within = _within(Lead, Lead.created_at, (), of_company=of_company)
    return Lead.select(fn.COUNT(SQL("*"))).where(*within)


def count_ended(*, of_company: bool) -> Query:
    """Return the query for how many leads first got the status ``to_status`` within a time."""
    terms = (StatusChange.to_status == parameter("to_status"), IS_END, IS_FIRST)
    within = _within(StatusChange, StatusChange.changed_at, terms, of_company=of_company)
    return StatusChange.select(fn.COUNT(SQL("*"))).where(*within)


def count_reached(*, of_company: bool) -> Query:
    """Return the query for how many leads created within a time have reached more, and what."""
    column = StatusChange.lead_created_at
    within = _within(StatusChange, column, (IS_FIRST,), of_company=of_company)
    steps = (StatusChange.reached_before, StatusChange.reached)
    return StatusChange.select(*steps, fn.COUNT(SQL("*"))).where(*within).group_by(*steps)


def _stays(columns: Sequence[Any], *, of_company: bool) -> Query:
    """Return the query for the stays of a known length that ended within a time."""
    column = StatusChange.changed_at
    within = _within(StatusChange, column, (HAS_SECONDS,), of_company=of_company)
    return StatusChange.select(*columns).where(*within)


def count_stays(*, of_company: bool) -> Query:
    """Return the query for how many stays of a known length ended within a time, by status."""
    status = StatusChange.from_status
    return _stays([status, fn.COUNT(SQL("*"))], of_company=of_company).group_by(status)


def select_stay(*, of_company: bool) -> Query:
    """Return the query for the seconds of such a stay in ``from_status``.

    It is the one that ``offset`` others are shorter than, or as short as.
    """
    stays = _stays([StatusChange.seconds], of_company=of_company)
    stays = stays.where(StatusChange.from_status == parameter("from_status"))
    return (
        stays.order_by(StatusChange.seconds).limit(parameter("limit")).offset(parameter("offset"))
    )


def first_created(*, of_company: bool) -> Query:
    """Return the query for when the user's first lead was created."""
    company = (Lead.company_id == parameter("company_id"),) if of_company else ()
    return Lead.select(fn.MIN(Lead.created_at)).where(
        Lead.user_id == parameter("user_id"), *company
    )


# What is counted or looked for among one user's rows, with and without a company.
COUNTS: tuple[Callable[..., Query], ...] = (
    first_created,
    count_created,
    count_ended,
    count_reached,
    count_stays,
    select_stay,
)
