"""The queries on one user's leads, each one beginning with whose they are."""

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
    Node,
    Select,
    Tuple,
    Value,
    fn,
)

from leads_service._compat.peewee import driver_errors
from leads_service.lead import CHANGING, FIELDS, FILTERS, MAX_SCORE, RANGES
from leads_service.storage.base import Page, Position
from leads_service.storage.errors import storage_errors
from leads_service.storage.models import DeletedLead, Idempotency, Lead, Token, User

Query = Any  # one of Peewee's, on models whose columns a type checker can't know
SEPARATOR = ",\n"  # between two leads; within one, JSON has no line feed
MAX_CHARACTER = 4  # bytes of UTF-8
SCORE_RANGE = next((low, high) for low, high in RANGES if FILTERS[low].field == "score")
CREATED_BEFORE = next(high for _, high in RANGES if FILTERS[high].field == "created_at")


def parameter(name: str) -> Value:
    """Return a placeholder in a query for ``Statement``; its value is given at each run."""
    return Value(name, converter=False)


class Statement:
    """A compiled statement: built once, run many times; every value in it is a ``parameter``.

    Peewee takes longer to build and compile a page's query than SQLite to run it: "compiled
    statements" in ``benchmarks/pieces.py``. Python's sqlite3 keeps the prepared statement.
    """

    def __init__(self, database: Database, query: Node):
        self._database = database
        self.sql, self.names = database.get_sql_context().sql(query).query()

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it and return all rows, none for a mere write.

        Args:
            values: The values of the parameters by name.

        Raises:
            StorageUnavailableError: The database can't be used.

        """
        with storage_errors:
            cursor = self._database.execute_sql(self.sql, [values[name] for name in self.names])
            with driver_errors:  # raised while the rows are read
                rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


OWNED_BY_USER = Lead.user_id == parameter("user_id")
BY_ID = OWNED_BY_USER & (Lead.id == parameter("id"))


def columns(names: Iterable[str] = tuple(FIELDS)) -> list[Any]:
    """Return the columns of a lead with these names."""
    return [getattr(Lead, name) for name in names]


def insert_lead(*, of_known_user: bool) -> Query:
    """Return the query that stores a lead and answers with its id.

    Args:
        of_known_user: Whether to store nothing for an owner who is not one of ``users``.

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
    """Return the query that changes the user's lead with an ``id``, and answers with the lead."""
    changes = {name: parameter(name) for name in CHANGING}
    return Lead.update(changes).where(BY_ID).returning(*columns())


def delete_lead() -> Query:
    """Return the query that deletes the user's lead with an ``id``."""
    return Lead.delete().where(BY_ID)


def keep_position() -> Query:
    """Return the query that keeps where the user's lead with an ``id`` stands."""
    kept = [DeletedLead.user_id, DeletedLead.id, DeletedLead.created_at]
    return DeletedLead.insert_from(
        Lead.select(Lead.user_id, Lead.id, Lead.created_at).where(BY_ID), kept
    )


def select_position(table: Any) -> Query:
    """Return the query for where the user's lead with an ``id`` stands, or stood."""
    own = table.user_id == parameter("user_id")
    return table.select(table.created_at, table.id).where(own & (table.id == parameter("id")))


def move_lead() -> Query:
    """Return the query that gives a lead with an ``id`` of ``old_user_id`` to ``user_id``."""
    changes = {name: parameter(name) for name in ("user_id", *CHANGING)}
    own = Lead.user_id == parameter("old_user_id")
    return Lead.update(changes).where(own & (Lead.id == parameter("id")))


def select_token() -> Query:
    """Return the query for the ``TokenRecord`` with a ``digest``."""
    record = (Token.id, Token.user, Token.read_only, Token.expires_at, Token.last_used_at)
    return Token.select(*record).where(Token.digest == parameter("digest"))


def note_token_use() -> Query:
    """Return the query that notes that the token ``token_id`` is used ``now``."""
    used = {Token.last_used_at: parameter("now")}
    return Token.update(used).where(Token.id == parameter("token_id"))


MINE = (Idempotency.user_id == parameter("user_id")) & (Idempotency.key == parameter("key"))


def select_key() -> Query:
    """Return the query for the ``KeyRecord`` of the user's ``key`` that is after ``since``."""
    record = (Idempotency.digest, Idempotency.lead_id)
    return Idempotency.select(*record).where(MINE & (Idempotency.created_at > parameter("since")))


def keep_key() -> Query:
    """Return the query that stores a key."""
    names = ("user_id", "key", "digest", "lead_id", "created_at")
    return Idempotency.insert({name: parameter(name) for name in names})


