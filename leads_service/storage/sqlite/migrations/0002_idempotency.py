"""The table of idempotency keys, each with the lead that it created."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

TIMESTAMP = "0000-00-00T00:00:00.000000Z".replace("0", "[0-9]")

STATEMENTS = (
    f"""
    CREATE TABLE leads_idempotency (
        id INTEGER PRIMARY KEY,
        user_id INTEGER NOT NULL,
        "key" TEXT NOT NULL CHECK (length("key") BETWEEN 1 AND 255),
        digest TEXT NOT NULL CHECK (length(digest) = 64),
        lead_id INTEGER NOT NULL,
        created_at TEXT NOT NULL CHECK (created_at GLOB '{TIMESTAMP}')
    ) STRICT
    """,
    'CREATE UNIQUE INDEX leads_idempotency_key ON leads_idempotency (user_id, "key")',
    "CREATE INDEX leads_idempotency_created ON leads_idempotency (created_at)",  # to find expired
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table and its indexes."""
    for statement in STATEMENTS:
        execute(db, statement)
