"""The query of a page: one row, in which SQLite has written the leads as JSON."""

from collections.abc import Collection
from itertools import chain

import orjson
from peewee import CTE, SQL, Select, fn

from leads_service.lead import FIELDS
from leads_service.storage.base import Page
from leads_service.storage.models import Lead
from leads_service.storage.queries import (
    SCORE_RANGE,
    SEPARATOR,
    Query,
    conditions,
    newest,
    parameter,
    truncate_page,
)


def select_page(names: Collection[str]) -> Query:
    """Return the query for a page, newest first.

    Its result is one value: the leads as JSON, separated by ``SEPARATOR``; NULL if there are none.
    ``page_of`` converts it.

    Args:
        names: The names of the parameters that ``page_values`` returns.
    """
    if SCORE_RANGE[0] in names:
        return _in_one_row(*_newest_by_score(names))
    return _in_one_row(newest(_select_json().where(conditions(Lead, names))))


def _newest_by_score(names: Collection[str]) -> tuple[Query, CTE]:
    """Return the query for leads with bounds on the score, and the CTE of scores that it needs.

    The table is a recursive common table expression (CTE). A range of an index is in order of time
    only for one score, and there are no more than 101: the newest leads of each one, a page at
    most, hold those of all. To sort all leads with a score in the range, as SQLite would, takes
    longer the more there are ("newest of each score" in ``benchmarks/pieces.py``); to walk them in
    order of time until a page is full, the rarer they are (``benchmarks/growth.py``).
    """
    low, high = SCORE_RANGE
    is_any = parameter(low) <= parameter(high)  # else the first score would be one of the range
    first = Select(columns=[parameter(low).alias("score")]).where(is_any)
    scores = first.cte("scores", recursive=True, columns=("score",))
    following = Select([scores], [scores.c.score + SQL("1")])
    scores = scores.union_all(following.where(scores.c.score < parameter(high)))
    of_one_score, of_any = Lead.alias(), Lead.alias()
    same_score = of_one_score.score == scores.c.score
    of_each = of_one_score.select(of_one_score.id)
    of_each = of_each.where(conditions(of_one_score, names) & same_score)
    page = of_any.select(of_any.id).from_(scores, of_any)
    page = page.where(of_any.id.in_(newest(of_each, of_one_score)))
    # The ids are restricted to the user's already. A second condition on user_id would make
    # SQLite's planner choose a far slower plan.
    return newest(_select_json().where(Lead.id.in_(newest(page, of_any)))), scores


def _select_json() -> Query:
    """Return the query for leads as JSON.

    SQLite writes 50 leads as JSON in less time than it takes to make Python rows of them: "JSON by
    SQLite" in ``benchmarks/pieces.py``.
    """
    pairs = [(SQL(f"'{name}'"), getattr(Lead, name)) for name in FIELDS]
    return Lead.select(fn.json_object(*chain.from_iterable(pairs)).alias("lead"))


def _in_one_row(leads: Query, *tables: CTE) -> Query:
    """Return the query that aggregates the leads of a page into one row.

    Python's sqlite3 releases the GIL at every row that it fetches, so threads that fetch 51 rows
    each contend for it: "page as one row" in ``benchmarks/pieces.py``. An aggregate takes its rows
    in the order of a subquery that has a limit:
    https://sqlite.org/forum/forumpost/2d76f2bcf65d256a.
    """
    page = fn.group_concat(leads.c.lead, SQL(f"'{SEPARATOR}'"))
    return Select([leads], [page]).with_cte(*tables)


def page_of(leads: str | None, limit: int, max_bytes: int) -> Page:
    """Return the page of the result of ``select_page``.

    Args:
        leads: The result. The query has to be executed with ``limit + 1``: one lead more tells
            whether there is a next page.
        limit: The maximum number of leads.
        max_bytes: The maximum size of the page in bytes of UTF-8.
    """
    if leads is None:
        return Page("[]", None, has_more=False)
    asked = leads if leads.count(SEPARATOR) < limit else leads[: leads.rindex(SEPARATOR)]
    page = truncate_page(asked, max_bytes)
    if len(page) == len(leads):
        return Page(f"[{page}]", None, has_more=False)
    last = orjson.loads(page.rpartition(SEPARATOR)[2])
    return Page(f"[{page}]", last["id"], has_more=True)
