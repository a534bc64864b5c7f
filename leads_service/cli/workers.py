"""The worker processes of the server: initialization after the fork, signals, logging."""

import os
import signal
import threading
from contextlib import suppress

from leads_service.exceptions import StorageError
from leads_service.storage.base import Storage


def available_processors() -> list[int]:
    """Return the processors that this process may use; none where the system does not say so."""
    get_affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return sorted(get_affinity(0)) if get_affinity else []


def register_fork_hook(storage: Storage, stop_timeout: int) -> None:
    """Initialize each worker that is forked from now on.

    Args:
        storage: The storage that the workers use. It must have no open connection: SQLite's
            connections must not be used after a fork.
        stop_timeout: Seconds that a worker has for its requests once the main process is dead.
    """
    # Only the main process has the second end open, and reading from the first waits for its end.
    read_end, write_end = os.pipe()

    def initialize_worker() -> None:
        os.close(write_end)
        _reset_signals()
        schedule_in_batches()
        arguments = (read_end, threading.get_ident(), stop_timeout)
        threading.Thread(target=_exit_at_eof, args=arguments, daemon=True).start()
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


def schedule_in_batches() -> None:
    """Let a thread of this worker run on when it wakes another one, where the system can do so.

    Otherwise each request interrupts the thread that has read it, or the one that answers another
    ("batch scheduling" in ``benchmarks/pieces.py``). The threads started later inherit the policy:
    https://man7.org/linux/man-pages/man7/sched.7.html. One that somebody has chosen stays.
    """
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _exit_at_eof(pipe: int, main_thread: int, stop_timeout: int) -> None:
    """Stop this worker when the main process was killed, as that would have stopped it.

    Otherwise workers would keep serving.
    """
    os.read(pipe, 1)
    # What the main process does is to kill a worker that does not end: one that just begins to
    # serve may miss SIGTERM. Nobody handles SIGALRM, so that the kernel ends the process.
    signal.alarm(stop_timeout)
    signal.pthread_kill(main_thread, signal.SIGTERM)
