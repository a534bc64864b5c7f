"""The table of status changes, with what is known of those before it: the present status.

``WITHOUT ROWID``, and no index but the primary key: a change of status writes to one B-tree.
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
        PRIMARY KEY (user_id, lead_id, changed_at)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO leads_history
    SELECT user_id, id, updated_at, 'new', status, 1 FROM leads_lead WHERE status <> 'new'
    ORDER BY user_id, id
    """,
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table, and fill it."""
    for statement in STATEMENTS:
        execute(db, statement)
