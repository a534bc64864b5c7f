"""The runner of the migrations of a schema: numbered scripts in a folder of each engine.

Each script defines ``up(migrator, db)``. The table ``leads_migration`` lists the names of those
that have been applied; never rename a script. Peewee has had such a runner since 4.4, but hosts may
have older releases.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from peewee import Database
from playhouse.migrate import SchemaMigrator

from leads_service._compat.peewee import execute
from leads_service.exceptions import StorageUnusableError
from leads_service.lead import timestamp, utc_now


class Migrations:
    """The migrations of an engine."""

    def __init__(self, scripts: ModuleType, history: Iterable[str], find: str):
        """Find the scripts.

        Args:
            scripts: The package whose modules they are.
            history: The statements that create the table ``leads_migration`` if there is none.
            find: The query that has a row if there is one.
        """
        (folder,) = scripts.__path__
        self.names = sorted(file.stem for file in Path(folder).glob("[0-9]*.py"))
        self._package = scripts.__name__
        self._history = history
        self._find = find

    def exist(self, database: Database) -> bool:
        """Return whether the database has the table of migrations; raises PeeweeException."""
        return execute(database, self._find).fetchone() is not None

    def pending(self, database: Database, location: str) -> list[str]:
        """Return the names of the migrations that have not been applied.

        Args:
            database: The database.
            location: Its name in messages.

        Raises:
            StorageUnusableError: A migration has been applied that this version does not know.
            PeeweeException: The database can't be read.
        """
        applied = self._applied(database)
        if unknown := sorted(applied.difference(self.names)):
            raise StorageUnusableError(
                f"{location} has had the migration {unknown[-1]}, which this version of "
                "leads-service does not know; install the version that made it, or a newer one"
            )
        return [name for name in self.names if name not in applied]

    def apply_pending(self, database: Database, location: str) -> list[str]:
        """Apply the pending migrations and return their names.

        The caller has begun a transaction. Arguments and exceptions are those of ``pending``.
        """
        for statement in self._history:
            execute(database, statement)
        names = self.pending(database, location)
        mark = f"INSERT INTO leads_migration (name, applied) VALUES ({database.param}, {database.param})"  # noqa: E501, S608  # placeholders
        for name in names:
            migration = import_module(f"{self._package}.{name}")
            migration.up(SchemaMigrator.from_database(database), database)
            execute(database, mark, (name, timestamp(utc_now())))
        return names

    def _applied(self, database: Database) -> set[str]:
        if not self.exist(database):
            return set()
        return {name for (name,) in execute(database, "SELECT name FROM leads_migration")}
