"""A server under test: how it is started, requested and stopped."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from data import Lead
from engines import SQLITE, Engine

PEERS = Path(__file__).parent / "peers"
START_STOP_TIMEOUT = 10  # seconds for a server to start or stop
NOTES = "Met at the fair, asked for an offer soon"

Prepare = Callable[[Path, int], str]


class BenchError(Exception):
    """A server does not work as expected; the message names the server and the problem."""


@dataclass(frozen=True, eq=False)
class Server:
    """A server under test.

    Attributes:
        name: The name of its folder.
        title: Its name in the report.
        disk: ``waits`` if a create is acknowledged only when it is durable, or ``does not wait``.
        prepare: Fills a folder with this many leads, and returns a token.
        command: Its command line, with the placeholders ``{port}`` and ``{folder}``.
        path: The path of the list.
        listed: The member of a page that holds the leads; None if the page is the list itself.
        extra_fields: Further fields of a lead, which can't be turned off.
        created: The status of a successful create.
        body: The body of a create.
        engine: The engine of its database.
        instances: How many of it share the database, and the requests by turns.
    """

    name: str
    title: str
    disk: str
    prepare: Prepare
    command: tuple[str, ...]
    path: str = "/leads"
    listed: str | None = "data"  # where in a page the leads are
    created: int = 201
    body: dict[str, Any] = field(default_factory=lambda: {"company_id": 42, "notes": NOTES})
    engine: Engine = SQLITE
    instances: int = 1

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[str, int]]:
        """Run one instance during the block.

        Yields:
            Its URL and process id.
        """
        port = free_port()
        command = [part.format(port=port, folder=folder) for part in self.command]
        process = subprocess.Popen(
            command,
            cwd=PEERS,
            env=environment(self.engine.url(folder)),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            stop(process)

    def page(self, base: str, token: str) -> list[dict[str, Any]]:
        """Return the leads of the first page.

        Raises:
            BenchError: A lead lacks a field of ``data.Lead``.
            OSError: The server does not respond, or with an error.
        """
        request = Request(base + self.path, headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=START_STOP_TIMEOUT) as response:
            page = json.load(response)
        found: list[dict[str, Any]] = page[self.listed] if self.listed else page
        for lead in found:
            if not lead.keys() >= set(Lead._fields):
                raise BenchError(f"{self.title}: the fields are {sorted(lead)}")
        return [{name: lead[name] for name in Lead._fields} for lead in found]

    def await_page(self, base: str, token: str, pause: float = 0.05) -> list[dict[str, Any]]:
        """Return the leads of the first page as soon as the server responds.

        Args:
            base: The server's URL.
            token: The bearer token.
            pause: The time between two attempts in seconds.

        Raises:
            BenchError: It has not responded within ``START_STOP_TIMEOUT``.
        """
        deadline = time.monotonic() + START_STOP_TIMEOUT
        while True:
            try:
                return self.page(base, token)
            except OSError as error:  # the connection was refused, or the response is an error
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.title} does not answer: {error}") from error
                time.sleep(pause)  # nothing tells when a server listens


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process and all processes of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(START_STOP_TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(url: str) -> dict[str, str]:
    """Return the environment of a server, with the URL of its database."""
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "LEADS_"}
    ours = {"LEADS_DATABASE": url, "LEADS_LOG_LEVEL": "info"}
    return inherited | ours | {"BENCH_DATABASE": url, "PYTHONDONTWRITEBYTECODE": "1"}
