"""The query of a page on PostgreSQL, in such a form that only the right index serves it.

PostgreSQL's planner weighs plans by statistics. For a filter that it believes to be common it walks
the leads in order of time and tests each, which takes seconds when it is wrong. Three things leave
it no choice:

- a literal limit beside the parameter: of a parameter it assumes a tenth of the table;
- an order of its own for each number of columns compared for equality, which only the indexes with
  as many columns have (NULLS FIRST, in the migration);
- ``enable_sort`` and ``enable_bitmapscan`` are off for our connections (``database.SETTINGS``).
"""

import operator
from collections.abc import Collection, Sequence
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

MOST = SQL("201")  # leads of a page, and one that tells whether there is another


def select_page(names: Collection[str]) -> Query:
    """Return the query for a page, newest first: a row for each lead.

    Args:
        names: The names of the parameters that ``queries.page_values`` returns.
    """
    equal = sum(FILTERS[name].condition is operator.eq for name in names if name in FILTERS)
    if SCORE_RANGE[0] in names:
        return _by_score(names, equal + 1)
    return _limited(_ordered(Lead.select(*columns()).where(conditions(Lead, names)), Lead, equal))


def _by_score(names: Collection[str], equal: int) -> Query:
    """Return the query for leads with bounds on the score: of the newest of each score.

    As on SQLite, a range of an index is in order of time only for one score.
    """
    low, high = SCORE_RANGE
    scores = fn.generate_series(
        parameter(low).cast("bigint"), parameter(high).cast("bigint")
    ).alias("points")
    one = Lead.alias("one")
    of_one_score = one.select(*(getattr(one, name) for name in FIELDS)).where(
        conditions(one, names) & (one.score == SQL("points"))
    )
    of_one_score = _ordered(of_one_score, one, equal).limit(MOST).alias("of_one")
    page = Select(
        [Join(scores, of_one_score, JOIN.LATERAL, on=SQL("true"))],
        [getattr(of_one_score.c, name) for name in FIELDS],
    ).order_by(of_one_score.c.created_at.desc(), of_one_score.c.id.desc())
    return page.limit(parameter("limit"))


def _ordered(query: Query, lead: Any, equal: int) -> Query:
    """Return the query in the order that the indexes with ``equal`` columns before it have."""
    created_at = lead.created_at.desc(nulls="last") if equal else lead.created_at.desc()
    lead_id = lead.id.desc(nulls="last") if equal > 1 else lead.id.desc()
    return query.order_by(created_at, lead_id)


def _limited(query: Query) -> Query:
    inner = query.limit(MOST).alias("newest")
    return Select([inner], [getattr(inner.c, name) for name in FIELDS]).limit(parameter("limit"))


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
