"""The main process of the server: it starts the workers, and replaces those that die."""

import logging
from collections import deque
from time import monotonic
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

logger = logging.getLogger(__name__)

SETTLED = 10.0  # seconds; a worker that has lived for longer did not die of how it begins
FIRST_PAUSE = 0.1  # seconds before the second worker of a row that die at once; then twice that
MAX_PAUSE = 5.0


def next_pause(last: float, *, lived: float) -> float:
    """Return for how many seconds to leave the place of a worker empty that lived for ``lived``.

    ``last`` is for how long it was empty before.
    """
    return 0.0 if lived > SETTLED else min(max(2 * last, FIRST_PAUSE), MAX_PAUSE)


class Supervisor(MPServer):
    """Granian, but for what it does about workers that die.

    It ends all of them when one dies twice within 5.5 seconds, and no option tells it not to. It
    may also lose a death, or a signal to stop, that comes while it attends to another death. So the
    loop that waits for both is ours, and all else granian's.
    """

    def __init__(self, target: str, *, idle_timeout: int, **options: Any):
        """``target`` names what makes the application, ``idle_timeout`` is in seconds."""
        super().__init__(
            target,
            interface=Interfaces.WSGI,
            factory=True,
            # With HTTP/2 beside it, granian waits for the first byte for ever, to tell them apart.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=idle_timeout * 1000),
            websockets=False,
            log_level=LogLevels.warning,
            **options,
        )
        # Nothing is kept here: who has died is found by looking, and granian would end with exit
        # code 1 for what it lists, though it was told to stop.
        self.interrupt_children = deque(maxlen=0)  # type: ignore[assignment]
        self._pauses: dict[int, float] = {}  # seconds, by the worker's index
        self._due: dict[int, float] = {}  # when to replace the worker with the index

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        """Replace the workers that die, until told to stop."""
        while not self.interrupt_signal:
            if self.reload_signal:
                self._reload(spawn_target, target_loader)  # all of them
                self._due.clear()
            for worker in self.wrks:
                if worker.idx not in self._due and not worker.is_alive():
                    self._plan(worker)
            for index in [index for index, due in self._due.items() if due <= monotonic()]:
                self._replace(index, spawn_target, target_loader)
            # Set by a death and by a signal; cleared before the next look, so that none gets lost.
            self.main_loop_interrupt.wait(self._patience())
            self.main_loop_interrupt.clear()

    def _plan(self, worker: Any) -> None:
        """Say when to replace a worker that has died: at once, or later and later."""
        now, index = monotonic(), worker.idx
        pause = next_pause(self._pauses.get(index, 0), lived=now - worker.birth)
        self._pauses[index] = pause
        self._due[index] = now + pause
        logger.error(
            "worker-%d died (exit code %s); another one takes its place in %g seconds",
            index + 1,
            worker.inner.exitcode,
            pause,
        )

    def _replace(self, index: int, spawn_target: Any, target_loader: Any) -> None:
        """Start a worker in the place of one that has died; if that fails, try again later."""
        worker = self._spawn_worker(idx=index, target=spawn_target, callback_loader=target_loader)
        try:
            worker.start()
        except OSError as error:  # there is no memory, or there are too many processes
            logger.error("worker-%d can't be started: %s", index + 1, error)
            self._due[index] = monotonic() + MAX_PAUSE
        else:
            self.wrks[index] = worker
            del self._due[index]

    def _patience(self) -> float | None:
        """Return for how many seconds there is nothing to do unless something happens."""
        return max(min(self._due.values()) - monotonic(), 0) if self._due else None
