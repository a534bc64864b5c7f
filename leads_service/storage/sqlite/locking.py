"""How the threads of a process share one SQLite file: the write lock, and group commit."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from threading import Lock, local
from time import monotonic, sleep
from typing import Any

from peewee import OperationalError

from leads_service.exceptions import CommitOutcomeUnknownError

RETRY_PAUSE = 0.0002  # seconds between attempts to lock the file; a small write holds it as long
MAX_FILE_LOCK_WAIT = 1.0  # seconds; far longer than a small write or a checkpoint takes
POLL_INTERVAL = 0.1  # seconds between checks of how long the holder has waited


class WriteLock:
    """The write lock of a process: only its holder waits for SQLite's lock on the file.

    When the holder has waited for ``MAX_FILE_LOCK_WAIT``, the other threads stop waiting.
    Otherwise a process that holds the file's lock would block every thread of the server, and
    nothing could be read either.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread = local()
        # The start of the current wait, or of the first in a series of failed waits.
        self.waiting_since: float | None = None
        self.failed_at = 0.0  # the end of the last failed wait

    def acquire(self, timeout: float) -> None:
        """Acquire the lock; do nothing if this thread holds it.

        Args:
            timeout: The maximum wait in seconds.

        Raises:
            OperationalError: The timeout has passed, or the holder has waited for the file's lock
                for longer than ``MAX_FILE_LOCK_WAIT``.
        """
        if "is_holder" in vars(self._thread):
            return
        deadline = monotonic() + timeout
        while not self._lock.acquire(timeout=min(POLL_INTERVAL, timeout)):
            now, since = monotonic(), self.waiting_since
            if now >= deadline or (since is not None and now - since > MAX_FILE_LOCK_WAIT):
                raise OperationalError("database is locked")
        self._thread.is_holder = True

    @contextmanager
    def waiting_for_file(self) -> Iterator[None]:
        """Record, for the other threads, since when this one has waited for the file's lock.

        Failed waits in close succession count as one.
        """
        now = monotonic()
        if self.waiting_since is None or now - self.failed_at > MAX_FILE_LOCK_WAIT:
            self.waiting_since = now
        try:
            yield
        except BaseException:
            self.failed_at = monotonic()
            raise
        self.waiting_since = None

    def release(self) -> None:
        """Release the lock; do nothing if this thread does not hold it."""
        if vars(self._thread).pop("is_holder", False):
            self._lock.release()


class Job:
    """A function that a thread wants to be run in a write transaction, by itself or by another.

    Attributes:
        commit: The number of the commit that has stored what it did, 0 if it is not known whether
            that is stored; None before that.
        is_alone: Whether it is to be run alone, since a transaction with others has failed.
        error: What it has raised, without having written anything, or why nothing is known.
        result: What it has returned.
    """

    def __init__(self, work: Callable[[], Any]):
        self.commit: int | None = None
        self.is_alone = False
        self.error: Exception | None = None
        self.result: Any = None
        self._work = work
        self._context = copy_context()  # the work may look at the thread's request

    def run(self) -> None:
        """Run the function, and keep what it returns."""
        self.result = self._context.run(self._work)


class JobQueue:
    """The jobs that wait for a write transaction, and those of the present one.

    All methods but ``put`` and ``withdraw`` are for the thread that holds the write lock.

    Attributes:
        present: The jobs of the present transaction.
    """

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self.present: list[Job] = []

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Let a job wait."""
        self._waiting.append(job)

    def withdraw(self, job: Job) -> bool:
        """Return whether the job was waiting, and does so no more."""
        try:
            self._waiting.remove(job)
        except ValueError:
            return False
        return True

    def take(self, own: Job) -> list[Job]:
        """Return the jobs for the transaction that has begun: all that wait, or one's own alone."""
        self.present = [own]
        if not own.is_alone:
            self.present = []
            with suppress(IndexError):
                while True:
                    self.present.append(self._waiting.popleft())
        return self.present

    def end(self, commit: int, error: Exception | None = None) -> None:
        """Record the commit of the transaction, or an error after which nothing is known."""
        for job in self.present:
            job.error = error or job.error
            job.commit = commit
        self.present = []

    def roll_back(self) -> None:
        """Record that the transaction was rolled back."""
        for job in self.present:
            job.is_alone = True
            job.error = None  # it will be run again
        self.present = []


class GroupCommit:
    """Group commit: one fsync of the WAL serves all threads that committed before it began.

    "group commit" in ``benchmarks/pieces.py`` compares it with an fsync at each commit. After a
    failed fsync the kernel may drop the pages that it could not write, and the next fsync succeeds
    without them (https://wiki.postgresql.org/wiki/Fsync_Errors). The outcome of all commits that it
    was to cover is therefore unknown.

    Attributes:
        has_failed: Whether an fsync has failed since the last call of ``recovered``.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._commits = self._flushed = 0
        self.has_failed = False

    def count(self) -> int:
        """Count a commit and return its number. The caller holds the write lock."""
        self._commits += 1
        return self._commits

    def wait(self, number: int, flush: Callable[[], None]) -> None:
        """Wait until a commit is on the disk.

        Args:
            number: The number that ``count`` has returned for the commit.
            flush: Flushes the WAL; raises OSError if that fails.

        Raises:
            CommitOutcomeUnknownError: The flush that covers the commit has failed.
        """
        with self._lock:
            if self._flushed >= number:
                return
            if self.has_failed:
                raise CommitOutcomeUnknownError("the log could not be flushed")
            covered = self._commits
            try:
                flush()
            except OSError as error:
                self.has_failed = True
                raise CommitOutcomeUnknownError(f"the log could not be flushed: {error}") from error
            self._flushed = covered

    def recovered(self) -> None:
        """Record that the whole WAL is on the disk. The caller holds the write lock."""
        with self._lock:
            self._flushed = self._commits
            self.has_failed = False


def retry_while_locked(action: Callable[[], object], timeout: float) -> None:
    """Call ``action`` until it does not fail because the database is locked.

    SQLite's own busy handler sleeps for longer at each attempt, up to 100 ms, so that those who
    come later overtake: "retry_while_locked" in ``benchmarks/pieces.py`` compares the slowest
    creates.

    Args:
        action: The function to call.
        timeout: For how many seconds to retry.

    Raises:
        sqlite3.OperationalError: The last error of ``action`` after the timeout, or any error other
            than that of a lock.
    """
    deadline = monotonic() + timeout
    while True:
        try:
            action()
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not is_locked or monotonic() >= deadline:
                raise
            sleep(RETRY_PAUSE)
        else:
            return
