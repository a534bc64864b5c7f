"""The schema's history: numbered scripts, and what applies them.

Each defines ``up(migrator, db)``; the table ``leads_migration`` lists what has been applied. Peewee
has such a runner since 4.4, and hosts have older releases.
"""

from importlib import import_module
from pathlib import Path

from peewee import SqliteDatabase
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute
from leads_service.exceptions import StorageUnusableError
from leads_service.lead import timestamp, utc_now

SCRIPTS = sorted(file.stem for file in Path(__file__).parent.glob("[0-9]*.py"))
# As Peewee's runner made it for databases that are older than this runner.
CREATE_HISTORY = (
    "CREATE TABLE IF NOT EXISTS leads_migration (id INTEGER NOT NULL PRIMARY KEY,"
    " name VARCHAR(255) NOT NULL, applied DATETIME NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS leads_migration_name ON leads_migration (name)",
)


def pending(database: SqliteDatabase) -> list[str]:
    """Return the names of the migrations that have not been applied.

    Raises:
        StorageUnusableError: One has been applied that this code does not know.
        PeeweeException: The database can't be read.

    """
    applied = _applied(database)
    if unknown := sorted(applied.difference(SCRIPTS)):
        raise StorageUnusableError(
            f"{database.database} has had the migration {unknown[-1]}, which this version of "
            "leads-service does not know; install the version that made it, or a newer one"
        )
    return [name for name in SCRIPTS if name not in applied]


def apply_pending(database: SqliteDatabase) -> list[str]:
    """Apply, in a transaction, what no other process has applied meanwhile; return its names."""
    for statement in CREATE_HISTORY:
        execute(database, statement)
    names = pending(database)
    for name in names:
        migration = import_module(f"{__name__}.{name}")
        migration.up(SchemaMigrator.from_database(database), database)
        execute(
            database,
            "INSERT INTO leads_migration (name, applied) VALUES (?, ?)",
            (name, timestamp(utc_now())),
        )
    return names


def _applied(database: SqliteDatabase) -> set[str]:
    if not database.table_exists("leads_migration"):
        return set()
    return {name for (name,) in execute(database, "SELECT name FROM leads_migration")}
