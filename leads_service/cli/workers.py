"""What is the same in all workers of the server: their beginning, their end, what they say."""

import ctypes
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from leads_service.exceptions import StorageError
from leads_service.storage.base import Storage

PR_SET_PDEATHSIG = 1  # PR_SET_PDEATHSIG in linux/prctl.h
IGNORED_MESSAGES = (
    "Configuration allows spawning",  # that many threads, which is meant
    "Unexpected exit from worker",  # of which the supervisor says more
)


class IgnoreMessages(logging.Filter):
    """Lets through what somebody can do something about."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether it is worth a line."""
        return not record.getMessage().startswith(IGNORED_MESSAGES)


LOGGING: dict[str, Any] = {
    "filters": {"noise": {"()": IgnoreMessages}},
    "handlers": {"json": {"class": "leads_service.logging.JsonHandler", "filters": ["noise"]}},
    "loggers": {"_granian": {"handlers": ["json"], "propagate": False}},
}


def register_fork_hook(storage: Storage) -> None:
    """See to it that each worker that is forked from now on begins and ends as it should."""
    parent = os.getpid()

    def initialize_worker() -> None:
        _reset_signals()
        _exit_with_parent(parent)
        # It leaves the file open, so that it is in use while there are workers.
        with suppress(StorageError):  # each request tries again
            storage.check_health()

    os.register_at_fork(after_in_child=initialize_worker)


def _reset_signals() -> None:
    """Let a worker that does not serve yet end when it is told to, by the main process alone.

    Granian's workers inherit the handlers of the process that forks them, which do nothing in
    them, until they have their own: a stop that came in between was lost, and the server hung.
    It hung as well when a terminal's Ctrl-C reached a worker beside the main process's SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_with_parent(parent: int) -> None:
    """Let a worker end when the main process is killed, instead of serving on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed a moment ago
            os.kill(os.getpid(), signal.SIGTERM)
