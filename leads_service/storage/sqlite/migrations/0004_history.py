"""The table of status changes, with what is known of those before it: the present status.

``WITHOUT ROWID``: a lead's changes lie together. Each index has all columns that a figure of the
progress needs, and only the rows that it counts (``models.StatusChange``).
"""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

TIMESTAMP = "0000-00-00T00:00:00.000000Z".replace("0", "[0-9]")
STATUS = "IN ('new', 'contacted', 'qualified', 'converted', 'lost')"

STATEMENTS = (
    f"""
    CREATE TABLE leads_history (
        user_id INTEGER NOT NULL,
        lead_id INTEGER NOT NULL,
        changed_at TEXT NOT NULL CHECK (changed_at GLOB '{TIMESTAMP}'),
        from_status TEXT NOT NULL CHECK (from_status {STATUS}),
        to_status TEXT NOT NULL CHECK (to_status {STATUS}),
        is_estimate INTEGER NOT NULL CHECK (is_estimate IN (0, 1)),
        seconds INTEGER CHECK (seconds >= 0),
        reached_before INTEGER NOT NULL CHECK (reached_before BETWEEN 1 AND 31),
        reached INTEGER NOT NULL CHECK (reached BETWEEN 1 AND 31),
        company_id INTEGER NOT NULL CHECK (company_id >= 1),
        lead_created_at TEXT NOT NULL CHECK (lead_created_at GLOB '{TIMESTAMP}'),
        PRIMARY KEY (user_id, lead_id, changed_at)
    ) STRICT, WITHOUT ROWID
    """,
    # The statuses before it, new among them, are 1, 2, 4 and 8; lost is 16.
    """
    INSERT INTO leads_history
    SELECT
        user_id, id, updated_at, 'new', status, 1, NULL,
        1, CASE status WHEN 'contacted' THEN 3 WHEN 'qualified' THEN 7 WHEN 'converted' THEN 15
            ELSE 17 END,
        company_id, created_at
    FROM leads_lead WHERE status <> 'new'
    ORDER BY user_id, id
    """,
    # The k-th shortest stay in a status.
    """CREATE INDEX leads_history_stay
    ON leads_history (user_id, from_status, seconds, changed_at, company_id)
    WHERE seconds IS NOT NULL""",
    # How many were converted or lost within a time: each counts once.
    """CREATE INDEX leads_history_end
    ON leads_history (user_id, to_status, changed_at, company_id, reached_before, reached)
    WHERE to_status IN ('converted', 'lost') AND reached <> reached_before""",
    # How many of the leads created within a time have reached a status: each counts once.
    """CREATE INDEX leads_history_reached
    ON leads_history (user_id, reached_before, reached, lead_created_at, company_id)
    WHERE reached <> reached_before""",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table, fill it, and create its indexes."""
    for statement in STATEMENTS:
        execute(db, statement)
