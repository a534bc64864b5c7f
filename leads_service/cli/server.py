"""The command ``serve``."""

import os
import resource
import socket
import sys
from contextlib import suppress
from shlex import quote

import click
from flask.cli import with_appcontext

from leads_service.cli.base import ready_state
from leads_service.cli.workers import available_processors, register_fork_hook
from leads_service.config import THREADS
from leads_service.exceptions import StorageError
from leads_service.extras import import_extra
from leads_service.state import AppState

APPLICATION = "leads_service.app:application"
MAX_DEFAULT_WORKERS = 4
STOP_TIMEOUT = 8  # seconds that a worker has to finish requests in flight after a stop signal
MAX_CONNECTIONS = 4096  # of all workers together; further ones wait in the backlog
RESERVED_FILES = 256  # file descriptors of a worker for the database, pipes and so on
UNLIMITED = resource.RLIM_INFINITY


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The port."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(len(available_processors()) or os.cpu_count() or 1, MAX_DEFAULT_WORKERS),
    show_default="one per processor, 4 at most",
    help="How many processes answer.",
)
@click.option(
    "--idle-timeout",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    help="Seconds after which a connection without a (whole) request is closed.",
)
@click.option(
    "--first-user", metavar="NAME", help="Add this user, and print a token, if there is no user."
)
@with_appcontext
def serve(host: str, port: int, workers: int, idle_timeout: int, first_user: str | None) -> None:
    """Serve the leads until interrupted.

    \b
    Example:  leads-service serve --host 0.0.0.0 --port 8000 --workers 2
    """
    supervisor = import_extra("leads_service.cli.supervisor", "server")
    state = ready_state(creates=True)
    address = _listening_address(host, port)
    base = f"http://{_client_host(host)}:{port}"
    click.echo(f"Leads API on {base}/v1/leads, documented on {base}/docs, board on {base}/board")
    if first_user is not None:
        click.echo(_first_user_message(state, first_user, base))
    state.storage.dispose()  # a connection must not be carried across a fork
    register_fork_hook(state.storage, STOP_TIMEOUT)
    server = supervisor.Supervisor(
        APPLICATION,
        address=address,
        port=port,
        workers=workers,
        blocking_threads=THREADS,
        workers_kill_timeout=STOP_TIMEOUT,
        backpressure=_max_connections(workers),
        idle_timeout=idle_timeout,
    )
    try:
        server.serve()
    finally:
        # Workers exit without closing their connections. Closing the last connection checkpoints
        # and deletes the WAL, so that the file alone is the whole database.
        with suppress(StorageError), state.storage.opened():
            state.storage.check_health()


def _listening_address(host: str, port: int) -> str:
    """Return the numeric address of ``host``, after a check that the port is free.

    The server's sockets share their port, so it would start beside another server unnoticed.

    Raises:
        ClickException: The name can't be resolved, or the port can't be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise click.ClickException(
            f"cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}); "
            "choose others with --host and --port (make run HOST=... PORT=...)"
        ) from error
    return str(address[0])


def _max_connections(workers: int) -> int:
    """Return how many connections a worker may hold, and raise its limit of open files to fit.

    A worker without a free file descriptor would retry to accept a connection in a busy loop.
    """
    files = MAX_CONNECTIONS // workers + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if UNLIMITED != soft < files:
        with suppress(OSError, ValueError):  # not permitted: hold fewer connections
            soft = files if hard == UNLIMITED else min(files, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max((files if soft == UNLIMITED else min(files, soft)) - RESERVED_FILES, 1)


def _client_host(host: str) -> str:
    """Return the host part of a URL under which this machine reaches the server."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 # nosec B104  # compared, not bound
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"  # noqa: S104 # nosec B104  # the same
    return f"[{host}]" if ":" in host else host


def _first_user_message(state: AppState, name: str, base: str) -> str:
    """Add the first user and return a curl command with a new token.

    It begins with an address that signs a browser in: what stands behind # is not sent to a server.
    If there are users already, return how to create a token instead.
    """
    accounts = state.accounts
    if users := accounts.users():
        # The path as it was called: .venv/bin may not be on the PATH.
        program = sys.argv[0] if sys.argv[0].endswith("leads-service") else "leads-service"
        return f"For a token: {program} token create {quote(users[0]['name'])}"
    accounts.add_user(name)
    token = accounts.create_token(name, label="first")
    return (
        f"Added the user {name}, whose token is shown this once. The board, signed in:\n\n"
        f"{base}/board#token={token}\n\n"
        f"Or create a lead with this line:\n\n"
        f"curl {base}/v1/leads -H 'Authorization: Bearer {token}' "
        "-H 'Content-Type: application/json' -d '{\"company_id\": 42}'\n"
    )
