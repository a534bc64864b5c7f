"""Copies of SQLite files: sound, and moved to their place in a way that nothing can spoil."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp

from leads_service.db import StoreError


def problems(store: Path) -> list[str]:
    """Return what SQLite finds wrong with a file, at most 100 lines; none if it is sound."""
    try:
        with closing(connect(store)) as database:
            found = [str(line) for (line,) in database.execute("PRAGMA integrity_check")]
            rows = database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    found += [f"{table} row {row} refers to a missing {parent}" for table, row, parent, _ in rows]
    return [line for line in found if line != "ok"]


def beside(file: Path) -> list[Path]:
    """Return what SQLite may keep beside a file; it would take it for the new file's."""
    return [file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal")]


def set_aside(store: Path) -> Path | None:
    """Keep the store under another name, and move what is left of it out of the way."""
    if not any(path.exists() for path in (store, *beside(store))):
        return None
    stem = f"{store.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside = store.with_name(stem)
    if store.exists():
        os.link(store, aside)  # until the other one is there, it keeps its own name too
    for path, other in zip(beside(store), beside(aside), strict=True):
        if path.exists():
            path.rename(other)
    return aside


def give_away(copy: Path, store: Path) -> None:
    """Give a copy the owner of the file that it replaces, or of the folder that it comes into."""
    model = (store if store.exists() else store.parent).stat()
    with suppress(PermissionError):  # it takes root to give a file away
        os.chown(copy, model.st_uid, model.st_gid)


def connect(file: Path) -> sqlite3.Connection:
    """Open a file that is there; without mode=rw, SQLite would make one that is not."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)


@contextmanager
def copied(source: Path, folder: Path) -> Iterator[Path]:
    """Yield a sound copy, for its owner alone, that is gone after the block unless it was moved."""
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} does not exist; create it")
    descriptor, name = mkstemp(prefix=".leads-", dir=folder)
    os.close(descriptor)
    copy = Path(name)
    try:
        try:
            with (
                closing(connect(source)) as original,
                closing(sqlite3.connect(copy)) as database,
            ):
                original.backup(database)  # in one step: as it was when it began
                database.execute("PRAGMA journal_mode = delete")  # one file, without a log
        except sqlite3.Error as error:
            raise StoreError(f"{source} can't be copied: {error}") from error
        if found := problems(copy):
            raise StoreError(f"{source} is damaged: {found[0]}")
        yield copy
    finally:
        for path in (copy, *beside(copy)):
            path.unlink(missing_ok=True)


def put(file: Path, place: Path) -> None:
    """Move a file to its place in a way that a power cut can't spoil."""
    _flush(file)
    file.replace(place)
    _flush(place.absolute().parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
