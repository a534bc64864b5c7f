"""What granian lacks: a say in what happens when a worker dies, CPU affinity, some silence."""

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from granian.server import MPServer

# How granian's messages begin of which nobody can make use.
NOISE = (
    "Configuration allows spawning",  # more threads than it advises
    "Unexpected exit from worker",  # of which the subclass of SupervisedServer says more
)


class SuppressNoise(logging.Filter):
    """Drops granian's messages of which nobody can make use; granian has no setting for one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is worth a line."""
        return not record.getMessage().startswith(NOISE)


@dataclass(frozen=True)
class DeadWorker:
    """A worker that has ended without being told to."""

    index: int  # from 0
    exit_code: int | None  # negative: the signal that ended it
    lifetime: float  # seconds since it was started, until now


def _run_on(processor: int, target: Callable[..., Any], *arguments: Any) -> Any:
    with suppress(OSError):  # it was switched off meanwhile
        os.sched_setaffinity(0, {processor})
    return target(*arguments)


class SupervisedServer(MPServer):
    """Granian's server of several processes, with a main loop of the subclass's own.

    Granian ends all workers when one dies, or, told to replace it, dies again within 5.5 seconds.
    It may also miss a death, or a signal to stop, that comes while it handles another death. Its
    main loop is private; everything else stays granian's.
    """

    def __init__(self, target: str, *, processors: Sequence[int] = (), **options: Any):
        """Take the options of ``granian.Granian``.

        Args:
            target: The application.
            processors: To which processor each worker is bound; none to leave that to the system.
            **options: Further options of ``granian.Granian``.
        """
        super().__init__(target, **options)
        self._processors = processors
        # Dead workers are found by looking. What granian lists here itself would make it end with
        # exit code 1 after a stop that it was told to.
        self.interrupt_children = deque(maxlen=0)  # type: ignore[assignment]  # a list there

    def supervise(self) -> None:
        """Watch the workers until ``is_stopping``; the subclass's part."""
        raise NotImplementedError  # granian's class is no abstract one

    @property
    def is_stopping(self) -> bool:
        """Whether the server was told to stop."""
        return self.interrupt_signal

    def wait_for_event(self, timeout: float | None) -> None:
        """Wait until a worker dies or a signal comes, for ``timeout`` seconds at most.

        To be called after looking at everything: an event that comes in between ends the next wait.
        """
        self.main_loop_interrupt.wait(timeout)
        self.main_loop_interrupt.clear()

    def dead_workers(self) -> list[DeadWorker]:
        """Return the workers that have died and are not replaced yet."""
        now = monotonic()
        return [
            DeadWorker(worker.idx, worker.inner.exitcode, now - worker.birth)
            for worker in self.wrks
            if not worker.inner.is_alive()
        ]

    def replace_worker(self, index: int) -> None:
        """Start a worker in the place of a dead one.

        Raises:
            OSError: There is no memory, or there are too many processes.
        """
        worker = self._spawn_worker(index, self._spawn_target, self._target_loader)
        start: Any = worker.start  # without types
        start()
        self.wrks[index] = worker

    def reload_if_told(self) -> bool:
        """Replace all workers if SIGHUP has asked for it; return whether it has."""
        if not self.reload_signal:
            return False
        reload_workers: Any = self._reload  # without types
        reload_workers(self._spawn_target, self._target_loader)
        return True

    def _spawn_worker(  # type: ignore[override]  # so does granian's own class
        self, idx: int, target: Callable[..., Any], callback_loader: Any
    ) -> Any:
        """Return a worker that binds itself to its processor before granian starts its threads."""
        if self._processors:
            target = partial(_run_on, self._processors[idx], target)
        return super()._spawn_worker(idx, target, callback_loader)

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        """Run the subclass's loop in the place of granian's."""
        self._spawn_target, self._target_loader = spawn_target, target_loader
        self.supervise()
