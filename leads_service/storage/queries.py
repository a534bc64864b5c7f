"""The queries that run often, for ``Statement``, and those of the list.

Multi-tenancy: every query on leads has a condition on ``user_id``.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from itertools import chain
from operator import and_
from typing import Any

from peewee import (
    CTE,
    SQL,
    Database,
    Expression,
    PeeweeException,
    Select,
    Tuple,
    Value,
    fn,
)

from leads_service._compat.peewee import Executor, translated_errors
from leads_service.lead import CHANGING, FIELDS, FILTERS, MAX_SCORE, RANGES
from leads_service.storage.base import Page, Position
from leads_service.storage.errors import raise_translated
from leads_service.storage.models import DeletedLead, Idempotency, Lead, Token, User

Query = Any  # a Peewee query; a type checker does not know the models' columns
SEPARATOR = ",\n"  # between two leads; the JSON of a lead contains no line feed
MAX_CHARACTER = 4  # bytes of a character in UTF-8
SCORE_RANGE = next((low, high) for low, high in RANGES if FILTERS[low].field == "score")
CREATED_BEFORE = next(high for _, high in RANGES if FILTERS[high].field == "created_at")


def parameter(name: str) -> Value:
    """Return a named placeholder in a query for ``Statement``."""
    return Value(name, converter=False)


class Statement:
    """A prepared statement: a query that is compiled once and executed many times.

    Every value in the query has to be a ``parameter``.

    Peewee takes longer to build and compile a page's query than SQLite to run it: "compiled
    statements" in ``benchmarks/pieces.py``. Python's sqlite3 keeps the prepared statement.
    """

    def __init__(self, database: Database, query: Query):
        self._executor: Executor = database
        self.sql, self.names = query.bind(database).sql()

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Execute the statement and return all its rows; a write without RETURNING has none.

        Args:
            values: The values of the parameters by name; further ones are ignored.

        Raises:
            StorageUnavailableError: The database can't be used.
        """
        try:
            cursor = self._executor.execute_sql(self.sql, [values[name] for name in self.names])
            with translated_errors:  # Peewee does not convert errors of fetchall()
                rows: list[tuple[Any, ...]] = cursor.fetchall()
        except PeeweeException as error:
            raise_translated(error)
        return rows


OWNED_BY_USER = Lead.user_id == parameter("user_id")
BY_ID = OWNED_BY_USER & (Lead.id == parameter("id"))


def columns(names: Iterable[str] = tuple(FIELDS)) -> list[Any]:
    """Return the columns of a lead with these names."""
    return [getattr(Lead, name) for name in names]


def insert_lead(*, of_known_user: bool) -> Query:
    """Return the query that inserts a lead and returns its id.

    Args:
        of_known_user: Whether to insert nothing for an owner who is not one of ``users``.
    """
    lead = {getattr(Lead, name): parameter(name) for name in FIELDS if name != "id"}
    if of_known_user:
        user = User.select(User.id).where(User.id == parameter("user_id"))
        query = Lead.insert_from(Select(columns=[*lead.values()]).where(fn.EXISTS(user)), [*lead])
    else:
        query = Lead.insert(lead)
    return query.returning(Lead.id)


def select_lead() -> Query:
    """Return the query for the user's lead with an ``id``."""
    return Lead.select(*columns()).where(BY_ID)


def update_lead() -> Query:
    """Return the query that updates the user's lead with an ``id``, and returns the lead."""
    changes = {name: parameter(name) for name in CHANGING}
    return Lead.update(changes).where(BY_ID).returning(*columns())


def delete_lead() -> Query:
    """Return the query that deletes the user's lead with an ``id``."""
    return Lead.delete().where(BY_ID)


def keep_position() -> Query:
    """Return the query that copies the position of the user's lead with an ``id``."""
    kept = [DeletedLead.user_id, DeletedLead.id, DeletedLead.created_at]
    return DeletedLead.insert_from(
        Lead.select(Lead.user_id, Lead.id, Lead.created_at).where(BY_ID), kept
    )


