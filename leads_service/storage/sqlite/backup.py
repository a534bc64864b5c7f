"""Online backups of SQLite files, integrity checks, and restoring.

Backups are made with https://www.sqlite.org/backup.html while the database is in use.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp

from leads_service.exceptions import StorageUnusableError
from leads_service.storage.sqlite.files import problem_with_folder


def back_up(database_file: Path, target: Path, *, replace: bool) -> None:
    """Write a snapshot of a database to a file; see ``Storage.back_up``.

    Args:
        database_file: The database.
        target: The file to write.
        replace: Whether to replace ``target`` if it exists.

    Raises:
        StorageUnusableError: There is no database, ``target`` can't be written or must not be
            replaced, or the copy is damaged.
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
    """Replace a database by a backup; see ``Storage.restore``.

    Args:
        backup: The backup.
        database_file: The database.
        migrate: Migrates a copy of the backup; called with the copy and, for messages, the backup.
        replace: Whether to replace a database that has data.

    Returns:
        The new path of the previous database; None if there was none.

    Raises:
        StorageUnusableError: The backup can't be used, a process has the database open, or it has
            data and must not be replaced.
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

    Leaving WAL mode needs exclusive access, and so detects other processes. It also checkpoints
    the WAL into the file.

    Raises:
        StorageUnusableError: Another process has it open, or it can't be read.
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
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StorageUnusableError(
                f"{database_file} is in use; stop the server first"
            ) from error
        raise StorageUnusableError(f"{database_file}: {error}") from error
    except sqlite3.DatabaseError:  # not a database: keep it, rather than overwrite it
        return True


def problems(database_file: Path) -> list[str]:
    """Return the problems that SQLite finds in a file: a line for each, none if it is sound.

    SQLite reports the first 100 errors of integrity.
    """
    try:
        with closing(connect(database_file)) as database:
            found = [str(line) for (line,) in database.execute("PRAGMA integrity_check")]
            rows = database.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    found += [f"{table} row {row} refers to a missing {parent}" for table, row, parent, _ in rows]
    return [line for line in found if line != "ok"]


def sidecar_files(file: Path) -> list[Path]:
    """Return the paths of the files that SQLite may keep beside a database: WAL, index, journal.

    SQLite would apply a left-over one to a new database of the same name.
    """
    return [file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal")]


def set_aside(database_file: Path) -> Path | None:
    """Rename a database's sidecar files, and give the database file a second name.

    The file keeps its own name as well, so that there is a database at any moment until
    ``replace_durably`` replaces it.

    Returns:
        The new name; None if there was neither a database nor a sidecar file.
    """
    if not any(path.exists() for path in (database_file, *sidecar_files(database_file))):
        return None
    stem = f"{database_file.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside = database_file.with_name(stem)
    if database_file.exists():
        os.link(database_file, aside)
    for path, other in zip(sidecar_files(database_file), sidecar_files(aside), strict=True):
        if path.exists():
            path.rename(other)
    return aside


def copy_ownership(copy: Path, database_file: Path) -> None:
    """Give a copy the owner of the file that it will replace, or of the folder if there is none."""
    model = (database_file if database_file.exists() else database_file.parent).stat()
    with suppress(PermissionError):  # only root may change a file's owner
        os.chown(copy, model.st_uid, model.st_gid)


def connect(file: Path) -> sqlite3.Connection:
    """Open an existing file; without ``mode=rw`` SQLite would create a missing one."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)


@contextmanager
def temporary_copy(source: Path, folder: Path) -> Iterator[Path]:
    """Yield a checked copy of a database, which is deleted after the block unless it was moved.

    Only its owner can read it.

    Args:
        source: The database.
        folder: Where to create the copy.

    Raises:
        StorageUnusableError: Nothing can be created in the folder, or ``source`` can't be copied or
            is damaged.
    """
    if problem := problem_with_folder(folder):
        raise StorageUnusableError(problem)
    descriptor, name = mkstemp(prefix=".leads-", dir=folder)
    os.close(descriptor)
    copy = Path(name)
    try:
        try:
            with (
                closing(connect(source)) as original,
                closing(sqlite3.connect(copy)) as database,
            ):
                original.backup(database)  # in one step, and thus a snapshot
                database.execute("PRAGMA journal_mode = delete")  # one file, without a WAL
        except sqlite3.Error as error:
            raise StorageUnusableError(f"{source} can't be copied: {error}") from error
        if found := problems(copy):
            raise StorageUnusableError(f"{source} is damaged: {found[0]}")
        yield copy
    finally:
        for path in (copy, *sidecar_files(copy)):
            path.unlink(missing_ok=True)


def replace_durably(file: Path, place: Path) -> None:
    """Rename a file to ``place``, atomically and durably: fsync, rename, fsync the folder."""
    _flush(file)
    file.replace(place)
    _flush(place.absolute().parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
