"""A server under test: how it is started, requested and stopped."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

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
        waits: Whether a write is acknowledged only when it is on the disk.
        prepare: Fills a folder with this many leads, and returns a token.
        command: Its command line, with the placeholders ``{port}`` and ``{folder}``.
        path: The path of the list; without its query, of creates.
        lead: The path of a lead, with a placeholder for its id.
        listed: The member of a page that holds the leads; None if the page is the list itself.
        created: The status of a successful create.
        required: What a create has to say beside the company and the notes.
        engine: The engine of its database.
        instances: How many of it share the database, each with its part of the connections.
    """

    name: str
    title: str
    waits: bool
    prepare: Prepare
    command: tuple[str, ...]
    path: str = "/leads"
    lead: str = "/leads/%d"
    listed: str | None = "data"
    created: int = 201
    required: Mapping[str, Any] = field(default_factory=dict)
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

    @property
    def is_subject(self) -> bool:
        """Whether it is the one that the others are compared with."""
        return self.name == "leads"

    @property
    def collection(self) -> str:
        """The path of creates."""
        return self.path.partition("?")[0]

    @property
    def create(self) -> str:
        """The body of creates, with a placeholder for the number."""
        return json.dumps({"company_id": 42, "notes": NOTES + " {number}", **self.required})

    @property
    def update(self) -> str:
        """The body of updates, with placeholders for the status and the number."""
        return json.dumps({"status": "{status}", "notes": NOTES + " {number}"})

    def ask(self, url: str, token: str, method: str = "GET", body: str = "") -> tuple[int, str]:
        """Send one request; return the status and the body of the response.

        Raises:
            OSError: The server does not respond.
        """
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = Request(url, body.encode() or None, headers, method=method)
        try:
            with urlopen(request, timeout=START_STOP_TIMEOUT) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, ""

    def text(self, base: str, token: str) -> str:
        """Return the first page as it is sent.

        Raises:
            OSError: The server does not respond, or with an error.
        """
        status, text = self.ask(base + self.path, token)
        if status != 200:
            raise ConnectionError(f"status {status}")
        return text

    def page(self, base: str, token: str) -> list[dict[str, Any]]:
        """Return the leads of the first page.

        Raises:
            OSError: The server does not respond, or with an error.
        """
        page = json.loads(self.text(base, token))
        found: list[dict[str, Any]] = page[self.listed] if self.listed else page
        return found

    def await_page(self, base: str, token: str, pause: float = 0.05) -> None:
        """Return when the server responds with a page.

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
                self.text(base, token)
            except OSError as error:  # the connection was refused, or the response is an error
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.title} does not answer: {error}") from error
                time.sleep(pause)  # nothing tells when a server listens
            else:
                return


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
