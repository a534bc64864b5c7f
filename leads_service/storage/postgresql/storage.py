"""The ``Storage`` for PostgreSQL: on a database of this service, or on a host's."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import psycopg
from peewee import SQL, IntegrityError, PeeweeException, PostgresqlDatabase, fn
from psycopg.pq import TransactionStatus

from leads_service._compat.peewee import connection_of, execute, sqlstate_of, translated_errors
from leads_service.exceptions import (
    StorageUnavailableError,
    StorageUnusableError,
    TokenGoneError,
    TransactionConflictError,
    UserGoneError,
)
from leads_service.lead import FIELDS
from leads_service.storage import history, queries
from leads_service.storage.base import Page, Position, TokenKey
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.errors import storage_errors
from leads_service.storage.migrations import Migrations
from leads_service.storage.models import TABLES, TABLES_WITH_ID, Idempotency
from leads_service.storage.postgresql import distribution, pages
from leads_service.storage.postgresql import migrations as scripts
from leads_service.storage.postgresql.database import Postgres, location_of, was_rolled_back
from leads_service.storage.queries import Statement

peewee_logger = logging.getLogger("peewee")

CREATE_HISTORY = (
    "CREATE TABLE IF NOT EXISTS leads_migration"
    ' (name text COLLATE "C" PRIMARY KEY, applied text NOT NULL)',
)
# Where Peewee would look into the schema "public" only, whatever the search_path is.
FIND_HISTORY = "SELECT 1 WHERE to_regclass('leads_migration') IS NOT NULL"
# Of the advisory lock that one migration holds: "leads" in ASCII.
MIGRATION_LOCK = 0x6C65616473
MIGRATION_TIMEOUT = 600  # seconds to wait for the migrations of another process
BULK_BATCH = 10_000  # leads that are in memory at a time
NO_WAIT = 500  # milliseconds for what may as well be left out
NOTE_PAUSE = 60  # seconds in which no use of a token is noted after that has failed
SET_NO_WAIT = (
    "SELECT set_config('lock_timeout', '1ms', true), set_config('synchronous_commit', 'off', true),"
    f" set_config('statement_timeout', '{NO_WAIT}ms', true)"
)
LEADS_CAME = "leads of the user were stored meanwhile; revoke the user's tokens first"
LOCK_NOT_AVAILABLE = "55P03"
DAMAGED = ("XX001", "XX002")  # data_corrupted and index_corrupted
INDEXES = """
    SELECT indexrelid::regclass::text, indisvalid FROM pg_index
    WHERE starts_with(indrelid::regclass::text, 'leads_') ORDER BY 1
"""
# Null without the extension amcheck, false for a role that may not use it.
MAY_COMPARE = """
    SELECT has_function_privilege(to_regprocedure('bt_index_check(regclass, boolean)'), 'EXECUTE')
"""
FOREIGN_KEY_VIOLATION = "23503"
NEXT_ID = "nextval(pg_get_serial_sequence('leads_lead', 'id'))"

NOT_PSYCOPG_3 = (
    "the PostgresqlDatabase is not connected by psycopg 3; create it with prefer_psycopg3=True"
)
MAY_CREATE = """
    SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE'), current_user
"""
NOT_ALLOWED = (
    'cannot use {0}: "{1}" may not create tables in the schema {2}; '
    'GRANT CREATE ON SCHEMA {2} TO "{1}"'
)
NO_SCHEMA = "cannot use {}: the schema of its search_path does not exist; CREATE SCHEMA"
NOTHING = "there is no store at {} yet; nothing to check"
STAGED_COLUMNS = tuple(name for name in FIELDS if name != "id")
# The columns have the table's types, but not its constraints, which the INSERT checks.
CREATE_STAGED = (
    f"CREATE TEMP TABLE leads_staged AS SELECT {', '.join(STAGED_COLUMNS)}"  # noqa: S608  # ours
    " FROM leads_lead WITH NO DATA"
)
COPY_TO_STAGED = f"COPY leads_staged ({', '.join(STAGED_COLUMNS)}) FROM STDIN"
NUMBER_STAGED = f"""
    CREATE TEMP TABLE leads_numbered AS
    SELECT {NEXT_ID} AS id, * FROM (SELECT * FROM leads_staged ORDER BY created_at, ctid) AS staged
