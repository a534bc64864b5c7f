"""Leads in bulk: storing all rows or none, and getting them out again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from itertools import islice
from typing import Any

from marshmallow import ValidationError
from peewee import DatabaseError, SqliteDatabase, fn

from leads_service.files import COLUMNS, Row, is_plainly_valid
from leads_service.models import STATUSES, Lead, timestamp
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

_schema = LeadImportSchema()


def store(
    database: SqliteDatabase,
    scorer: Scorer,
    user_id: int,
    rows: Iterable[Row],
    now: datetime,
    on_invalid: OnInvalid,
) -> int:
    """Store the valid rows as the user's leads, all of them or none, and return how many.

    ``on_invalid`` is told of the others, and may raise. Everything is read, checked and put aside
    first, while others write; the write lock is held only for what then takes one statement.
    Raises ScorerError.
    """
    connection = database.connection()
    with peewee_errors:
        connection.execute(f"CREATE TEMP TABLE leads_staged ({', '.join(STAGED)})")
        try:
            count = 0
            checked = _checked(scorer, user_id, rows, timestamp(now), on_invalid)
            while batch := list(islice(checked, BATCH)):
                connection.executemany(STAGE, batch)
                count += len(batch)
            with bulk_write(database), writing(database):
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
    scorer: Scorer, user_id: int, rows: Iterable[Row], now: str, on_invalid: OnInvalid
) -> Iterator[tuple[Any, ...]]:
    for line, row in rows:
        try:
            lead = row if is_plainly_valid(row) else _schema.load(row)
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


def export(database: SqliteDatabase, filters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield (user_id, *COLUMNS) of the leads that pass the API's filters, each user's oldest first.

    ``user_id`` is a filter here. They are read one by one, all as they were at the first.
    """
    conditions = {
        "user_id": lambda value: Lead.user_id == value,
        "status": lambda value: Lead.status == value,
        "company_id": lambda value: Lead.company_id == value,
        "min_score": lambda value: Lead.score >= value,
        "max_score": lambda value: Lead.score <= value,
        "created_after": lambda value: Lead.created_at >= f"{value}T00:00:00.000000Z",
        "created_before": lambda value: Lead.created_at <= f"{value}T23:59:59.999999Z",
    }
    columns = (getattr(Lead, name) for name in ("user_id", *COLUMNS))
    leads = Lead.select(*columns).order_by(Lead.user_id, Lead.created_at, Lead.id).tuples()
    for name, value in filters.items():
        leads = leads.where(conditions[name](value))
    yield from leads.execute(database).iterator()
