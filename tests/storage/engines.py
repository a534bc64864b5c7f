"""The storage engines that the tests in this folder run on; a further one is a line in ENGINES."""

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from peewee import PostgresqlDatabase, SqliteDatabase

from leads_service.storage import open_storage
from leads_service.storage.base import Storage
from tests import postgres


class Engine(NamedTuple):
    """How to make a storage of an engine, and how to spoil it.

    Attributes:
        open: Returns a storage on the database that a folder stands for, which need not exist, with
            a busy timeout of 0. Called again, it returns one as another process would have it.
        migrated: Lets a folder stand for a database that is migrated and empty for the block, at
            the end of which nobody uses it. To migrate one takes longer than most tests.
        locked: Holds the write lock of that database for the block, over another connection.
        full: Leaves no room on that database's disk for the block; None if that can't be had.
        unreachable: Ways to put a database that nobody uses out of reach, by name.
        damaged: Damages a database that nobody uses in a way that only some reads meet; None if
            that can't be had.
        lacks: The methods for which it has other means, and says so.
        takes_turns: Whether a write transaction keeps all others out.
    """

    open: Callable[[Path], Storage]
    migrated: Callable[[Path], AbstractContextManager[None]]
    locked: Callable[[Path], AbstractContextManager[None]]
    full: Callable[[Path], AbstractContextManager[None]] | None
    unreachable: Mapping[str, Callable[[Path], None]]
    damaged: Callable[[Path], None] | None
    lacks: frozenset[str] = frozenset()
    takes_turns: bool = True


def file_of(folder: Path) -> Path:
    return folder / "leads.db"


@cache
def migrated_file() -> bytes:
    """Return the content of an empty store."""
    with TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{file_of(Path(folder))}")
        storage.migrate()
        storage.dispose()
        return file_of(Path(folder)).read_bytes()


@contextmanager
def migrated_sqlite(folder: Path) -> Iterator[None]:
    file_of(folder).write_bytes(migrated_file())
    yield


@contextmanager
def holding_sqlite_lock(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file_of(folder), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def without_room(folder: Path) -> Iterator[None]:
    """Let no file of this process grow, which the system answers as it does a full quota.

    With ``PRAGMA max_page_count`` what needs no new page would still be stored.
    """
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def replace_by_rubbish(folder: Path) -> None:
    file_of(folder).unlink()
    file_of(folder).write_bytes(b"This is no database. " * 10_000)


def overwrite_half(folder: Path) -> None:
    """Ruin the pages that were written last: who reads a table from its begin meets them later."""
    content = file_of(folder).read_bytes()
    half = len(content) // 2
    file_of(folder).write_bytes(content[:half] + b"\xff" * (len(content) - half))


SQLITE: dict[str, Any] = {
    "migrated": migrated_sqlite,
    "locked": holding_sqlite_lock,
    "full": without_room,
    "unreachable": {"rubbish": replace_by_rubbish, "missing": rmtree},
    "damaged": overwrite_half,
}


def postgres_name(folder: Path) -> str:
    """Return the name of the database that a folder stands for."""
    return (folder / "database").read_text()


def postgres_url(folder: Path) -> str:
    """Return the URL of the database that a folder stands for; the first time, create it."""
    if not (folder / "database").exists():
        (folder / "database").write_text("leads_" + sha256(str(folder).encode()).hexdigest()[:16])
        postgres.create(postgres.server(), postgres_name(folder))
    return postgres.named(postgres.server(), postgres_name(folder))


_spare: list[str] = []  # databases that are migrated and empty
_numbers = count(1)


@contextmanager
def migrated_postgres(folder: Path) -> Iterator[None]:
    if _spare:
        name = _spare.pop()
    else:
        name = f"leads_{os.getpid()}_{next(_numbers)}"
        open_storage(postgres.create(postgres.server(), name)).migrate()
    (folder / "database").write_text(name)
    yield
    postgres.admit(postgres_url(folder), is_admitted=True)
    with suppress(psycopg.errors.UndefinedTable):  # the test has dropped it
        postgres.empty(postgres_url(folder))
        _spare.append(name)


@contextmanager
def holding_postgres_locks(folder: Path) -> Iterator[None]:
    with postgres.holding_locks(postgres_url(folder)):
        yield


POSTGRES: dict[str, Any] = {
    "migrated": migrated_postgres,
    "locked": holding_postgres_locks,
    "full": None,
    "unreachable": {
        "closed": lambda folder: postgres.admit(postgres_url(folder), is_admitted=False)
    },
    "damaged": None,
    "lacks": frozenset({"back_up", "restore"}),
    "takes_turns": False,
}

ENGINES = {
    "a file of ours": Engine(
        lambda folder: open_storage(f"sqlite:///{file_of(folder)}", busy_timeout=0), **SQLITE
    ),
    "a host's SqliteDatabase": Engine(
        lambda folder: open_storage(SqliteDatabase(str(file_of(folder)), timeout=0)),
        **SQLITE,
        lacks=frozenset({"restore"}),
    ),
}

if postgres.IS_THERE:
    import psycopg

    ENGINES |= {
        "PostgreSQL": Engine(
            lambda folder: open_storage(postgres_url(folder), busy_timeout=0), **POSTGRES
        ),
        "a host's PostgresqlDatabase": Engine(
            lambda folder: open_storage(
                PostgresqlDatabase(
                    postgres_url(folder), prefer_psycopg3=True, options="-c lock_timeout=1ms"
                )
            ),
            **POSTGRES,
        ),
    }
