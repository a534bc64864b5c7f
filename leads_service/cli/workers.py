"""What is the same in all workers of the server: their beginning, their end, what they say."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

from leads_service.exceptions import StorageError
from leads_service.storage.base import Storage

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG in linux/prctl.h


def prepare(storage: Storage) -> None:
    """See to it that each worker that is forked from now on begins and ends as it should."""
    parent = os.getpid()

    def begin() -> None:
        _stop_when_told()
        _end_with(parent)
        # It leaves the file open, so that it is in use while there are workers.
        with suppress(StorageError):  # each request tries again
            storage.check_health()

    os.register_at_fork(after_in_child=begin)


def _stop_when_told() -> None:
    """Let a worker that does not serve yet end when it is told to, by the main process alone.

    Granian's workers inherit the handlers of the process that forks them, which do nothing in
    them, until they have their own: a stop that came in between was lost, and the server hung.
    It hung as well when a terminal's Ctrl-C reached a worker beside the main process's SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with(parent: int) -> None:
    """Let a worker end when the main process is killed, instead of serving on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed a moment ago
            os.kill(os.getpid(), signal.SIGTERM)
