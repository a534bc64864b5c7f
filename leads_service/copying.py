"""A copy of everything in one database to another, of the same engine or not."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any

import orjson

from leads_service.exceptions import StorageUnusableError
from leads_service.storage.base import Storage
from leads_service.storage.models import TABLES

Row = tuple[Any, ...]
Progress = Callable[[int], object]
STEP = 1000  # rows between two calls of ``Progress``


class Digest:
    """The number and the SHA-256 of rows that pass through."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = sha256()

    def of(
        self, rows: Iterable[tuple[Any, ...]], on_progress: Progress
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, and call ``on_progress`` with the number of each ``STEP`` of them."""
        for row in rows:
            self._hash.update(orjson.dumps(row))
            self.count += 1
            if self.count % STEP == 0:
                on_progress(STEP)
            yield row

    def result(self) -> tuple[int, bytes]:
        """Return the number and the digest of the rows so far."""
        return self.count, self._hash.digest()


def copy(source: Storage, target: Storage, on_progress: Progress) -> dict[str, int]:
    """Copy all rows, in one transaction, and return how many there are in each table.

    Whoever writes to ``source`` meanwhile is not waited for, and is not in the copy.

    Args:
        source: The storage to read.
        target: The storage to write to; it is created or migrated if need be, and has no rows.
        on_progress: Called with a number of rows that were written, or read again to compare them:
            all rows are counted twice.

    Raises:
        StorageUnusableError: The target has rows, or what was read back from it differs from what
            was read from the source. Nothing is stored.
        StorageUnavailableError: One of the databases can't be used. Nothing is stored.
        CommitOutcomeUnknownError: It is not known whether the copy is durable.
    """
    if target.exists():
        with target.opened(), target.writing():
            _require_empty(target)  # before it is migrated: there is no way back from that
    target.migrate()
    with source.opened(), target.opened(), source.snapshot(), target.writing():
        _require_empty(target)
        counts = {}
        for table in TABLES:
            read, stored = Digest(), Digest()
            target.insert_rows(table, read.of(source.rows(table), on_progress))
            for _ in stored.of(target.rows(table), on_progress):
                pass
            if stored.result() != read.result():
                raise StorageUnusableError(
                    f"{target.location} has not kept {table} as it was; nothing was copied. "
                    "Check the source with: leads-service db check"
                )
            counts[table] = read.count
        target.set_last_ids(source.last_ids())
    return counts


def _require_empty(target: Storage) -> None:
    if not target.is_empty():
        raise StorageUnusableError(
            f"{target.location} has data already; name a database without leads and users"
        )
