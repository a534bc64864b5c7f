"""The migrations of the schema: numbered scripts, and the functions that apply them.

Each script defines ``up(migrator, db)``. The table ``leads_migration`` lists the names of those
that have been applied; never rename a script. Peewee has had such a runner since 4.4, but hosts may
have older releases.
"""

from importlib import import_module
from pathlib import Path

from peewee import SqliteDatabase
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute
from leads_service.exceptions import StorageUnusableError
from leads_service.lead import timestamp, utc_now

SCRIPTS = sorted(file.stem for file in Path(__file__).parent.glob("[0-9]*.py"))
# The same table as Peewee's runner creates, which earlier versions of this package used.
CREATE_HISTORY = (
    "CREATE TABLE IF NOT EXISTS leads_migration (id INTEGER NOT NULL PRIMARY KEY,"
    " name VARCHAR(255) NOT NULL, applied DATETIME NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS leads_migration_name ON leads_migration (name)",
)


def pending(database: SqliteDatabase) -> list[str]:
    """Return the names of the migrations that have not been applied.

    Raises:
        StorageUnusableError: A migration has been applied that this version does not know.
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
    """Apply the pending migrations and return their names. The caller has begun a transaction."""
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
