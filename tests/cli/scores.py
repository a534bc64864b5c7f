"""What is stored of leads."""

import sqlite3
from typing import Any

from leads_service.lead import FIELDS


def scores(raw: sqlite3.Connection) -> list[int]:
    return [score for (score,) in raw.execute("SELECT score FROM leads_lead ORDER BY id")]


def everything_else(raw: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Return what rescoring must not change."""
    columns = ", ".join(name for name in FIELDS if name != "score")
    return raw.execute(f"SELECT {columns} FROM leads_lead ORDER BY id").fetchall()  # noqa: S608  # ours
