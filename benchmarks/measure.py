"""The benchmark of every server: lists and creates over many connections, by k9."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import BIN
from servers import BenchError, Server

CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """A measurement by k9.

    Attributes:
        rate: Requests per second.
        median: The median response time in milliseconds.
        p99: The 99th percentile of the response times in milliseconds.
        failed: The number of responses with an unexpected status.
    """

    rate: float
    median: float
    p99: float
    failed: int


@dataclass(frozen=True)
class Figures:
    """The measurements of one server."""

    list: Load
    create: Load


def list_load(server: Server, bases: list[str], token: str, **limits: Any) -> Load:
    """Request the first page of each instance in turn, within k6's ``limits``."""
    requests = [{"method": "GET", "url": base + server.path} for base in bases]
    return _load(requests, token, 200, **limits)


def create_load(server: Server, bases: list[str], token: str, **limits: Any) -> Load:
    """Create leads by each instance in turn, within k6's ``limits``."""
    path, body = server.path.partition("?")[0], json.dumps(server.body)
    requests = [{"method": "POST", "url": base + path, "body": body} for base in bases]
    return _load(requests, token, server.created, **limits)


def _load(requests: list[dict[str, Any]], token: str, status: int, **limits: Any) -> Load:
    """Send requests in turn by each of ``CONNECTIONS`` clients, within k6's ``limits``.

    Raises:
        BenchError: k9 failed.
    """
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    more = {"headers": headers, "checks": {"status": {"status": status}}}
    steps = [{"request": request | more} for request in requests]
    options = {"vus": CONNECTIONS, "discardResponseBodies": True, **limits}
    with tempfile.TemporaryDirectory() as folder:
        plan, summary = Path(folder, "plan.json"), Path(folder, "summary.json")
        plan.write_text(json.dumps({"options": options, "flows": {"default": steps}}))
        arguments = ["--quiet", "--summary-export", str(summary), "--export-all-trend-stats"]
        result = subprocess.run(
            [str(BIN / "k9"), "run", str(plan), *arguments],
            check=False,
            capture_output=True,
            text=True,
            # One thread is enough, and leaves more processor time to the server.
            env=os.environ | {"TOKIO_WORKER_THREADS": "1"},
        )
        if result.returncode:
            raise BenchError(f"k9 failed: {result.stderr}")
        metrics = json.loads(summary.read_text())["metrics"]
    times = metrics["http_req_duration"]
    failed = int(metrics["checks"]["fails"])
    if failed:
        print(f"{failed} answers were not {status}: {result.stderr}", file=sys.stderr)
    return Load(metrics["http_reqs"]["rate"], times["med"], times["p(99)"], failed)


def one_round(
    server: Server, folder: Path, token: str, seconds: float
) -> tuple[list[dict[str, Any]], Figures]:
    """Start the server's instances, warm them up, measure them and stop them.

    Args:
        server: The server.
        folder: Its folder, prepared.
        token: The bearer token.
        seconds: For how long to measure lists, and then creates.

    Returns:
        The first page, and the measurements.
    """
    with ExitStack() as stack:
        instances = range(server.instances)
        bases = [stack.enter_context(server.running(folder))[0] for _ in instances]
        *_, page = (server.await_page(base, token) for base in bases)
        list_load(server, bases, token, duration=f"{seconds / 5}s")
        duration = f"{seconds}s"
        listed = list_load(server, bases, token, duration=duration)
        created = create_load(server, bases, token, duration=duration)
    return page, Figures(listed, created)


def medians(rounds: list[Figures]) -> Figures:
    """Return the median of each measurement, and the total of the failures."""
    return Figures(_median([r.list for r in rounds]), _median([r.create for r in rounds]))


def _median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.median for load in loads),
        statistics.median(load.p99 for load in loads),
        sum(load.failed for load in loads),
    )
