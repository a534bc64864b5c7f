"""The queries that run often, for ``Statement``, and those of the list.

Multi-tenancy: every query on leads has a condition on ``user_id``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

from peewee import (
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
from leads_service.storage.base import Position, TokenRecord
from leads_service.storage.errors import raise_translated
from leads_service.storage.models import (
    TABLES,
    DeletedLead,
    Idempotency,
    Lead,
    Token,
    User,
)

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
        # Told by the query: psycopg takes a fifth of a statement's time to describe a result.
        is_write = self.sql.startswith(("INSERT", "UPDATE", "DELETE"))
        self._has_rows = not is_write or "RETURNING" in self.sql

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Execute the statement and return all its rows; a write without RETURNING has none.

        Args:
            values: The values of the parameters by name; further ones are ignored.

        Raises:
            StorageUnavailableError: The database can't be used.
        """
        try:
            return self.run([values[name] for name in self.names])
        except PeeweeException as error:
            raise_translated(error)

    def run(self, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Execute the statement and return its rows; raises PeeweeException."""
        cursor = self._executor.execute_sql(self.sql, values)
        if not self._has_rows:
            return []
        with translated_errors:  # Peewee does not convert errors of fetchall()
            return cursor.fetchall()


OWNED_BY_USER = Lead.user_id == parameter("user_id")
BY_ID = OWNED_BY_USER & (Lead.id == parameter("id"))


def columns(names: Iterable[str] = tuple(FIELDS)) -> list[Any]:
    """Return the columns of a lead with these names."""
    return [getattr(Lead, name) for name in names]


def select_user() -> Query:
    """Return the query for the user ``user_id``."""
    return User.select(User.id).where(User.id == parameter("user_id"))


def select_token_id() -> Query:
    """Return the query for the id of the token with ``token_id`` and ``digest``."""
    by_id = Token.id == parameter("token_id")
    return Token.select(Token.id).where(by_id, Token.digest == parameter("digest"))


def insert_lead(*required: Query, has_id: bool) -> Query:
    """Return the query that inserts a lead and returns its id.

    Args:
        required: Queries that have to find something, or nothing is inserted.
        has_id: Whether the lead has an ``id`` already.
    """
    names = (name for name in FIELDS if name != "id" or has_id)
    lead = {getattr(Lead, name): parameter(name) for name in names}
    if required:
        values = Select(columns=[*lead.values()]).where(*map(fn.EXISTS, required))
        query = Lead.insert_from(values, [*lead])
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


def select_token() -> Query:
    """Return the query for the ``TokenRecord`` with a ``digest``."""
    record = (getattr(Token, name) for name in TokenRecord._fields)
    return Token.select(*record).where(Token.digest == parameter("digest"))


def note_token_use() -> Query:
    """Return the query that sets the last use of the token ``token_id`` to ``now``."""
    used = {Token.last_used_at: parameter("now")}
    return Token.update(used).where(Token.id == parameter("token_id"))


KEY_OF_USER = Idempotency.user_id == parameter("user_id")
BY_KEY = KEY_OF_USER & (Idempotency.key == parameter("key"))


def select_key() -> Query:
    """Return the query for the ``KeyRecord`` of the user's ``key`` if used after ``since``."""
    record = (Idempotency.digest, Idempotency.lead_id)
    return Idempotency.select(*record).where(BY_KEY & (Idempotency.created_at > parameter("since")))


def claim_key(next_id: Any) -> Query:
    """Return the query that stores a user's key with the id of the lead to insert, and returns it.

    It returns no row if the key is stored already and has not expired at ``since``. A transaction
    that has stored the same key is waited for.

    Args:
        next_id: The expression for the id of the next lead.
    """
    names = ("user_id", "key", "digest", "created_at")
    values = {getattr(Idempotency, name): parameter(name) for name in names}
    return (
        Idempotency.insert({**values, Idempotency.lead_id: next_id})
        .on_conflict(
            conflict_target=(Idempotency.user_id, Idempotency.key),
            preserve=(Idempotency.digest, Idempotency.lead_id, Idempotency.created_at),
            where=Idempotency.created_at <= parameter("since"),
        )
        .returning(Idempotency.lead_id)
    )


def expired_keys() -> Query:
    """Return the query for the ``limit`` oldest keys that have expired at ``since``."""
    keys = Idempotency.select(Idempotency.user_id, Idempotency.key)
    expired = keys.where(Idempotency.created_at <= parameter("since"))
    return expired.order_by(Idempotency.created_at).limit(parameter("limit"))


def sweep_keys(expired: Query) -> Query:
    """Return the query that deletes keys.

    Args:
        expired: The query for them, as ``expired_keys`` returns it.
    """
    return Idempotency.delete().where(Tuple(Idempotency.user_id, Idempotency.key).in_(expired))


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


def quoted_columns(table: str) -> list[str]:
    """Return the names of a table's columns, quoted, in the order of its model's fields."""
    return [f'"{field.column_name}"' for field in TABLES[table]._meta.sorted_fields]


def newest(query: Query, lead: Any = Lead) -> Query:
    """Return the query for its newest leads, ``limit`` at most."""
    return query.order_by(lead.created_at.desc(), lead.id.desc()).limit(parameter("limit"))


def conditions(lead: Any, names: Collection[str]) -> Expression:
    """Return the condition on the user and all filters except those on the score."""
    terms = [
        FILTERS[name].condition(getattr(lead, FILTERS[name].field), parameter(name))
        for name in FILTERS
        if name in names and name not in SCORE_RANGE
    ]
    if "cursor" in names:
        position = Tuple(parameter("cursor_created_at"), parameter("cursor"))
        terms.append(Tuple(lead.created_at, lead.id) < position)
    combined: Expression = reduce(and_, terms, lead.user_id == parameter("user_id"))
    return combined


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
