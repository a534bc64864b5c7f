"""The main process of the server: it starts the workers and replaces those that die."""

import logging
from time import monotonic
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from leads_service._compat.granian import DeadWorker, SupervisedServer, SuppressNoise
from leads_service.cli.workers import available_processors

logger = logging.getLogger(__name__)

LOGGING: dict[str, Any] = {
    "filters": {"noise": {"()": SuppressNoise}},
    "handlers": {"json": {"class": "leads_service.logging.JsonHandler", "filters": ["noise"]}},
    "loggers": {"_granian": {"handlers": ["json"], "propagate": False}},
}

MIN_LIFETIME = 10.0  # seconds; a worker that dies earlier counts as one that cannot start
FIRST_PAUSE = 0.1  # seconds before a worker that died early is replaced again; doubles each time
MAX_PAUSE = 5.0  # seconds


def next_pause(last: float, *, lifetime: float) -> float:
    """Return how long to wait before a dead worker is replaced: exponential backoff.

    Args:
        last: The previous pause at the worker's place, in seconds.
        lifetime: How long the worker lived, in seconds.

    Returns:
        Seconds, from 0 to ``MAX_PAUSE``; 0 after a worker that lived for ``MIN_LIFETIME``.
    """
    return 0.0 if lifetime > MIN_LIFETIME else min(max(2 * last, FIRST_PAUSE), MAX_PAUSE)


def processors_for(workers: int) -> list[int]:
    """Return the processor for each worker to be bound to; none to leave that to the system.

    The threads of a worker take turns for the GIL, so it uses one processor at a time. To go from
    one to another takes time for each turn ("workers bound to processors" in
    ``benchmarks/pieces.py``). They are bound only if every processor gets as many workers: with
    fewer workers than processors, other servers might be bound to the same ones.
    """
    available = available_processors()
    if not available:
        return []
    turns, left_over = divmod(workers, len(available))
    return [] if left_over else available * turns


class Supervisor(SupervisedServer):
    """A server whose dead workers are replaced every time, with a growing pause in between."""

    def __init__(self, target: str, *, workers: int, idle_timeout: int, **options: Any):
        """Set the server up.

        Args:
            target: The factory of the WSGI application, as ``module:function``.
            workers: The number of processes.
            idle_timeout: Seconds after which a connection without a whole request is closed.
            **options: Further options of ``granian.Granian``.
        """
        super().__init__(
            target,
            workers=workers,
            processors=processors_for(workers),
            interface=Interfaces.WSGI,
            factory=True,
            # With HTTP/2 enabled, granian waits for the first byte without a timeout.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=idle_timeout * 1000),
            websockets=False,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
            **options,
        )
        self._pauses: dict[int, float] = {}  # by the worker's index, in seconds
        self._due: dict[int, float] = {}  # by the worker's index, when to replace it

    def supervise(self) -> None:
        """Replace the workers that die, until told to stop."""
        while not self.is_stopping:
            if self.reload_if_told():
                self._due.clear()
            for worker in self.dead_workers():
                if worker.index not in self._due:
                    self._schedule(worker)
            for index in [index for index, due in self._due.items() if due <= monotonic()]:
                self._replace(index)
            self.wait_for_event(self._seconds_until_due())

    def _schedule(self, worker: DeadWorker) -> None:
        """Decide when to replace a dead worker."""
        pause = next_pause(self._pauses.get(worker.index, 0), lifetime=worker.lifetime)
        self._pauses[worker.index] = pause
        self._due[worker.index] = monotonic() + pause
        logger.error(
            "worker-%d died (exit code %s); another one takes its place in %g seconds",
            worker.index + 1,
            worker.exit_code,
            pause,
        )

    def _replace(self, index: int) -> None:
        """Replace a dead worker; if that fails, schedule another attempt."""
        try:
            self.replace_worker(index)
        except OSError as error:
            logger.error("worker-%d can't be started: %s", index + 1, error)
            self._due[index] = monotonic() + MAX_PAUSE
        else:
            del self._due[index]

    def _seconds_until_due(self) -> float | None:
        """Return the time until the next replacement; None if none is scheduled."""
        return max(min(self._due.values()) - monotonic(), 0) if self._due else None
