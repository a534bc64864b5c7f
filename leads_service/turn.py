"""How the threads of a process share its file: they write in turn, and flush together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from time import monotonic

from peewee import OperationalError

IMPATIENCE = 1.0  # seconds; a small write takes a thousandth, a checkpoint some tenths
GLANCE = 0.1  # seconds between two looks at how long it has been


class Turn:
    """Held by one thread, which waits for other processes; the other threads wait for it.

    When it has waited for a second, they give up: were all of them to wait for as long as a
    process outside holds the lock, nobody would be left to read.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._mine = local()
        self._waiting_since: float | None = None

    def take(self, timeout: float) -> None:
        """Take the turn; raises OperationalError if others have it for ``timeout`` seconds."""
        deadline = monotonic() + timeout
        while not self._lock.acquire(timeout=min(GLANCE, timeout)):
            now, since = monotonic(), self._waiting_since
            if now >= deadline or (since is not None and now - since > IMPATIENCE):
                raise OperationalError("database is locked")
        self._mine.has_it = True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the others see for how long the block, and those that failed before, has taken."""
        self._waiting_since = self._waiting_since or monotonic()
        yield
        self._waiting_since = None

    def let_go(self) -> None:
        """Let another thread have the turn, if this one has it."""
        if vars(self._mine).pop("has_it", False):
            self._lock.release()


class Flushes:
    """One flush serves all threads that have committed before it began."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._commits = self._flushed = 0

    def count(self) -> int:
        """Count a commit and return its number; one thread at a time, with its turn, may do so."""
        self._commits += 1
        return self._commits

    def wait(self, number: int, flush: Callable[[], None]) -> None:
        """Return when the commit is on the disk; raises what ``flush`` raises if it is called.

        Those that wait for a flush that fails try it themselves.
        """
        with self._lock:
            if self._flushed < number:
                number = self._commits
                flush()
                self._flushed = number
