"""The tables of users, tokens and leads.

AUTOINCREMENT: an id is never reused, even after the row with the highest id is deleted.
The owner of a lead is no foreign key: in a host application, the users are in the host's tables.
"""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

TIMESTAMP = "0000-00-00T00:00:00.000000Z".replace("0", "[0-9]")

TABLES = (
    """
    CREATE TABLE leads_user (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
        created_at TEXT NOT NULL CHECK (created_at GLOB '{TIMESTAMP}')
    ) STRICT
    """,
    """
    CREATE TABLE leads_token (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES leads_user (id) ON DELETE CASCADE,
        digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
        prefix TEXT NOT NULL,
        label TEXT NOT NULL,
        read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
        created_at TEXT NOT NULL CHECK (created_at GLOB '{TIMESTAMP}'),
        expires_at TEXT CHECK (expires_at GLOB '{TIMESTAMP}'),
        last_used_at TEXT CHECK (last_used_at GLOB '{TIMESTAMP}')
    ) STRICT
    """,
    """
    CREATE TABLE leads_lead (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL,
        company_id INTEGER NOT NULL CHECK (company_id >= 1),
        status TEXT NOT NULL
            CHECK (status IN ('new', 'contacted', 'qualified', 'converted', 'lost')),
        notes TEXT NOT NULL CHECK (length(notes) <= 10000 AND instr(notes, char(0)) = 0),
        score INTEGER NOT NULL CHECK (score BETWEEN 0 AND 100),
        created_at TEXT NOT NULL CHECK (created_at GLOB '{TIMESTAMP}'),
        updated_at TEXT NOT NULL
            CHECK (updated_at GLOB '{TIMESTAMP}' AND updated_at >= created_at)
    ) STRICT
    """,
)

# Each index ends in the sort key of the list, (created_at, id): a page is a range of the index, for
# any dates and cursor (keyset pagination). The columns before it are compared for equality: without
# them SQLite would scan the user's leads and test the filter on each.
INDEXES = (
    "CREATE INDEX leads_token_user ON leads_token (user_id)",  # the foreign key
    # No filter, or only the dates.
    "CREATE INDEX leads_lead_newest ON leads_lead (user_id, created_at, id)",
    # One filter. A range of scores is read score by score.
    "CREATE INDEX leads_lead_status ON leads_lead (user_id, status, created_at, id)",
    "CREATE INDEX leads_lead_company ON leads_lead (user_id, company_id, created_at, id)",
    "CREATE INDEX leads_lead_score ON leads_lead (user_id, score, created_at, id)",
    # Two filters: each may match a million leads where both together match none.
    "CREATE INDEX leads_lead_company_status"
    " ON leads_lead (user_id, company_id, status, created_at, id)",
    "CREATE INDEX leads_lead_company_score"
    " ON leads_lead (user_id, company_id, score, created_at, id)",
    "CREATE INDEX leads_lead_status_score ON leads_lead (user_id, status, score, created_at, id)",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the tables and indexes."""
    for table in TABLES:
        execute(db, table.format(TIMESTAMP=TIMESTAMP))
    for index in INDEXES:
        execute(db, index)