def sweep_keys() -> Query:
    """Return the query that deletes the user's ``key``, and a few that are not after ``since``."""
    expired = Idempotency.created_at <= parameter("since")
    oldest = Idempotency.select(Idempotency.id).where(expired).order_by(Idempotency.created_at)
    return Idempotency.delete().where(MINE | Idempotency.id.in_(oldest.limit(parameter("limit"))))


def where(filters: Mapping[str, Any]) -> list[Expression]:
    """Return the conditions of these filters with their values."""
    return [
        FILTERS[name].condition(getattr(Lead, FILTERS[name].field), FILTERS[name].bound(value))
        for name, value in filters.items()
    ]


def page_values(filters: Mapping[str, Any], after: Position | None) -> dict[str, Any]:
    """Return what to run a page's query with; its names are those to ask for the query with.

    One bound on the score becomes two. Of two ends in time, that of the filters and the position
    after which the page begins, only the nearer one stays: SQLite may walk from either, and from
    the wrong one through all leads between them.
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
    """Return the query for a page with the filters of these names, newest first.

    It has one row: the ids with commas between them, and the leads with ``SEPARATOR`` between them.
    """
    if SCORE_RANGE[0] in names:
        return _in_one_row(*_newest_by_score(names))
    return _in_one_row(_newest(_select_json().where(_conditions(Lead, names))))


def _newest_by_score(names: Collection[str]) -> tuple[Query, CTE]:
    """Return the query for leads with bounds on the score, and the table of scores that it needs.

    The table is a recursive common table expression (CTE). A range of an index is in order of time
    only for one score, and there are no more than 101: the newest leads of each one, a page at
    most, hold those of all. To sort all leads with a score in the range, as SQLite would, takes
    longer the more there are ("newest of each score" in ``benchmarks/pieces.py``); to walk them in
    order of time until a page is full, the rarer they are (``benchmarks/growth.py``).
    """
    low, high = SCORE_RANGE
    first = Select(columns=[parameter(low).alias("score")])
    scores = first.cte("scores", recursive=True, columns=("score",))
    following = Select([scores], [scores.c.score + SQL("1")])
    scores = scores.union_all(following.where(scores.c.score < parameter(high)))
    of_one_score, of_any = Lead.alias(), Lead.alias()
    same_score = of_one_score.score == scores.c.score
    newest = of_one_score.select(of_one_score.id)
    newest = newest.where(_conditions(of_one_score, names) & same_score)
    page = of_any.select(of_any.id).from_(scores, of_any)
    page = page.where(of_any.id.in_(_newest(newest, of_one_score)))
    # The ids are the user's own; to ask for that again leads SQLite to another, far longer way.
    return _newest(_select_json().where(Lead.id.in_(_newest(page, of_any)))), scores


def _select_json() -> Query:
    """Return the query for leads as JSON, after their ids.

    SQLite writes 50 leads as JSON in less time than it takes to make Python rows of them: "JSON by
    SQLite" in ``benchmarks/pieces.py``.
    """
    pairs = [(SQL(f"'{name}'"), getattr(Lead, name)) for name in FIELDS]
    return Lead.select(Lead.id, fn.json_object(*chain.from_iterable(pairs)).alias("lead"))


def _in_one_row(leads: Query, *tables: CTE) -> Query:
    """Return the query for a page in one row.

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
    """Return the conditions on one user's leads, but those on the score and on the count."""
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
    """Return the page that a row of ``select_page`` holds, which was run with ``limit`` + 1."""
    ids, leads = row
    if ids is None:
        return Page("[]", None, has_more=False)
    asked = leads if ids.count(",") < limit else leads[: leads.rindex(SEPARATOR)]
    page = fitting(asked, max_bytes)
    if not (left_out := leads.count(SEPARATOR, len(page))):
        return Page(f"[{page}]", None, has_more=False)
    last_id = ids.rsplit(",", left_out + 1)[-1 - left_out]
    return Page(f"[{page}]", int(last_id), has_more=True)


def fitting(leads: str, max_bytes: int) -> str:
    """Return as many of the leads as fit into ``max_bytes`` of UTF-8, but one at least."""
    if len(leads) * MAX_CHARACTER <= max_bytes:
        return leads
    encoded, separator = leads.encode(), SEPARATOR.encode()
    if len(encoded) <= max_bytes:
        return leads
    end = encoded.rfind(separator, 0, max_bytes + len(separator))
    if end < 0:
        end = encoded.find(separator)
    return leads if end < 0 else encoded[:end].decode()