def select_position(table: Any) -> Query:
    """Return the query for the position of the user's lead with an ``id``.

    Args:
        table: ``Lead`` for the leads that the user has, ``DeletedLead`` for those that they had.
    """
    own = table.user_id == parameter("user_id")
    return table.select(table.created_at, table.id).where(own & (table.id == parameter("id")))


def move_lead() -> Query:
    """Return the query that moves the lead ``id`` of ``old_user_id`` to ``user_id``."""
    changes = {name: parameter(name) for name in ("user_id", *CHANGING)}
    own = Lead.user_id == parameter("old_user_id")
    return Lead.update(changes).where(own & (Lead.id == parameter("id")))


def select_token() -> Query:
    """Return the query for the ``TokenRecord`` with a ``digest``."""
    record = (Token.id, Token.user, Token.read_only, Token.expires_at, Token.last_used_at)
    return Token.select(*record).where(Token.digest == parameter("digest"))


def note_token_use() -> Query:
    """Return the query that sets the last use of the token ``token_id`` to ``now``."""
    used = {Token.last_used_at: parameter("now")}
    return Token.update(used).where(Token.id == parameter("token_id"))


BY_KEY = (Idempotency.user_id == parameter("user_id")) & (Idempotency.key == parameter("key"))


def select_key() -> Query:
    """Return the query for the ``KeyRecord`` of the user's ``key`` if used after ``since``."""
    record = (Idempotency.digest, Idempotency.lead_id)
    return Idempotency.select(*record).where(BY_KEY & (Idempotency.created_at > parameter("since")))


def keep_key() -> Query:
    """Return the query that stores a key."""
    names = ("user_id", "key", "digest", "lead_id", "created_at")
    return Idempotency.insert({name: parameter(name) for name in names})


def sweep_keys() -> Query:
    """Return the query that deletes the user's ``key``, and the ``limit`` oldest expired keys."""
    expired = Idempotency.created_at <= parameter("since")
    oldest = Idempotency.select(Idempotency.id).where(expired).order_by(Idempotency.created_at)
    return Idempotency.delete().where(BY_KEY | Idempotency.id.in_(oldest.limit(parameter("limit"))))


def where(filters: Mapping[str, Any]) -> list[Expression]:
    """Return the conditions of filters, which are given with their values."""
    return [
        FILTERS[name].condition(getattr(Lead, FILTERS[name].field), FILTERS[name].bound(value))
        for name, value in filters.items()
    ]


def page_values(filters: Mapping[str, Any], after: Position | None) -> dict[str, Any]:
    """Return the parameters of a page's query; ``select_page`` takes their names.

    A single bound on the score is completed to two. Of the two upper bounds on the time, the
    filter ``created_before`` and the position, only the lower one is kept: SQLite may start its
    index scan at either, and from the higher one it would scan all leads between them.

    Args:
        filters: The values of some of ``lead.FILTERS`` by name.
        after: The position of the previous page's last lead; None for the first page.
    """
    values = {name: FILTERS[name].bound(value) for name, value in filters.items()}
    if not values.keys().isdisjoint(SCORE_RANGE):
        values = dict(zip(SCORE_RANGE, (0, MAX_SCORE), strict=True)) | values
    if after is not None:
        if after.created_at > values.get(CREATED_BEFORE, after.created_at):
            return values
        values.pop(CREATED_BEFORE, None)
        values |= {"cursor": after.id, "cursor_created_at": after.created_at}
    return values


