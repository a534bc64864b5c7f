"""What concerns many leads at once, everybody's if need be; for the commands."""

from collections.abc import Iterator, Mapping
from typing import Any

from peewee import SqliteDatabase, fn

from leads_service.models import STATUSES, Lead
from leads_service.scoring import Scorer, score
from leads_service.sqlite import writing


def filtered(leads: Any, filters: Mapping[str, Any]) -> Any:
    """Return a query for leads, of those only that pass the API's filters; ``user_id`` is one."""
    conditions = {
        "user_id": lambda value: Lead.user_id == value,
        "status": lambda value: Lead.status == value,
        "company_id": lambda value: Lead.company_id == value,
        "min_score": lambda value: Lead.score >= value,
        "max_score": lambda value: Lead.score <= value,
        "created_after": lambda value: Lead.created_at >= f"{value}T00:00:00.000000Z",
        "created_before": lambda value: Lead.created_at <= f"{value}T23:59:59.999999Z",
    }
    for name, value in filters.items():
        leads = leads.where(conditions[name](value))
    return leads


def count_by_status(database: SqliteDatabase, user_id: int | None = None) -> dict[str, int]:
    """Return how many leads stand at each status: the user's, or without one everybody's."""
    counts = Lead.select(Lead.status, fn.COUNT(Lead.id)).group_by(Lead.status).tuples()
    if user_id is not None:
        counts = counts.where(Lead.user_id == user_id)
    return dict.fromkeys(STATUSES, 0) | dict(counts.execute(database))


def rescore(database: SqliteDatabase, scorer: Scorer, batch: int = 1000) -> Iterator[int]:
    """Score everybody's leads anew, ``batch`` to a transaction; yield how many each one read.

    A score is no work on a lead: ``updated_at`` stays. Raises ScorerError, which keeps the
    batches before.
    """
    last, count = 0, batch
    while count == batch:
        with writing(database):
            leads = Lead.select().where(Lead.id > last).order_by(Lead.id).limit(batch).dicts()
            count = 0
            for lead in list(leads.execute(database)):
                last, count = lead["id"], count + 1
                if (points := score(scorer, lead)) != lead["score"]:
                    Lead.update(score=points).where(Lead.id == last).execute(database)
        yield count