"""  # noqa: S608  # ours
INSERT_STAGED = (
    f"INSERT INTO leads_lead ({', '.join(FIELDS)})"  # noqa: S608  # our own names
    f" SELECT {', '.join(FIELDS)} FROM leads_numbered"
)

# Several statements are one round trip; they can't be prepared, as a host may have all of its be.
BEGIN_PAGE = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {pages.PLANNED_LOCALLY}".encode()
BEGIN_PAGE_IN_HOSTS = f"SHOW enable_sort; {pages.PLANNED_LOCALLY}".encode()


class PostgresqlStorage(DatabaseStorage):
    """A ``Storage`` on any Peewee PostgresqlDatabase, such as a host's."""

    database: PostgresqlDatabase
    is_embedded = False
    migrations = Migrations(scripts, CREATE_HISTORY, FIND_HISTORY)

    def __init__(self, database: PostgresqlDatabase):
        super().__init__(database)
        self.location = location_of(str(database.database))
        self._pages: dict[frozenset[str], Statement] = {}
        self._has_reference: bool | None = None
        self._notes_again = 0.0  # by ``monotonic``

    # Connections and transactions

    @property
    def _connection(self) -> psycopg.Connection[Any]:
        connection = connection_of(self.database)
        if not isinstance(connection, psycopg.Connection):
            raise StorageUnusableError(NOT_PSYCOPG_3)
        return connection

    def locking(self, query: Any, how: str = "FOR UPDATE") -> Any:
        """Return a query that locks the rows it selects until the transaction ends."""
        return query.for_update(how)

    @contextmanager
    def transaction(self, *, is_single: bool = False) -> Iterator[None]:
        """Run the block in a transaction, or in a savepoint of the transaction that is open."""
        with storage_errors, translated_errors:
            is_open = self._connection.info.transaction_status != TransactionStatus.IDLE
        if is_single and not is_open:
            with self.autocommitting():
                yield
        # A host may have begun a transaction with SQL of its own, which Peewee does not know of.
        elif is_open and self.database.transaction_depth() == 0:
            with self.database.savepoint():
                yield
        else:
            with self.database.atomic():
                yield

    def autocommitting(self) -> AbstractContextManager[Any]:
        """Run the block's one statement in a transaction of its own."""
        return self.database.atomic()

    def was_rolled_back(self, error: Exception) -> bool:
        """Return whether a COMMIT that failed has certainly changed nothing."""
        return was_rolled_back(error)

    def _set(self, name: str, value: object) -> None:
        with storage_errors:
            execute(self.database, "SELECT set_config(%s, %s, true)", (name, str(value)))

    @contextmanager
    def no_wait(self) -> Iterator[None]:
        """Make writes in the block fail at once if the row is locked, and wait for no standby."""
        with storage_errors, self.transaction():
            execute(self.database, SET_NO_WAIT)
            yield

    # Leads

    @property
    def next_lead_id(self) -> Any:
        """The expression for the id of the lead that is inserted next."""
        return SQL(NEXT_ID)

    def sweep_keys(self) -> Any:
        """Return the query that deletes up to ``limit`` of the user's keys which have expired.

        Another user's may lie on another node, and are locked by whoever deletes them.
        """
        expired = queries.expired_keys().where(queries.KEY_OF_USER).select(Idempotency.key)
        # As an array, it is read once. Joined, it may be read again for each key, and each time it
        # finds ``limit`` further ones.
        keys = fn.ARRAY(self.locking(expired, "FOR UPDATE SKIP LOCKED"))
        return Idempotency.delete().where(queries.KEY_OF_USER, Idempotency.key == fn.ANY(keys))

    def insert_lead(
        self, lead: Mapping[str, Any], *, of_known_user: bool, token: TokenKey | None = None
    ) -> dict[str, Any]:
        """Insert a lead and return it with its id."""
        # On Citus, the insert had better ask for nothing else.
        if (of_known_user or token is not None) and self._refers_to_owner:
            of_known_user = False
            if token is not None and not self.has_token(token):
                raise TokenGoneError
            token = None
        try:
            return super().insert_lead(lead, of_known_user=of_known_user, token=token)
        except IntegrityError as error:
            if sqlstate_of(error) == FOREIGN_KEY_VIOLATION:
                raise UserGoneError(lead["user_id"]) from error
            raise

    @property
    def _refers_to_owner(self) -> bool:
        """Whether a foreign key refuses leads of unknown users; read once for a process."""
        if self._has_reference is None:
            with storage_errors, translated_errors:
                self._has_reference = distribution.refers_to_owner(self.database)
        return self._has_reference

    def page(
        self,
        user_id: int,
        filters: Mapping[str, Any],
        *,
        after: Position | None,
        limit: int,
        max_bytes: int,
    ) -> Page:
        """Return the user's newest leads that pass all filters."""
        values = queries.page_values(filters, after)
        names = frozenset(values)
        if names not in self._pages:
            self._pages[names] = self.statement(pages.select_page(names))
        with self.planned_for_pages():
            rows = self._pages[names].rows(values | {"user_id": user_id, "limit": limit + 1})
        return pages.page_of(rows, limit, max_bytes)

    @contextmanager
    def planned_for_pages(self) -> Iterator[None]:
        """Let the block's queries be planned as ``pages`` needs it, and the host's as before.

        Nothing is rolled back: for psycopg, that ends all prepared statements of the connection.
        """
        with storage_errors, translated_errors:
            connection = self._connection
            is_open = connection.info.transaction_status != TransactionStatus.IDLE
            begin = connection.execute(
                BEGIN_PAGE_IN_HOSTS if is_open else BEGIN_PAGE, prepare=False
            )
            end = f"SET LOCAL enable_sort = {begin.fetchall()[0][0]}" if is_open else "COMMIT"
            try:
                yield
            finally:
                # A transaction that has failed undoes it when the host ends it.
                if not is_open or connection.info.transaction_status == TransactionStatus.INTRANS:
                    connection.execute(end.encode(), prepare=False)

    def insert_leads(
        self, leads: Iterable[Mapping[str, Any]], confirm: Callable[[set[int]], None]
    ) -> int:
        """Insert leads, all or none, and return how many; ids ascend with ``created_at``.

        They are copied to a temporary table first, so that the transaction that writes to the
        leads' own is short.
        """
        owners: set[int] = set()
        rows = iter(leads)
        count = 0
        with storage_errors:
            execute(self.database, CREATE_STAGED)
        try:
            while batch := list(islice(rows, BULK_BATCH)):
                owners.update(lead["user_id"] for lead in batch)
                count += len(batch)
                with storage_errors, translated_errors:
                    cursor = self._connection.cursor()
                    with cursor.copy(COPY_TO_STAGED.encode()) as copy:
                        for lead in batch:
                            copy.write_row([lead[name] for name in STAGED_COLUMNS])
            with self.transaction(), self._unlimited():
                execute(self.database, NUMBER_STAGED)
            with self.writing(), self._unlimited():
                confirm(owners)
                with storage_errors:
                    execute(self.database, INSERT_STAGED)
                    execute(self.database, history.ESTIMATE.format("leads_numbered", 0))
        finally:
            with suppress(PeeweeException):  # do not hide an earlier error
                execute(self.database, "DROP TABLE IF EXISTS leads_numbered, leads_staged")
        return count

    def stream(self, query: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query without having all of them in memory, by a server's cursor."""
        sql, parameters = query.bind(self.database).sql()
        with (
            storage_errors,
            translated_errors,
            self.transaction(),
            self._unlimited(),
            self._connection.cursor(name="leads_stream") as cursor,
        ):
            cursor.itersize = BULK_BATCH
            yield from cursor.execute(sql.encode(), parameters)

    def reindexing(self, count: int) -> AbstractContextManager[None]:
        """Let what changes ``count`` leads take its time."""
        return self._unlimited()

    @contextmanager
    def _unlimited(self) -> Iterator[None]:
        """Let the statements of the transaction that is open take as long as they need."""
        self._set("statement_timeout", 0)
        yield

    # Users

    def delete_user(self, user_id: int) -> None:
        """Delete a user and the user's tokens.

        Raises:
            TransactionConflictError: A lead of the user's has been stored meanwhile. Citus locks
                the user on one node, and a foreign key looks on another.
        """
        try:
            super().delete_user(user_id)
        except IntegrityError as error:
            raise TransactionConflictError(LEADS_CAME) from error

    def note_token_use(self, token_id: int, now: str) -> None:
        """Record when a token was used, unless that has just failed.

        All nodes of Citus have the tokens. One that does not answer delays one request a minute.
        """
        if monotonic() < self._notes_again:
            return
        try:
            with self.no_wait():
                self._note_use.rows({"token_id": token_id, "now": now})
        except StorageUnavailableError as error:
            if sqlstate_of(error.__cause__) != LOCK_NOT_AVAILABLE:
                self._notes_again = monotonic() + NOTE_PAUSE
                self._reconnect()

    def _reconnect(self) -> None:
        """Do nothing: a host's connection is the host's."""

    # A copy of everything

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that the block reads be of one moment."""
        with storage_errors:
            execute(self.database, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            # While the rows are written elsewhere, nothing is read here.
            self._set("idle_in_transaction_session_timeout", 0)
            yield
        finally:
            self.database.rollback()

    def insert_rows(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows as ``rows`` yields them, in a transaction."""
        sql = f"COPY {table} ({', '.join(queries.quoted_columns(table))}) FROM STDIN"
        with (
            self._unlimited(),
            storage_errors,
            translated_errors,
            self._connection.cursor().copy(sql.encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def last_ids(self) -> dict[str, int]:
        """Return the highest id that was ever given out, by table."""
        return {table: self._last_id(table) for table in TABLES_WITH_ID}

    def _last_id(self, table: str) -> int:
        ((sequence,),) = self._rows_of(f"SELECT pg_get_serial_sequence('{table}', 'id')")
        given = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608  # ours
        # Rows that came with their ids, or through a node of Citus, are not in this sequence.
        highest = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608  # ours
        return max(int(self._rows_of(sql)[0][0]) for sql in (given, highest))

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Give out only higher ids from now on."""
        sql = "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, %s)"
        for table, last in ids.items():
            with storage_errors:
                execute(self.database, sql, (table, max(last, 1), last > 0))

    def lock_tables(self, names: Sequence[str]) -> None:
        """Keep others from writing to these tables until the transaction ends."""
        # Citus refuses to write to users and tokens, which all its nodes have, after a query that
        # has gone to several shards at once. Elsewhere the setting has no meaning.
        self._set("citus.multi_shard_modify_mode", "sequential")
        if names:
            with storage_errors:
                execute(self.database, f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE")

    # Schema

    @contextmanager
    def schema_lock(self) -> Iterator[None]:
        """Keep other processes from migrating until the transaction ends.

        Raises:
            StorageUnusableError: The role may not create tables, as others than the database's
                owner since PostgreSQL 15.
        """
        ((schema, is_allowed, role),) = self._rows_of(MAY_CREATE)
        if schema is None:
            raise StorageUnusableError(NO_SCHEMA.format(self.location))
        if not is_allowed:
            raise StorageUnusableError(NOT_ALLOWED.format(self.location, role, schema))
        self._set("lock_timeout", f"{MIGRATION_TIMEOUT}s")
        with self._unlimited():
            execute(self.database, "SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            yield

    def distribute(self, *, of_known_users: bool) -> list[str]:
        """Distribute the tables over the nodes of a cluster of Citus, by user."""
        with self.unusable(), self.opened(), self.writing(), self.schema_lock():
            missing = distribution.undistributed(self.database, self.location)
            lacks_reference = of_known_users and not distribution.refers_to_owner(self.database)
            if missing or lacks_reference:
                self.lock_tables([*TABLES])
                last = self.last_ids()
                distribution.distribute(self.database, missing)
                self.set_last_ids(last)  # Citus lets those of the tokens begin anew
            if lacks_reference:
                execute(self.database, distribution.REFER_TO_OWNER)
            return missing

    # Maintenance

    def status(self) -> Iterator[tuple[str, str]]:
        """Yield facts about the database, as pairs of a heading and a text."""
        with self.unusable(), self.opened():
            size = self._rows_of("SELECT pg_database_size(current_database())")[0][0]
            yield "database", f"{self.location} ({size:,} bytes)"
            pending = self.pending_migrations() if self.exists() else ["everything"]
            yield "schema", f"pending {', '.join(pending)}" if pending else "up to date"
            yield "PostgreSQL", self._rows_of("SHOW server_version")[0][0]

    def _rows_of(self, sql: str) -> list[tuple[Any, ...]]:
        with storage_errors, translated_errors:
            return execute(self.database, sql).fetchall()

    def problems(self) -> list[str]:
        """Read all rows; with the extension amcheck, compare the indexes with them.

        Returns:
            A line for each problem.
        """
        with self.unusable(), self.opened():
            if not self.exists():
                raise StorageUnusableError(NOTHING.format(self.location))
            found = []
            for table in TABLES:
                found += self._failure(f"SELECT sum(length(t::text)) FROM {table} AS t")  # noqa: S608  # ours
            ((has_amcheck,),) = self._rows_of(MAY_COMPARE)
            for index, is_valid in self._rows_of(INDEXES):
                if not is_valid:
                    found.append(f"the index {index} is not valid; REINDEX it")
                elif has_amcheck:
                    found += self._failure("SELECT bt_index_check(%s, true)", index)
        return found

    def _failure(self, sql: str, *parameters: object) -> list[str]:
        """Run a query that reads a lot; return its error, if the database is damaged."""
        try:
            with storage_errors, self.transaction(), self._unlimited():
                execute(self.database, sql, parameters)
        except StorageUnavailableError as error:
            if sqlstate_of(error.__cause__) not in DAMAGED:
                raise
            return [str(error)]
        return []

    def back_up(self, target: Path, *, replace: bool) -> None:
        """Refuse: PostgreSQL has its own means."""
        self._refuse(
            "back it up with pg_dump, or continuously with pg_basebackup and WAL archiving"
        )

    def restore(self, source: Path, *, replace: bool) -> Path | None:
        """Refuse: PostgreSQL has its own means."""
        self._refuse("restore it with pg_restore")

    def _refuse(self, remedy: str) -> NoReturn:
        raise StorageUnusableError(f"{self.location} is a PostgreSQL database; {remedy}")


class PreparedStatement(Statement):
    """A statement on a connection of our own, which needs no cursor."""

    def __init__(self, database: Postgres, query: Any):
        super().__init__(database, query)
        self._database = database
        numbers = count(1)
        self._query = re.sub("%s", lambda _: f"${next(numbers)}", self.sql).encode()

    def run(self, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run the statement, and return its rows; raises PeeweeException."""
        peewee_logger.debug((self.sql, values))  # as Peewee does with those that it runs itself
        return self._database.fetch(self._query, values)


class PostgresqlUrlStorage(PostgresqlStorage):
    """A ``Storage`` on a database of this service."""

    database: Postgres

    def __init__(self, url: str, *, busy_timeout: float = 5):
        """Create the storage without connecting.

        Args:
            url: The URL, as libpq takes it.
            busy_timeout: For how many seconds a write waits for a lock.
        """
        database = Postgres(url, lock_timeout=busy_timeout)
        super().__init__(database)
        self.location = location_of(url)

    def statement(self, query: Any) -> Statement:
        """Return a query as a statement."""
        return PreparedStatement(self.database, query)

    @contextmanager
    def planned_for_pages(self) -> Iterator[None]:
        """Do nothing: all queries of our own connections are planned so."""
        yield

    def autocommitting(self) -> AbstractContextManager[None]:
        """Run the block's one statement without BEGIN and COMMIT: two round trips less."""
        return self.database.autocommitting()

    def dispose(self) -> None:
        """Close this thread's connection and all idle ones."""
        with storage_errors:
            self.database.close_for_good()

    @contextmanager
    def _unlimited(self) -> Iterator[None]:
        with storage_errors, self.database.waiting(None), super()._unlimited():
            yield

    @contextmanager
    def no_wait(self) -> Iterator[None]:
        """Make writes in the block fail at once if the row is locked, and wait for no standby."""
        with storage_errors, self.database.waiting(2 * NO_WAIT / 1000), super().no_wait():
            yield

    def _reconnect(self) -> None:
        with suppress(PeeweeException):  # the next statement says so again
            self.database.renew_connection()
