"""The table of status changes, with what is known of those before it: the present status."""

from importlib import import_module

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute

moment = import_module("leads_service.storage.postgresql.migrations.0001_initial").moment
STATUS = "IN ('new', 'contacted', 'qualified', 'converted', 'lost')"

STATEMENTS = (
    f"""
    CREATE TABLE leads_history (
        user_id bigint NOT NULL,
        lead_id bigint NOT NULL,
        {moment("changed_at")} NOT NULL,
        from_status text COLLATE "C" NOT NULL CHECK (from_status {STATUS}),
        to_status text COLLATE "C" NOT NULL CHECK (to_status {STATUS}),
        is_estimate boolean NOT NULL,
        PRIMARY KEY (user_id, lead_id, changed_at)
    )
    """,
    """
    INSERT INTO leads_history
    SELECT user_id, id, updated_at, 'new', status, true FROM leads_lead WHERE status <> 'new'
    """,
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table, and fill it."""
    for statement in STATEMENTS:
        execute(db, statement)
