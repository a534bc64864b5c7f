"""The upper limit of this stack: the same SQL and orjson in bare views, without authentication."""

import os
import sqlite3
from datetime import UTC, datetime
from functools import cache

import orjson
from flask import Flask, Response, request

app = Flask(__name__)

COLUMNS = ("id", "user_id", "company_id", "status", "notes", "score", "created_at", "updated_at")
PAGE = f"""
    SELECT {", ".join(COLUMNS)} FROM leads_lead WHERE user_id = ?
    ORDER BY created_at DESC, id DESC LIMIT 51
"""  # noqa: S608  # our own names
INSERT = f"""
    INSERT INTO leads_lead ({", ".join(COLUMNS[1:])}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id
"""  # noqa: S608  # our own names
UPDATE = f"""
    UPDATE leads_lead SET status = ?, notes = ?, updated_at = ? WHERE id = ? AND user_id = ?
    RETURNING {", ".join(COLUMNS)}
"""  # noqa: S608  # our own names


@cache
def database() -> sqlite3.Connection:
    """Return the connection of the worker, which has one thread."""
    connection = sqlite3.connect(
        os.environ["BENCH_DATABASE"].removeprefix("sqlite:///"),
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")  # in WAL mode: fsync at each commit
    return connection


def now() -> str:
    """Return the current time as leads-service stores it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@app.get("/v1/leads")
def list_leads() -> Response:
    """Return the newest leads of user 1."""
    rows = database().execute(PAGE, (1,)).fetchall()
    data = [dict(zip(COLUMNS, row, strict=True)) for row in rows[:50]]
    cursor = data[-1]["id"] if len(rows) > len(data) else None
    page = {"data": data, "next_cursor": cursor, "has_more": cursor is not None}
    return Response(orjson.dumps(page), content_type="application/json")


@app.post("/v1/leads")
def create_lead() -> Response:
    """Store a lead of user 1."""
    body = orjson.loads(request.get_data())
    moment = now()
    values = (1, body["company_id"], "new", body["notes"], 10, moment, moment)
    (lead_id,) = database().execute(INSERT, values).fetchone()
    lead = dict(zip(COLUMNS, (lead_id, *values), strict=True))
    return Response(orjson.dumps(lead), 201, content_type="application/json")


@app.patch("/v1/leads/<int:lead_id>")
def update_lead(lead_id: int) -> Response:
    """Change a lead of user 1."""
    body = orjson.loads(request.get_data())
    values = (body["status"], body["notes"], now(), lead_id, 1)
    row = database().execute(UPDATE, values).fetchall()
    if not row:
        return Response(status=404)
    lead = dict(zip(COLUMNS, *row, strict=True))
    return Response(orjson.dumps(lead), content_type="application/json")
