"""The query of a page on PostgreSQL, in such a form that only the right index serves it.

PostgreSQL's planner weighs plans by statistics. For a filter that it believes to be common it walks
the leads in order of time and tests each; for one that it believes to be rare it sorts all leads
that pass. Both take seconds when it is wrong. Two things leave it no choice:

- an order of its own for each number of columns compared for equality, which only the indexes with
  as many columns have (NULLS FIRST, in the migration);
- ``enable_sort`` is off: for all that our connections do, for a page on a host's.

``benchmarks/plans.py`` measures it, with the settings of ours and in a host.
"""

import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
from peewee import JOIN, SQL, Join, Select, fn

from leads_service.lead import FIELDS, FILTERS
from leads_service.storage.base import Page
from leads_service.storage.models import Lead
from leads_service.storage.queries import (
    SCORE_RANGE,
    SEPARATOR,
    Query,
    columns,
    conditions,
    parameter,
    truncate_page,
)

PLANNED_LOCALLY = "SET LOCAL enable_sort = off"
FEW = SQL("4")  # leads of a score; with fewer, a page of more scores is read, with more, more leads


def select_page(names: Collection[str]) -> Query:
    """Return the query for a page, newest first: a row for each lead.

    Args:
        names: The names of the parameters that ``queries.page_values`` returns.
    """
    equal = sum(FILTERS[name].condition is operator.eq for name in names if name in FILTERS)
    if SCORE_RANGE[0] in names:
        return _by_score(names, equal + 1)
    page = _ordered(Lead.select(*columns()).where(conditions(Lead, names)), Lead, equal)
    return page.limit(parameter("limit"))


def _by_score(names: Collection[str], equal: int) -> Query:
    """Return the query for leads with bounds on the score: of the newest of each score.

    As on SQLite, a range of an index is in order of time only for one score. A few leads of each
    score tell from which time on the page's leads are; without that, a page of each one would be
    read (``benchmarks/plans.py``).
    """
    one = Lead.alias("one")
    of_one_score = conditions(one, names) & (one.score == SQL("points"))
    few = one.select(one.created_at, one.id).where(of_one_score)
    few = _newest_of_scores(_ordered(few, one, equal).limit(FEW), ("created_at",))
    since = fn.COALESCE(few.limit(SQL("1")).offset(parameter("limit")), SQL("''"))
    leads = one.select(*(getattr(one, name) for name in FIELDS))
    leads = leads.where(of_one_score & (one.created_at >= since))
    leads = _ordered(leads, one, equal).limit(parameter("limit"))
    return _newest_of_scores(leads, FIELDS).limit(parameter("limit"))


def _newest_of_scores(of_one: Query, names: Iterable[str]) -> Query:
    """Return the query for columns of the leads of each score in the range, newest first.

    Args:
        of_one: The query for the leads with the score ``points``.
        names: The columns.
    """
    low, high = (parameter(name).cast("bigint") for name in SCORE_RANGE)
    scores = fn.generate_series(low, high).alias("points")
    leads = of_one.alias("of_one")
    columns = [getattr(leads.c, name) for name in names]
    query = Select([Join(scores, leads, JOIN.LATERAL, on=SQL("true"))], columns)
    return query.order_by(leads.c.created_at.desc(), leads.c.id.desc())


def _ordered(query: Query, lead: Any, equal: int) -> Query:
    """Return the query in the order that the indexes with ``equal`` columns before it have."""
    created_at = lead.created_at.desc(nulls="last") if equal else lead.created_at.desc()
    lead_id = lead.id.desc(nulls="last") if equal > 1 else lead.id.desc()
    return query.order_by(created_at, lead_id)


def page_of(rows: Sequence[tuple[Any, ...]], limit: int, max_bytes: int) -> Page:
    """Return the page of the rows of ``select_page``.

    Args:
        rows: The rows. The query has to be executed with ``limit + 1``: one lead more tells
            whether there is a next page.
        limit: The maximum number of leads.
        max_bytes: The maximum size of the page in bytes of UTF-8.
    """
    leads = [orjson.dumps(dict(zip(FIELDS, row, strict=True))).decode() for row in rows[:limit]]
    page = truncate_page(SEPARATOR.join(leads), max_bytes)
    shown = page.count(SEPARATOR) + 1
    if shown >= len(rows):
        return Page(f"[{page}]", None, has_more=False)
    return Page(f"[{page}]", rows[shown - 1][0], has_more=True)
