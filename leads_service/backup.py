"""Copies of the store: made while it is in use, checked, and put back."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp

from leads_service import migrations
from leads_service.db import StoreError
from leads_service.sqlite import PRAGMAS, Sqlite

DATA = {"leads_user": "SELECT 1 FROM leads_user", "leads_lead": "SELECT 1 FROM leads_lead"}


def back_up(store: Path, target: Path, *, replace: bool = False) -> None:
    """Copy the store as it is at one moment to ``target``, while others read and write.

    The copy is checked and on the disk before it gets its name. Raises StoreError if there is no
    store, if ``target`` exists and must not be replaced, or if the copy is damaged.
    """
    if not store.exists():
        raise StoreError(f"there is no store at {store} yet; nothing to back up")
    if target.exists() and target.samefile(store):
        raise StoreError(f"{target} is the store itself; name another file")
    if target.exists() and not replace:
        raise StoreError(f"{target} exists; name another file, or replace it with --replace")
    with _copied(store, target.absolute().parent) as copy:
        _put(copy, target)


def restore(backup: Path, store: Path, *, replace: bool = False) -> Path | None:
    """Put a backup in the store's place, migrated if it is an older one.

    Return where a store that was there has gone. Raises StoreError if the backup can't be used, if
    a process has the store open, or if the store has users and must not be replaced.
    """
    if not backup.is_file():
        raise StoreError(f"there is no file {backup}")
    if store.exists() and store.samefile(backup):
        raise StoreError(f"{backup} is the store itself")
    has_data = store.exists() and _has_data(store)
    if has_data and not replace:
        raise StoreError(
            f"{store} has data; with --replace it is kept aside, and the backup takes its place"
        )
    with _copied(backup, store.absolute().parent) as copy:
        database = Sqlite(str(copy), pragmas=PRAGMAS)
        if "leads_lead" not in database.get_tables():
            raise StoreError(f"{backup} is no backup of leads")
        migrations.migrate(database)
        database.close()
        aside = None
        if store.exists():
            aside = store.with_name(f"{store.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
            store.rename(aside)
        _put(copy, store)
    return aside


def problems(store: Path) -> list[str]:
    """Return what SQLite finds wrong with a file, at most 100 lines; none if it is sound."""
    try:
        with closing(_existing(store)) as database:
            found = [str(line) for (line,) in database.execute("PRAGMA integrity_check")]
            rows = database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    found += [f"{table} row {row} refers to a missing {parent}" for table, row, parent, _ in rows]
    return [line for line in found if line != "ok"]


def _existing(file: Path) -> sqlite3.Connection:
    """Open a file that is there; without mode=rw, SQLite would make one that is not."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)


@contextmanager
def _copied(source: Path, folder: Path) -> Iterator[Path]:
    """Yield a sound copy, for its owner alone, that is gone after the block unless it was moved."""
    descriptor, name = mkstemp(prefix=".leads-", dir=folder)
    os.close(descriptor)
    copy = Path(name)
    try:
        try:
            with (
                closing(_existing(source)) as original,
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
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(f"{copy}{end}")


def _put(file: Path, place: Path) -> None:
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


def _has_data(store: Path) -> bool:
    """Say whether the store has users or leads; raises StoreError if somebody has it open.

    To leave WAL mode takes the file for oneself alone. It also puts all of the log into the file.
    """
    try:
        with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = delete")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
            rows = {
                "leads_user": "SELECT 1 FROM leads_user",
                "leads_lead": "SELECT 1 FROM leads_lead",
            }
            return any(database.execute(rows[name]).fetchone() for name in rows.keys() & tables)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StoreError(f"{store} is in use; stop the server first") from error
        raise StoreError(f"{store}: {error}") from error
    except sqlite3.DatabaseError:  # no database: somebody may want to see what it is
        return True
