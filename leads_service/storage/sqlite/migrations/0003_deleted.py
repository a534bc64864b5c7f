"""The table of the positions of deleted leads, from which cursors that refer to them continue."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

TIMESTAMP = "0000-00-00T00:00:00.000000Z".replace("0", "[0-9]")

TABLE = f"""
    CREATE TABLE leads_deleted (
        user_id INTEGER NOT NULL,
        id INTEGER NOT NULL,
        created_at TEXT NOT NULL CHECK (created_at GLOB '{TIMESTAMP}'),
        PRIMARY KEY (user_id, id)
    ) STRICT, WITHOUT ROWID
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table."""
    execute(db, TABLE)
