"""The table of status changes, with what is known of those before it: the present status.

Its columns and indexes serve what they serve on SQLite.
"""

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
        seconds bigint CHECK (seconds >= 0),
        reached_before smallint NOT NULL CHECK (reached_before BETWEEN 1 AND 31),
        reached smallint NOT NULL CHECK (reached BETWEEN 1 AND 31),
        company_id bigint NOT NULL CHECK (company_id >= 1),
        {moment("lead_created_at")} NOT NULL,
        PRIMARY KEY (user_id, lead_id, changed_at)
    )
    """,
    """
    INSERT INTO leads_history
    SELECT
        user_id, id, updated_at, 'new', status, true, NULL,
        1, CASE status WHEN 'contacted' THEN 3 WHEN 'qualified' THEN 7 WHEN 'converted' THEN 15
            ELSE 17 END,
        company_id, created_at
    FROM leads_lead WHERE status <> 'new'
    """,
    """CREATE INDEX leads_history_stay
    ON leads_history (user_id, from_status, seconds, changed_at, company_id)
    WHERE seconds IS NOT NULL""",
    """CREATE INDEX leads_history_end
    ON leads_history (user_id, to_status, changed_at, company_id, reached_before, reached)
    WHERE to_status IN ('converted', 'lost') AND reached <> reached_before""",
    """CREATE INDEX leads_history_reached
    ON leads_history (user_id, reached_before, reached, lead_created_at, company_id)
    WHERE reached <> reached_before""",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Create the table, fill it, and create its indexes."""
    for statement in STATEMENTS:
        execute(db, statement)
