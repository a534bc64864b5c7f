"""The worker processes of the server: initialization after the fork, signals, logging."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

from leads_service.exceptions import StorageError
from leads_service.storage.base import Storage

PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html


def register_fork_hook(storage: Storage) -> None:
    """Initialize each worker that is forked from now on.

    Args:
        storage: The storage that the workers use. It must have no open connection: SQLite's
            connections must not be used after a fork.
    """
    parent = os.getpid()

    def initialize_worker() -> None:
        _reset_signals()
        _exit_with_parent(parent)
        # Open the file, so that `restore` sees it in use even before the first request.
        with suppress(StorageError):  # each request connects again
            storage.check_health()

    os.register_at_fork(after_in_child=initialize_worker)


def _reset_signals() -> None:
    """Make SIGTERM end a worker that does not serve yet, and block SIGINT.

    Workers inherit the main process's signal handlers, which have no effect in them, until Granian
    installs its own. A SIGTERM in between was lost, and the server hung. It also hung when a
    terminal's Ctrl-C sent SIGINT to a worker in addition to the main process's SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_with_parent(parent: int) -> None:
    """Make the kernel send SIGTERM to this worker when the main process dies (Linux only).

    Otherwise workers would keep serving after the main process was killed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before prctl()
            os.kill(os.getpid(), signal.SIGTERM)
