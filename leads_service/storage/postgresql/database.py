"""PostgreSQL, for many threads: connections, time limits, and what a commit's answer means."""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any

import psycopg
from peewee import OperationalError, PeeweeException, PostgresqlDatabase
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from leads_service._compat.peewee import (
    PoolableDatabase,
    connection_of,
    execute,
    sqlstate_of,
    translated_errors,
)
from leads_service.exceptions import CommitOutcomeUnknownError, StorageUnavailableError
from leads_service.storage.errors import one_line
from leads_service.storage.postgresql.prepared import PreparingConnection

OLDEST = 130000  # as PQserverVersion says it: PostgreSQL 13
MAX_IDLE_CONNECTIONS = 16
STATEMENT_TIMEOUT = 10  # seconds; any statement of a request takes milliseconds
PATIENCE = 2  # seconds after which a server that does not even report a timeout is given up
SLOW_CONNECT = 1  # seconds after which others no longer wait for the same server

# What libpq does unless the URL says otherwise:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
DEFAULTS = {
    "application_name": "leads-service",
    "connect_timeout": "2",
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "10000",
}
# What the server does unless the URL says otherwise. Without sorts, pages are planned for one index
# each, whatever the statistics say (pages.py); to compile a statement takes longer than to run it;
# and the tables are found again when the role's or the database's search_path has changed.
SETTINGS = {
    "client_min_messages": "warning",
    "default_transaction_isolation": "read\\ committed",
    "enable_sort": "off",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
    "search_path": "public",
    "statement_timeout": f"{STATEMENT_TIMEOUT}s",
}
# What mends a server that is not used, by a part of libpq's or the server's message. Without a
# connection there is no SQLSTATE.
REMEDIES = {
    "read-only": "name the primary in LEADS_DATABASE, or all servers with commas between them",
    "hot standby": "name the primary in LEADS_DATABASE, or all servers with commas between them",
    "too many": "raise max_connections of the server, or CONNECTION LIMIT of the role or database",
    "connection slots": "raise max_connections of the server",
    "starting up": "try again when it has started",
    "shutting down": "start it",
    "not accepting": "try again when it takes connections",
    "timeout": "check that it runs, and host and port in LEADS_DATABASE",
}
ANY_REMEDY = "check LEADS_DATABASE"
# After these errors another connection may find a server that can write.
MOVED_ON = ("25006", "57P01", "57P02", "57P03")
# The classes of errors by which Citus says that a node has not answered, which may have committed:
# connections, shutdown and cancellation, internal errors.
UNCERTAIN = ("08", "57", "XX")
# The class of a WARNING without a code of its own, as that of a commit that was not replicated:
# https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/replication/syncrep.c
PLAIN_WARNING = "01000"


class Connection(PreparingConnection):
    """A connection that gives up a server which does not answer, and notes the warnings it gets.

    Attributes:
        patience: For how many seconds to wait for an answer; None for ever.
        warnings: The warnings of class ``PLAIN_WARNING`` since the list was last cleared.
        is_stale: Whether the connection is not to be used for another request.
    """

    patience: float | None = STATEMENT_TIMEOUT + PATIENCE

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.warnings: list[str] = []
        self.is_stale = False
        self.adapters.register_dumper(int, Int8Dumper)  # one type, one prepared statement
        self.add_notice_handler(self._on_notice)

    def _on_notice(self, notice: errors.Diagnostic) -> None:
        if notice.sqlstate == PLAIN_WARNING:
            self.warnings.append(notice.message_primary or "")

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server's answer, as long as ``patience`` allows."""
        began = monotonic()
        limit = self.patience if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if limit is not None and timeout is None and monotonic() - began >= limit:
                self.close()
                raise psycopg.OperationalError(f"no answer within {limit:g} seconds") from error
            raise

    def is_reusable(self) -> bool:
        """Return whether the connection can be used again, as far as it is known without a look."""
        if self.is_stale or self.closed or self.pgconn.status != ConnStatus.OK:
            return False
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    def is_alive(self) -> bool:
        """Return whether the server has not ended the connection, which is idle.

        An idle connection has nothing to read: what makes it readable is the server's farewell.
        """
        waiting = select.poll()
        waiting.register(self.pgconn.socket, select.POLLIN)
        return not waiting.poll(0)

    def __del__(self, *_: object) -> None:
        """Close the connection, without the warning of the base class."""
        self.close()


