"""The leads that every server is filled with: deterministic, and the same for each."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
OTHERS = 101  # every lead with a number divisible by it belongs to user 2
OLDEST = 20  # leads with a status, company and score that no other lead has


class Lead(NamedTuple):
    """A lead; its fields are in the order of the columns."""

    id: int
    user_id: int
    company_id: int
    status: str
    notes: str
    score: int
    created_at: datetime
    updated_at: datetime


def one_or_other(number: int) -> int:
    """Return the owner of a lead: user 2 or user 1."""
    return 2 if number % OTHERS == 0 else 1


def leads(count: int, owner: Callable[[int], int] = one_or_other) -> Iterator[Lead]:
    """Yield leads, oldest first; two have the same ``created_at``, so that the id is needed too.

    Two kinds alternate, so that each of two filters can match half of the leads where both together
    match none. The oldest leads are of a third kind, and ten of them have a score of their own.

    Args:
        count: How many leads.
        owner: Returns the id of the owner of the lead with this number, from 1.
    """
    kinds = (1, "new", 10), (2, "contacted", 30)
    for number in range(1, count + 1):
        company, status, score = kinds[number // 2 % 2]
        if number <= OLDEST:
            company, status, score = 3, "lost", 0 if number % 2 else 55
        pair = number // 2
        moment = BEGIN + timedelta(minutes=pair, milliseconds=pair % 1000)
        notes = f"Met at the fair, wants an offer {number:08}"
        yield Lead(number, owner(number), company, status, notes, score, moment, moment)


def rfc3339(moment: datetime) -> str:
    """Return a time in the format in which leads-service stores it."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def with_space(moment: datetime) -> str:
    """Return a time in the format in which Peewee, SQLAlchemy and Django store it."""
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def fill(
    file: Path, table: str, rows: Iterator[Lead], time: Callable[[datetime], str] = with_space
) -> None:
    """Insert leads into a table.

    Args:
        file: The SQLite database, which no process has open.
        table: The table, with columns named as the fields of ``Lead``.
        rows: The leads.
        time: Formats the times.
    """
    columns = ", ".join(Lead._fields)
    marks = ", ".join("?" * len(Lead._fields))
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    with connection:
        connection.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608  # our own names
            ((*lead[:6], time(lead.created_at), time(lead.updated_at)) for lead in rows),
        )
    connection.close()
