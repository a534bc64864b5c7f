"""What concerns many leads at once, everybody's if need be; for the commands."""

from collections.abc import Iterator

from peewee import SqliteDatabase, fn

from leads_service.models import STATUSES, Lead
from leads_service.scoring import Scorer, score
from leads_service.sqlite import writing


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