class Postgres(PoolableDatabase, PostgresqlDatabase):
    """A PostgreSQL database for many threads.

    Connections are pooled, as those of ``Sqlite`` are: a thread takes one for each request.
    """

    def __init__(self, url: str, *, lock_timeout: float):
        """Create the database, without connecting to it.

        Args:
            url: A URL or a text of settings, as libpq takes it.
            lock_timeout: For how many seconds a statement waits for a lock, a millisecond at least.

        Raises:
            psycopg.ProgrammingError: The URL is not valid.
        """
        given = conninfo_to_dict(url)
        settings = SETTINGS | {"lock_timeout": f"{max(1, round(lock_timeout * 1000))}ms"}
        # Later options win, so those of the URL do.
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        given["options"] = f"{options} {given.get('options') or ''}".strip()
        self._conninfo = make_conninfo("", **{**DEFAULTS, **given, "client_encoding": "UTF8"})
        self._pool_lock = Lock()
        self._idle: list[Connection] = []
        self._last_failure: psycopg.Error | None = None
        self._connecting_since: float | None = None
        super().__init__(str(given.get("dbname")), prefer_psycopg3=True)

    @property
    def _connection(self) -> Connection:
        connection: Connection = connection_of(self)
        return connection

    # Connections

    def take_connection(self) -> Connection:
        """Return an idle connection that is alive, or a new one."""
        while True:
            with self._pool_lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect_in_turn()
            if connection.is_alive():
                return connection
            connection.close()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for later, or close it."""
        if connection.is_reusable():
            with self._pool_lock:
                if len(self._idle) < MAX_IDLE_CONNECTIONS:
                    self._idle.append(connection)
                    return
        connection.close()

    def renew_connection(self) -> None:
        """Take another connection if this thread's was given up."""
        if not self._connection.is_reusable():
            self.close()
            self.connect()

    def close_for_good(self) -> None:
        """Close this thread's connection and the idle ones."""
        self.close()  # which makes it an idle one
        with self._pool_lock:
            while self._idle:
                self._idle.pop().close()

    def _connect_in_turn(self) -> Connection:
        """Connect; fail at once while another thread finds out whether the server is back.

        So a server that accepts connections and then hangs holds one thread, not all of them.
        """
        with self._pool_lock:
            since = self._connecting_since
            is_slow = since is not None and monotonic() - since > SLOW_CONNECT
            if since is not None and (self._last_failure or is_slow):
                reason = self._last_failure or "another connection to it has not been answered yet"
                raise psycopg.OperationalError(f"the server can't be reached: {reason}")
            self._connecting_since = since or monotonic()
        try:
            connection = self._open()
        except psycopg.Error as error:
            self._last_failure = error
            raise
        else:
            self._last_failure = None
            return connection
        finally:
            self._connecting_since = None

    def _open(self) -> Connection:
        try:
            # If psycopg prepared statements as well, it would end all of them after a ROLLBACK.
            connection = Connection.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            said = str(error)
            remedy = next((REMEDIES[part] for part in REMEDIES if part in said), ANY_REMEDY)
            raise psycopg.OperationalError(f"{said}; {remedy}") from error
        problem = ""
        if (version := connection.info.server_version) < OLDEST:
            problem = f"PostgreSQL {version // 10000} is too old; use 13 or newer"
        elif (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
            problem = f"its encoding is {encoding}; create the database with ENCODING 'UTF8'"
        if problem:
            connection.close()
            raise psycopg.OperationalError(problem)
        return connection

    # Statements and transactions

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement."""
        run: Callable[..., Any] = super().execute_sql
        with self._moving_on():
            return run(sql, params)

    def fetch(self, query: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a prepared query, and return its rows.

        Args:
            query: As for ``PreparingConnection.fetch``.
            values: As well.

        Raises:
            PeeweeException: As by ``execute_sql``.
        """
        with self._moving_on(), translated_errors:
            return self._connection.fetch(query, values)

    @contextmanager
    def _moving_on(self) -> Iterator[None]:
        """Do not keep a connection to a server that can't write any more."""
        try:
            yield
        except PeeweeException as error:
            if sqlstate_of(error) in MOVED_ON and not self.is_closed():
                self._connection.is_stale = True
            raise

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction that may write."""
        execute(self, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")

    def commit(self) -> None:
        """Commit, and return when the commit is durable.

        Raises:
            CommitOutcomeUnknownError: The commit is not known to be durable: the connection broke,
                or the server gave up waiting for its standby.
            OperationalError: The transaction has been rolled back.
        """
        with self.autocommitting(), translated_errors:
            answer = self._connection.execute("COMMIT").statusmessage
        if answer != "COMMIT":
            raise OperationalError("the transaction had failed, and was rolled back")

    @contextmanager
    def autocommitting(self) -> Iterator[None]:
        """Run a statement that commits in the block.

        Raises:
            CommitOutcomeUnknownError: As by ``commit``.
        """
        connection = self._connection
        connection.warnings.clear()
        try:
            yield
        except (PeeweeException, StorageUnavailableError) as error:
            if connection.pgconn.status != ConnStatus.OK or not was_rolled_back(error):
                raise CommitOutcomeUnknownError(one_line(error)) from error
            raise
        if connection.warnings:
            raise CommitOutcomeUnknownError(connection.warnings[0])

    def rollback(self) -> None:
        """Roll back, unless the connection is lost, with which the transaction has ended."""
        if not self.is_closed() and self._connection.pgconn.status == ConnStatus.OK:
            execute(self, "ROLLBACK")

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        """Wait for this long for each of the server's answers in the block; None for ever."""
        connection = self._connection
        connection.patience = seconds
        try:
            yield
        finally:
            connection.patience = Connection.patience


def was_rolled_back(error: Exception) -> bool:
    """Return whether a COMMIT that failed has certainly changed nothing: the server said so.

    Args:
        error: Peewee's exception, or one of this package that it has caused.
    """
    state = sqlstate_of(error if isinstance(error, PeeweeException) else error.__cause__)
    return bool(state) and not state.startswith(UNCERTAIN)


def location_of(database: str) -> str:
    """Return a database's address for messages: without user, password and options.

    Args:
        database: A URL or a text of settings, as libpq takes it, or the name of a database, which
            is returned as it is.
    """
    if "://" not in database and "=" not in database:
        return database
    try:
        given = conninfo_to_dict(database)
    except psycopg.ProgrammingError:
        return "the database"
    hosts = str(given.get("host") or given.get("hostaddr") or "").split(",")
    ports = str(given.get("port") or "").split(",")
    if len(ports) < len(hosts):  # one for all
        ports *= len(hosts)
    servers = (f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{','.join(servers)}/{given.get('dbname') or ''}"


def has_special_characters(url: str) -> bool:
    """Return whether a part of a URL seems to hold a character that should be written as %XX.

    libpq takes what stands behind such a character for a host, a port or a database, and says so
    in its messages; but it may be the end of a password.
    """
    given = conninfo_to_dict(url)
    path = url.partition("://")[2].partition("?")[0].partition("/")[2]
    ports = str(given.get("port") or "").split(",")
    is_number = all(port.isdigit() for port in ports if port)
    return "@" in path or "@" in str(given.get("host")) or not is_number
