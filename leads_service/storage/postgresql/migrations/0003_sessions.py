"""Sessions of browsers: tokens that came from another token, and end with it."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

STATEMENTS = (
    "ALTER TABLE leads_token ADD COLUMN parent_id bigint",
    # A statement of its own: Citus takes it on a table that all its nodes have.
    """
    ALTER TABLE leads_token ADD CONSTRAINT leads_token_parent
    FOREIGN KEY (parent_id) REFERENCES leads_token (id) ON DELETE CASCADE
    """,
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the column."""
    for statement in STATEMENTS:
        execute(db, statement)
