"""The storage engines that the tests in this folder run on; a further one is a line in ENGINES."""

import resource
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from peewee import SqliteDatabase

from leads_service.storage import open_storage
from leads_service.storage.base import Storage


class Engine(NamedTuple):
    """How to make a storage of an engine, and how to spoil it.

    Attributes:
        open: Returns a storage on the database that a folder stands for, which need not exist, with
            a busy timeout of 0. Called again, it returns one as another process would have it.
        locked: Holds the write lock of that database for the block, over another connection.
        full: Leaves no room on that database's disk for the block.
        unreachable: Ways to put a database that nobody uses out of reach, by name.
        damaged: Damages a database that nobody uses in a way that only some reads meet.
        lacks: The methods for which it has other means, and says so.

    """

    open: Callable[[Path], Storage]
    locked: Callable[[Path], AbstractContextManager[None]]
    full: Callable[[Path], AbstractContextManager[None]]
    unreachable: Mapping[str, Callable[[Path], None]]
    damaged: Callable[[Path], None]
    lacks: frozenset[str] = frozenset()


def file_of(folder: Path) -> Path:
    return folder / "leads.db"


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
    "locked": holding_sqlite_lock,
    "full": without_room,
    "unreachable": {"rubbish": replace_by_rubbish, "missing": rmtree},
    "damaged": overwrite_half,
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
