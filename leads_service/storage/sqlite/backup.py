"""Copies of SQLite files: made while they are in use, checked, and put back."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp

from leads_service.exceptions import StorageUnusableError


def back_up(database_file: Path, target: Path, *, replace: bool) -> None:
    """Copy a database as it is at one moment, as ``Storage.back_up`` says.

    Args:
        database_file: The database file.
        target: The file to copy it to.
        replace: Whether to replace that file.

    """
    if not database_file.exists():
        raise StorageUnusableError(f"there is no store at {database_file} yet; nothing to back up")
    target = target.resolve()
    if target in (database_file, *sidecar_files(database_file)):
        raise StorageUnusableError(
            f"{target} is the store itself, or a part of it; name another file"
        )
    if target.exists() and not (replace and target.is_file()):
        raise StorageUnusableError(
            f"{target} exists; name another file, or replace a file with --replace"
        )
    if left := [path for path in sidecar_files(target) if path.exists()]:
        raise StorageUnusableError(
            f"{left[0]} belongs to a database; name another file, or remove it"
        )
    with temporary_copy(database_file, target.parent) as copy:
        replace_durably(copy, target)


def restore(
    backup: Path, database_file: Path, migrate: Callable[[Path, Path], None], *, replace: bool
) -> Path | None:
    """Put a backup in a database's place, as ``Storage.restore`` says.

    Args:
        backup: The file with the backup.
        database_file: The database file.
        migrate: Called with a copy of the backup and the backup; migrates the copy.
        replace: Whether to set aside a database that has data.

    """
    if not backup.is_file():
        raise StorageUnusableError(f"there is no file {backup}")
    if database_file.exists() and database_file.samefile(backup):
        raise StorageUnusableError(f"{backup} is the store itself")
    has_data = database_file.exists() and _has_data(database_file)
    if has_data and not replace:
        raise StorageUnusableError(
            f"{database_file} has data; with --replace it is kept aside, "
            "and the backup takes its place"
        )
    with temporary_copy(backup, database_file.parent) as copy:
        migrate(copy, backup)
        copy_ownership(copy, database_file)
        aside = set_aside(database_file)
        replace_durably(copy, database_file)
    return aside


def _has_data(database_file: Path) -> bool:
    """Return whether a database has users or leads.

    To leave WAL mode takes the file for oneself alone. It also puts all of the log into the file.

    Raises:
        StorageUnusableError: A process has it open.

    """
    try:
        with closing(sqlite3.connect(database_file, timeout=0, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = delete")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
            rows = {
                "leads_user": "SELECT 1 FROM leads_user",
                "leads_lead": "SELECT 1 FROM leads_lead",
            }
            return any(database.execute(rows[name]).fetchone() for name in rows.keys() & tables)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StorageUnusableError(
                f"{database_file} is in use; stop the server first"
            ) from error
        raise StorageUnusableError(f"{database_file}: {error}") from error
    except sqlite3.DatabaseError:  # no database: somebody may want to see what it is
        return True


def problems(database_file: Path) -> list[str]:
    """Return what SQLite finds wrong with a file, at most 100 lines; none if it is sound."""
    try:
        with closing(connect(database_file)) as database:
            found = [str(line) for (line,) in database.execute("PRAGMA integrity_check")]
            rows = database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    found += [f"{table} row {row} refers to a missing {parent}" for table, row, parent, _ in rows]
    return [line for line in found if line != "ok"]


def sidecar_files(file: Path) -> list[Path]:
    """Return the files that SQLite may keep beside a database file, and take for a new one's."""
    return [file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal")]


def set_aside(database_file: Path) -> Path | None:
    """Keep the database under another name, and move what is left of it out of the way."""
    if not any(path.exists() for path in (database_file, *sidecar_files(database_file))):
        return None
    stem = f"{database_file.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside = database_file.with_name(stem)
    if database_file.exists():
        os.link(database_file, aside)  # until the other one is there, it keeps its own name too
    for path, other in zip(sidecar_files(database_file), sidecar_files(aside), strict=True):
        if path.exists():
            path.rename(other)
    return aside


def copy_ownership(copy: Path, database_file: Path) -> None:
    """Give a copy the owner of the file that it replaces, or of the folder that it comes into."""
    model = (database_file if database_file.exists() else database_file.parent).stat()
    with suppress(PermissionError):  # it takes root to give a file away
        os.chown(copy, model.st_uid, model.st_gid)


def connect(file: Path) -> sqlite3.Connection:
    """Open a file that is there; without mode=rw, SQLite would make one that is not."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)


@contextmanager
def temporary_copy(source: Path, folder: Path) -> Iterator[Path]:
    """Yield a sound copy, for its owner alone, that is gone after the block unless it was moved."""
    if not folder.is_dir():
        raise StorageUnusableError(f"the folder {folder} does not exist; create it")
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
            raise StorageUnusableError(f"{source} can't be copied: {error}") from error
        if found := problems(copy):
            raise StorageUnusableError(f"{source} is damaged: {found[0]}")
        yield copy
    finally:
        for path in (copy, *sidecar_files(copy)):
            path.unlink(missing_ok=True)


def replace_durably(file: Path, place: Path) -> None:
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
