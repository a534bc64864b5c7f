"""Copies of the store: made while it is in use, checked, and put back."""

import sqlite3
from contextlib import closing
from pathlib import Path

from leads_service import migrations
from leads_service.copies import beside, copied, give_away, put, set_aside
from leads_service.db import StoreError
from leads_service.sqlite import PRAGMAS, Sqlite, close_for_good


def back_up(store: Path, target: Path, *, replace: bool = False) -> None:
    """Copy the store as it is at one moment to ``target``, while others read and write.

    The copy is checked and on the disk before it gets its name. Raises StoreError if there is no
    store, if ``target`` can't take a file or must not be replaced, or if the copy is damaged.
    """
    if not store.exists():
        raise StoreError(f"there is no store at {store} yet; nothing to back up")
    target = target.resolve()
    if target in (store, *beside(store)):
        raise StoreError(f"{target} is the store itself, or a part of it; name another file")
    if target.exists() and not (replace and target.is_file()):
        raise StoreError(f"{target} exists; name another file, or replace a file with --replace")
    if left := [path for path in beside(target) if path.exists()]:
        raise StoreError(f"{left[0]} belongs to a database; name another file, or remove it")
    with copied(store, target.parent) as copy:
        put(copy, target)


def restore(backup: Path, store: Path, *, replace: bool = False) -> Path | None:
    """Put a backup in the store's place, migrated if it is an older one.

    Return where a store that was there has gone, with what was beside it. Raises StoreError if the
    backup can't be used, if a process has the store open, or if it has data and must not be
    replaced.
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
    with copied(backup, store.parent) as copy:
        database = Sqlite(str(copy), pragmas=PRAGMAS)
        if "leads_lead" not in database.get_tables():
            raise StoreError(f"{backup} is no backup of leads")
        migrations.migrate(database)
        close_for_good(database)
        give_away(copy, store)
        aside = set_aside(store)
        put(copy, store)
    return aside


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
