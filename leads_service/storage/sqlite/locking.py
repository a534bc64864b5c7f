"""How threads and processes share one SQLite file: locks, and group commit."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Lock, local
from time import monotonic, sleep
from typing import Any

from peewee import OperationalError

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
        if self.is_held():
            return
        self.wait_for(self._lock, timeout)
        self._thread.is_holder = True

    def wait_for(self, lock: Lock, timeout: float) -> None:
        """Acquire a lock for which the holder of the write lock may let this thread wait.

        Args:
            lock: The lock.
            timeout: The maximum wait in seconds.

        Raises:
            OperationalError: As by ``acquire``.
        """
        deadline = monotonic() + timeout
        while not lock.acquire(timeout=min(POLL_INTERVAL, timeout)):
            now, since = monotonic(), self.waiting_since
            if now >= deadline or (since is not None and now - since > MAX_FILE_LOCK_WAIT):
                raise OperationalError("database is locked")

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

    def is_held(self) -> bool:
        """Return whether this thread holds the lock."""
        return "is_holder" in vars(self._thread)

    def release(self) -> None:
        """Release the lock; do nothing if this thread does not hold it."""
        if vars(self._thread).pop("is_holder", False):
            self._lock.release()


class Job:
    """A function that a thread wants to be run in a write transaction, by itself or by another.

    Attributes:
        turn: A lock that is released when the job is done, or when its thread has to lead.
        has_to_lead: Whether its thread has to lead.
        is_done: Whether it is durable or has failed.
        is_alone: Whether it is to be run alone, since a transaction with others has failed.
        error: What it has raised, without having written anything, or why nothing is known.
        result: What it has returned.
    """

    def __init__(self, work: Callable[[], Any]):
        self.turn = Lock()
        self.turn.acquire()
        self.has_to_lead = False
        self.is_done = False
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

    One thread at a time leads: it runs its own job with all that wait. Then it wakes their threads,
    and the one whose job came first of those that have come meanwhile leads.

    Attributes:
        present: The jobs of the present transaction, the leader's own first. It is for the thread
            that holds the write lock.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._has_leader = False
        self._waiting: deque[Job] = deque()
        self.present: list[Job] = []

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Let a job wait, or its thread lead if nobody does."""
        with self._lock:
            if self._has_leader:
                self._waiting.append(job)
            else:
                self._has_leader = job.has_to_lead = True

    def withdraw(self, job: Job) -> bool:
        """Return whether the job was waiting, and does so no more."""
        with self._lock:
            try:
                self._waiting.remove(job)
            except ValueError:
                return False
            return True

    def take(self, own: Job) -> list[Job]:
        """Return the jobs of the transaction that has begun: the leader's own, and all that wait.

        One that has to be alone is.
        """
        with self._lock:
            self.present = [own]
            if not own.is_alone:
                self.present += self._waiting
                self._waiting.clear()
            return self.present

    def end(self, error: Exception | None = None) -> None:
        """Record that the present jobs are durable, or the error after which nothing is known."""
        for job in self.present:
            job.error = error or job.error
            job.is_done = True
            job.turn.release()
        self.present = []

    def roll_back(self) -> None:
        """Record that the transaction was rolled back: each of its jobs is to be run alone."""
        with self._lock:
            for job in self.present:
                job.is_alone = True
                job.error = None  # it will be run again
            self._waiting.extendleft(reversed(self.present[1:]))
            self.present = []

    def hand_over(self) -> None:
        """Let the thread lead whose job has waited longest, if any."""
        with self._lock:
            if self._waiting:
                job = self._waiting.popleft()
                job.has_to_lead = True
                job.turn.release()
            else:
                self._has_leader = False


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
            name = getattr(error, "sqlite_errorname", "")  # the module's own errors have none
            is_locked = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not is_locked or monotonic() >= deadline:
                raise
            sleep(RETRY_PAUSE)
        else:
            return
