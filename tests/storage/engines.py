"""The storage engines that the tests in this folder run on; a further one is a line in ENGINES."""

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from peewee import PostgresqlDatabase, SqliteDatabase

from leads_service.storage import open_storage
from leads_service.storage.base import Storage
from tests import postgres
from tests.helpers import migrated_file


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
        lacks: The methods that it refuses, and says why.
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
NOT_DISTRIBUTED = frozenset({"distribute"})


def postgres_name(folder: Path) -> str:
    """Return the name of the database that a folder stands for."""
    return (folder / "database").read_text()


def postgres_url(folder: Path) -> str:
    """Return the URL of the database that a folder stands for; the first time, create it."""
    if not (folder / "database").exists():
        (folder / "database").write_text("leads_" + sha256(str(folder).encode()).hexdigest()[:16])
        postgres.create(postgres.server(), postgres_name(folder))
    return postgres.named(postgres.server(), postgres_name(folder))


_numbers = count(1)


def reusing(make: Callable[[str], str]) -> Callable[[Path], AbstractContextManager[None]]:
    """Return ``Engine.migrated`` for databases that ``make`` creates under a name."""
    spare: list[str] = []  # databases that are empty again

    @contextmanager
    def migrated(folder: Path) -> Iterator[None]:
        if spare:
            name = spare.pop()
        else:
            name = f"leads_{os.getpid()}_{next(_numbers)}"
            make(name)
        (folder / "database").write_text(name)
        yield
        postgres.admit(postgres_url(folder), is_admitted=True)
        with suppress(psycopg.errors.UndefinedTable):  # the test has dropped it
            postgres.empty(postgres_url(folder))
            spare.append(name)

    return migrated


@contextmanager
def holding_postgres_locks(folder: Path) -> Iterator[None]:
    with postgres.holding_locks(postgres_url(folder)):
        yield


def postgres_storage(folder: Path) -> Storage:
    # The server counts short waits for locks of its own, too.
    return open_storage(postgres_url(folder), busy_timeout=0.05)


POSTGRES: dict[str, Any] = {
    "locked": holding_postgres_locks,
    "full": None,
    "unreachable": {
        "closed": lambda folder: postgres.admit(postgres_url(folder), is_admitted=False)
    },
    "damaged": None,
    "takes_turns": False,
}
OTHER_BACKUPS = frozenset({"back_up", "restore"})

ENGINES = {
    "a file of ours": Engine(
        lambda folder: open_storage(f"sqlite:///{file_of(folder)}", busy_timeout=0),
        **SQLITE,
        lacks=NOT_DISTRIBUTED,
    ),
    "a host's SqliteDatabase": Engine(
        lambda folder: open_storage(SqliteDatabase(str(file_of(folder)), timeout=0)),
        **SQLITE,
        lacks=NOT_DISTRIBUTED | {"restore"},
    ),
}

if postgres.IS_THERE:
    import psycopg

    IN_ONE_PLACE = {**POSTGRES, "migrated": reusing(postgres.migrated)}

    ENGINES |= {
        "PostgreSQL": Engine(
            postgres_storage, **IN_ONE_PLACE, lacks=OTHER_BACKUPS | NOT_DISTRIBUTED
        ),
        "a host's PostgresqlDatabase": Engine(
            lambda folder: open_storage(
                PostgresqlDatabase(
                    postgres_url(folder), prefer_psycopg3=True, options="-c lock_timeout=50ms"
                )
            ),
            **IN_ONE_PLACE,
            lacks=OTHER_BACKUPS | NOT_DISTRIBUTED,
        ),
    }

    if postgres.has_citus():
        ENGINES["Citus"] = Engine(
            postgres_storage,
            **POSTGRES,
            # Leads of unknown users are a host's.
            migrated=reusing(partial(postgres.distributed, of_known_users=False)),
            lacks=OTHER_BACKUPS,
        )
