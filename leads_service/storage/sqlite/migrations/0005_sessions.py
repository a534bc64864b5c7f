"""Sessions of browsers: tokens that came from another token, and end with it."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

ADD_PARENT = """
    ALTER TABLE leads_token
    ADD COLUMN parent_id INTEGER REFERENCES leads_token (id) ON DELETE CASCADE
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Add the column."""
    execute(db, ADD_PARENT)
