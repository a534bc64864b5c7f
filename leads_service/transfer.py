"""Leads in bulk: storing all rows or none, and getting them out again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from itertools import islice
from typing import Any

from marshmallow import ValidationError
from peewee import JOIN, DatabaseError, SqliteDatabase, fn

from leads_service.accounts import AccountError
from leads_service.bulk import filtered
from leads_service.files import COLUMNS, OWNER, Row, Unreadable, is_plainly_valid
from leads_service.models import STATUSES, Lead, User, timestamp
from leads_service.schemas import LeadImportSchema
from leads_service.scoring import Scorer, score
from leads_service.sqlite import Sqlite, bulk_write, indexed_afterwards, writing
from leads_service.statements import peewee_errors

MANY = 10_000  # rows from which on indexing them together is faster
BATCH = 10_000  # rows; what is in memory at a time

STAGED = ("user_id", *COLUMNS, "score")
STAGE = f"INSERT INTO leads_staged VALUES ({', '.join('?' for _ in STAGED)})"  # noqa: S608
# In the order of time, most indexes take the next lead beside the last one: twice as fast.
MOVE = (
    f"INSERT INTO leads_lead ({', '.join(STAGED)})"  # noqa: S608  # our own names
    " SELECT * FROM leads_staged ORDER BY created_at, rowid"
)

OnInvalid = Callable[[int, dict[str, Any], Any], None]  # line, errors by field, row

# Returns the id of the user whose lead a row becomes, and the row without what says so; raises
# ValidationError if it is nobody's.
Owner = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]

_schema = LeadImportSchema()


def owned_by(user_id: int) -> Owner:
    """Return the owner of rows that are all one user's."""
    return lambda row: (user_id, row)


def owned_by_column(find: Callable[[str], int]) -> Owner:
    """Return the owner of rows that name it; ``find`` returns its id, or raises AccountError."""

    def owner(row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        fields = dict(row)
        named = fields.pop(OWNER, None)
        if named is None:
            raise ValidationError("Missing: whose lead is it?", OWNER)
        try:
            return find(str(named)), fields
        except AccountError as error:
            raise ValidationError(str(error), OWNER) from error

    return owner


def store(
    database: SqliteDatabase,
    scorer: Scorer,
    owner: Owner,
    rows: Iterable[Row],
    now: datetime,
    on_invalid: OnInvalid,
    confirm: Callable[[Iterable[int]], None] | None = None,
) -> int:
    """Store the valid rows as leads, each its ``owner``'s, all or none, and return how many.

    ``on_invalid`` is told of the others, and may raise. Everything is read, checked and put aside
    first, while others write; the write lock is held only for what then takes one statement.
    ``confirm`` is called then with the owners, and raises if one of them has been removed.
    Raises ScorerError.
    """
    owners: set[int] = set()
    connection = database.connection()
    with peewee_errors:
        connection.execute(f"CREATE TEMP TABLE leads_staged ({', '.join(STAGED)})")
        try:
            count = 0
            checked = _checked(scorer, owner, rows, timestamp(now), on_invalid)
            while batch := list(islice(checked, BATCH)):
                connection.executemany(STAGE, batch)
                count += len(batch)
                owners.update(user_id for user_id, *_ in batch)
            with bulk_write(database), writing(database):
                if confirm is not None:
                    confirm(owners)
                last = Lead.select(fn.MAX(Lead.id)).scalar(database) or 0
                # There are no more leads than that: it pays to index those again with the new ones.
                pays = count >= max(last, MANY)
                with indexed_afterwards(database, "leads_lead") if pays else nullcontext():
                    connection.execute(MOVE)
            if isinstance(database, Sqlite):
                database.checkpoint()  # the log has become as long as the file
        finally:
            with suppress(DatabaseError):  # what failed before matters more
                database.execute_sql("DROP TABLE leads_staged")
    return count


def _checked(
    scorer: Scorer, owner: Owner, rows: Iterable[Row], now: str, on_invalid: OnInvalid
) -> Iterator[tuple[Any, ...]]:
    for line, row in rows:
        if isinstance(row, Unreadable):
            on_invalid(line, {"_schema": [row.problem]}, row.content)
            continue
        try:
            user_id, fields = owner(row)
            lead = fields if is_plainly_valid(fields) else _schema.load(fields)
        except ValidationError as error:
            on_invalid(line, error.normalized_messages(), row)
            continue
        created_at = lead.get("created_at", now)
        updated_at = lead.get("updated_at", created_at)
        if updated_at < created_at:  # created now, changed before
            on_invalid(line, {"created_at": ["Needed with updated_at."]}, row)
            continue
        company_id, status, notes = (
            lead["company_id"],
            lead.get("status", STATUSES[0]),
            lead.get("notes") or "",
        )
        facts = {"user_id": user_id, "company_id": company_id, "status": status, "notes": notes}
        points = score(scorer, facts)
        yield user_id, company_id, status, notes, created_at, updated_at, points


def export(
    database: SqliteDatabase, filters: Mapping[str, Any], *, by_name: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield (user, *COLUMNS) of the leads that pass the API's filters, each user's oldest first.

    The user's name if it is one of ours, ``by_name``, otherwise the id. ``user_id`` is a filter
    here. They are read one by one, all as they were at the first.
    """
    columns = (getattr(Lead, name) for name in COLUMNS)
    leads = Lead.select(User.name if by_name else Lead.user_id, *columns)
    if by_name:
        leads = leads.join(User, JOIN.LEFT_OUTER, on=(User.id == Lead.user_id))
    leads = leads.order_by(Lead.user_id, Lead.created_at, Lead.id).tuples()
    yield from filtered(leads, filters).execute(database).iterator()
