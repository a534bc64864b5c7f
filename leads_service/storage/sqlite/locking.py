"""How the threads of a process share one SQLite file: a write lock, and group commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from time import monotonic, sleep

from peewee import OperationalError

from leads_service._compat.peewee import sqlite_error_name
from leads_service.exceptions import CommitOutcomeUnknownError

RETRY_PAUSE = 0.0002  # seconds between two tries for SQLite's lock; a small write holds it as long
MAX_FILE_LOCK_WAIT = 1.0  # seconds; a small write takes a thousandth, a checkpoint some tenths
POLL_INTERVAL = 0.1  # seconds between two looks at how long the holder has waited


class WriteLock:
    """The write lock of a process: only its holder waits for SQLite's lock on the file.

    When the holder has waited for ``MAX_FILE_LOCK_WAIT``, the other threads give up: were all of
    them to wait for as long as another process holds the file's lock, no thread could read.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread = local()
        self.waiting_since: float | None = None  # the first of a row of waits that fail
        self.failed_at = 0.0

    def acquire(self, timeout: float) -> None:
        """Acquire the lock; raises OperationalError after ``timeout`` seconds."""
        deadline = monotonic() + timeout
        while not self._lock.acquire(timeout=min(POLL_INTERVAL, timeout)):
            now, since = monotonic(), self.waiting_since
            if now >= deadline or (since is not None and now - since > MAX_FILE_LOCK_WAIT):
                raise OperationalError("database is locked")
        self._thread.is_holder = True

    @contextmanager
    def waiting_for_file(self) -> Iterator[None]:
        """Let the other threads see how long the block, or a row of failed ones, has taken."""
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
        """Release the lock, if this thread holds it."""
        if vars(self._thread).pop("is_holder", False):
            self._lock.release()


class GroupCommit:
    """One flush of the log serves all threads that have committed before it began.

    A flush that fails leaves open what of the log is on the disk: the system may have dropped what
    it could not write, and the next flush succeeds without it. So the outcome of all commits that
    it was to serve is unknown, and ``has_failed`` is true until ``recovered`` is called.
    https://wiki.postgresql.org/wiki/Fsync_Errors
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._commits = self._flushed = 0
        self.has_failed = False

    def count(self) -> int:
        """Count a commit and return its number; to be called with the write lock held."""
        self._commits += 1
        return self._commits

    def wait(self, number: int, flush: Callable[[], None]) -> None:
        """Return when the commit of this number is on the disk.

        Raises CommitOutcomeUnknownError if the flush that was to serve it fails with an OSError.
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
        """Note that all of the log is on the disk; to be called with the write lock held."""
        with self._lock:
            self._flushed = self._commits
            self.has_failed = False


def retry_while_locked(action: Callable[[], object], timeout: float) -> None:
    """Try ``action`` until it meets no lock; raises its OperationalError after ``timeout`` seconds.

    SQLite's own busy handler sleeps for up to 100 ms at a time, with which the unlucky one of 16
    clients waited ten times as long as the others.
    """
    deadline = monotonic() + timeout
    while True:
        try:
            action()
        except OperationalError as error:
            is_locked = sqlite_error_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not is_locked or monotonic() >= deadline:
                raise
            sleep(RETRY_PAUSE)
        else:
            return
