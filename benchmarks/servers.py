"""A server under test: how it is started, asked and stopped."""

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

PEERS = Path(__file__).parent / "peers"
START_STOP_TIMEOUT = 10  # seconds for a server to start or stop
NOTES = "Met at the fair, asked for an offer soon"

Prepare = Callable[[Path, int], str]


class BenchError(Exception):
    """A server does not do what it should; the message says which one and what."""


@dataclass(frozen=True, eq=False)
class Server:
    """A server, its command with ``{port}`` and ``{folder}`` in it, and what it speaks like."""

    name: str
    title: str
    disk: str  # whether an answer to a create waits for it
    prepare: Prepare  # fills a folder with so many leads and returns the token
    command: tuple[str, ...]
    path: str = "/leads"
    listed: str | None = "data"  # where in a page the leads are
    beside: frozenset[str] = frozenset()  # what it adds to each lead and can't be told to leave
    created: int = 201
    body: dict[str, Any] = field(default_factory=lambda: {"company_id": 42, "notes": NOTES})

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[str, int]]:
        """Start the server, yield its address and process id, and stop it and its children."""
        port = free_port()
        command = [part.format(port=port, folder=folder) for part in self.command]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(
            command, cwd=PEERS, env=environment(folder), start_new_session=True, **quiet
        )
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            stop(process)

    def page(self, base: str, token: str) -> list[dict[str, Any]]:
        """Return the first page; raises BenchError unless it is leads with our eight fields."""
        request = Request(base + self.path, headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=START_STOP_TIMEOUT) as response:
            page = json.load(response)
        found: list[dict[str, Any]] = page[self.listed] if self.listed else page
        for lead in found:
            if lead.keys() - self.beside != set(Lead._fields):
                raise BenchError(f"{self.title}: the fields are {sorted(lead)}")
        return [{name: lead[name] for name in Lead._fields} for lead in found]

    def await_page(self, base: str, token: str, pause: float = 0.05) -> list[dict[str, Any]]:
        """Return the first page as soon as the server answers; raises BenchError if it never."""
        deadline = time.monotonic() + START_STOP_TIMEOUT
        while True:
            try:
                return self.page(base, token)
            except OSError as error:  # refused, or an answer that is an error
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.title} does not answer: {error}") from error
                time.sleep(pause)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(START_STOP_TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that tell a server of ours or a peer where the data is."""
    file = folder / "bench.db"
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "LEADS_"}
    ours = {"LEADS_DATABASE": f"sqlite:///{file}", "LEADS_LOG_LEVEL": "info"}
    return inherited | ours | {"BENCH_DATABASE": str(file), "PYTHONDONTWRITEBYTECODE": "1"}
