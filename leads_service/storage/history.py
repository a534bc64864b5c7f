"""The queries on the status changes, and on what the progress counts: one user's rows only."""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from peewee import JOIN, SQL, Join, Select, Tuple, fn

from leads_service.lead import STATUSES
from leads_service.storage.base import Figure, StatusChangeRecord
from leads_service.storage.models import BITS, REACHED, Lead, StatusChange
from leads_service.storage.queries import OWNED_BY_USER, Query, columns, parameter

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


def _created(*, of_company: bool) -> list[Any]:
    """Return the conditions on leads that were created within a time."""
    return _within(Lead, Lead.created_at, (), of_company=of_company)


def _ended(*, of_company: bool) -> list[Any]:
    """Return the conditions on changes with which leads first got the status ``to_status``."""
    terms = (StatusChange.to_status == parameter("to_status"), IS_END, IS_FIRST)
    return _within(StatusChange, StatusChange.changed_at, terms, of_company=of_company)


def _reached(*, of_company: bool) -> list[Any]:
    """Return the conditions on changes with which leads created within a time reached more."""
    column = StatusChange.lead_created_at
    return _within(StatusChange, column, (IS_FIRST,), of_company=of_company)


def _stays(table: Any = StatusChange, *, of_company: bool) -> list[Any]:
    """Return the conditions on the ends of stays of a known length, within a time."""
    return _within(table, table.changed_at, (HAS_SECONDS,), of_company=of_company)


def _stays_in(table: Any = StatusChange, *, of_company: bool) -> list[Any]:
    """Return the conditions on the ends of such stays in ``from_status``."""
    its = table.from_status == parameter("from_status")
    return [*_stays(table, of_company=of_company), its]


def count_created(*, of_company: bool) -> Query:
    """Return the query for how many leads were created within a time."""
    return Lead.select(fn.COUNT(SQL("*"))).where(*_created(of_company=of_company))


def count_ended(*, of_company: bool) -> Query:
    """Return the query for how many leads first got the status ``to_status`` within a time."""
    return StatusChange.select(fn.COUNT(SQL("*"))).where(*_ended(of_company=of_company))


def count_reached(*, of_company: bool) -> Query:
    """Return the query for how many leads created within a time have reached more, and what."""
    steps = (StatusChange.reached_before, StatusChange.reached)
    counts = StatusChange.select(*steps, fn.COUNT(SQL("*")))
    return counts.where(*_reached(of_company=of_company)).group_by(*steps)


def count_stays(*, of_company: bool) -> Query:
    """Return the query for how many stays of a known length ended within a time, by status."""
    status = StatusChange.from_status
    counts = StatusChange.select(status, fn.COUNT(SQL("*")))
    return counts.where(*_stays(of_company=of_company)).group_by(status)


def select_stay(*, of_company: bool) -> Query:
    """Return the query for the seconds of such a stay in ``from_status``.

    It is the one that ``offset`` others are shorter than, or as short as.
    """
    stays = StatusChange.select(StatusChange.seconds).where(*_stays_in(of_company=of_company))
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


# The leads that a figure counts

# What a change of status may reach: the sum of ``BITS`` before it, and after it.
_SUMS = {one | other for one in REACHED.values() for other in REACHED.values()}
STEPS = sorted({(before, before | bits) for before in _SUMS for bits in REACHED.values()})


def is_reached(status: str, before: int, after: int) -> bool:
    """Return whether a status is first reached with a step."""
    return bool(BITS[status] & after & ~before)


def drill_down(figure: Figure, *, is_first: bool) -> Query:
    """Return the query for ``Storage.drill_down``: a lead's columns, ``counted_at`` and ``place``.

    Args:
        figure: The figure, whose times and company are parameters.
        is_first: Whether the page is the first one; others come after a ``place`` and an ``id``.
    """
    of_company = figure.company_id is not None

    def page(
        conditions: Sequence[Any],
        place: Any,
        lead_id: Any = StatusChange.lead_id,
        counted_at: Any = StatusChange.changed_at,
    ) -> Query:
        named = (lead_id.alias("lead_id"), counted_at.alias("counted_at"), place.alias("place"))
        leads = place.model.select(*named).where(*conditions)
        if not is_first:
            last = Tuple(parameter("place"), parameter("id"))
            leads = leads.where(Tuple(place, lead_id) < last)
        return leads.order_by(place.desc(), lead_id.desc()).limit(parameter("limit"))

    if figure.event == "became":
        counted = page(_ended(of_company=of_company), StatusChange.changed_at)
    elif figure.event == "left":
        counted = page(_longest_stays(of_company=of_company), StatusChange.seconds)
    elif figure.status == INITIAL:
        created_at = Lead.created_at
        counted = page(_created(of_company=of_company), created_at, Lead.id, created_at)
    else:
        # An index has the leads in order for each step, of which there are few: the newest of each
        # one, a page at most, hold those of all.
        pages = [
            page(
                [*_reached(of_company=of_company), *_is_step(before, after)],
                StatusChange.lead_created_at,
            )
            for before, after in STEPS
            if is_reached(figure.status, before, after)
        ]
        # In a UNION, SQLite takes no limit but that of a subquery.
        counted = reduce(
            operator.add,
            (Select([one.alias(f"step_{n}")], [SQL("*")]) for n, one in enumerate(pages)),
        )
    counted = counted.alias("counted")
    # CROSS: of all joins, the one of which SQLite does not begin with the leads.
    leads = Select(
        [Join(counted, Lead, JOIN.CROSS)], [*columns(), counted.c.counted_at, counted.c.place]
    )
    leads = leads.where(OWNED_BY_USER, Lead.id == counted.c.lead_id)
    return leads.order_by(counted.c.place.desc(), Lead.id.desc()).limit(parameter("limit"))


def _is_step(before: int, after: int) -> tuple[Any, Any]:
    return StatusChange.reached_before == SQL(f"{before}"), StatusChange.reached == SQL(f"{after}")


def _longest_stays(*, of_company: bool) -> list[Any]:
    """Return the conditions on the longest such stay of each lead in ``from_status``.

    Of stays of the same length, it is the last.
    """
    other = StatusChange.alias("other")
    # Not by the index of all stays, which SQLite would take: by the lead's own changes.
    length = other.seconds + SQL("0")
    longer = Tuple(length, other.changed_at) > Tuple(StatusChange.seconds, StatusChange.changed_at)
    same_lead = other.lead_id == StatusChange.lead_id
    longer_ones = other.select(SQL("1")).where(
        *_stays_in(other, of_company=of_company), same_lead, longer
    )
    return [*_stays_in(of_company=of_company), ~fn.EXISTS(longer_ones)]