def select_page(names: Collection[str]) -> Query:
    """Return the query for a page, newest first.

    Its result is one row: the ids, separated by commas, and the leads as JSON, separated by
    ``SEPARATOR``. Both are NULL if there are no leads. ``page_of`` converts it.

    Args:
        names: The names of the parameters that ``page_values`` returns.
    """
    if SCORE_RANGE[0] in names:
        return _in_one_row(*_newest_by_score(names))
    return _in_one_row(_newest(_select_json().where(_conditions(Lead, names))))


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
    newest = of_one_score.select(of_one_score.id)
    newest = newest.where(_conditions(of_one_score, names) & same_score)
    page = of_any.select(of_any.id).from_(scores, of_any)
    page = page.where(of_any.id.in_(_newest(newest, of_one_score)))
    # The ids are restricted to the user's already. A second condition on user_id would make
    # SQLite's planner choose a far slower plan.
    return _newest(_select_json().where(Lead.id.in_(_newest(page, of_any)))), scores


def _select_json() -> Query:
    """Return the query for leads: the id, and the lead as JSON.

    SQLite writes 50 leads as JSON in less time than it takes to make Python rows of them: "JSON by
    SQLite" in ``benchmarks/pieces.py``.
    """
    pairs = [(SQL(f"'{name}'"), getattr(Lead, name)) for name in FIELDS]
    return Lead.select(Lead.id, fn.json_object(*chain.from_iterable(pairs)).alias("lead"))


def _in_one_row(leads: Query, *tables: CTE) -> Query:
    """Return the query that aggregates the leads of a page into one row.

    Python's sqlite3 releases the GIL at every row that it fetches, so threads that fetch 51 rows
    each contend for it: "page as one row" in ``benchmarks/pieces.py``. An aggregate takes its rows
    in the order of a subquery that has a limit:
    https://sqlite.org/forum/forumpost/2d76f2bcf65d256a.
    """
    row = [fn.group_concat(leads.c.id), fn.group_concat(leads.c.lead, SQL(f"'{SEPARATOR}'"))]
    return Select([leads], row).with_cte(*tables)


def _newest(query: Query, lead: Any = Lead) -> Query:
    return query.order_by(lead.created_at.desc(), lead.id.desc()).limit(parameter("limit"))


def _conditions(lead: Any, names: Collection[str]) -> Expression:
    """Return the condition on the user and all filters except those on the score."""
    conditions = [
        FILTERS[name].condition(getattr(lead, FILTERS[name].field), parameter(name))
        for name in FILTERS
        if name in names and name not in SCORE_RANGE
    ]
    if "cursor" in names:
        position = Tuple(parameter("cursor_created_at"), parameter("cursor"))
        conditions.append(Tuple(lead.created_at, lead.id) < position)
    combined: Expression = reduce(and_, conditions, lead.user_id == parameter("user_id"))
    return combined


def page_of(row: tuple[str | None, str], limit: int, max_bytes: int) -> Page:
    """Return the page of a result of ``select_page``.

    Args:
        row: The result. The query has to be executed with ``limit + 1``: one lead more tells
            whether there is a next page.
        limit: The maximum number of leads.
        max_bytes: The maximum size of the page in bytes of UTF-8.
    """
    ids, leads = row
    if ids is None:
        return Page("[]", None, has_more=False)
    asked = leads if ids.count(",") < limit else leads[: leads.rindex(SEPARATOR)]
    page = truncate_page(asked, max_bytes)
    if not (left_out := leads.count(SEPARATOR, len(page))):
        return Page(f"[{page}]", None, has_more=False)
    last_id = ids.rsplit(",", left_out + 1)[-1 - left_out]
    return Page(f"[{page}]", int(last_id), has_more=True)


def truncate_page(leads: str, max_bytes: int) -> str:
    """Return as many of the leads as fit into ``max_bytes`` of UTF-8, at least the first.

    Args:
        leads: Leads as JSON, separated by ``SEPARATOR``.
        max_bytes: The maximum size.
    """
    if len(leads) * MAX_CHARACTER <= max_bytes:
        return leads
    encoded, separator = leads.encode(), SEPARATOR.encode()
    if len(encoded) <= max_bytes:
        return leads
    end = encoded.rfind(separator, 0, max_bytes + len(separator))
    if end < 0:
        end = encoded.find(separator)
    return leads if end < 0 else encoded[:end].decode()
