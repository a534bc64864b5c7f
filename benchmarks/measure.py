"""What is measured of every server: requests with many connections, by k9."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import BIN
from servers import BenchError, Server

CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """What k9 found: requests a second, milliseconds, and answers with another status."""

    rate: float
    median: float
    p99: float
    failed: int


@dataclass(frozen=True)
class Figures:
    """What was found of one server."""

    list: Load
    create: Load


def list_load(server: Server, base: str, token: str, **limits: Any) -> Load:
    """Ask for the first page, again and again."""
    return _load({"method": "GET", "url": base + server.path}, token, 200, **limits)


def create_load(server: Server, base: str, token: str, **limits: Any) -> Load:
    """Create one lead after the other."""
    url = base + server.path.partition("?")[0]
    request = {"method": "POST", "url": url, "body": json.dumps(server.body)}
    return _load(request, token, server.created, **limits)


def _load(request: dict[str, Any], token: str, status: int, **limits: Any) -> Load:
    """Send a request over all connections at once, within k6's ``limits``."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    step = request | {"headers": headers, "checks": {"status": {"status": status}}}
    options = {"vus": CONNECTIONS, "discardResponseBodies": True, **limits}
    with tempfile.TemporaryDirectory() as folder:
        plan, summary = Path(folder, "plan.json"), Path(folder, "summary.json")
        plan.write_text(json.dumps({"options": options, "flows": {"default": [{"request": step}]}}))
        arguments = ["--quiet", "--summary-export", str(summary), "--export-all-trend-stats"]
        result = subprocess.run(
            [str(BIN / "k9"), "run", str(plan), *arguments],
            check=False,
            capture_output=True,
            text=True,
            # One thread is enough, and leaves more of the machine to the server.
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
    """Start the server, keep its first page, warm it up, measure it and stop it."""
    with server.running(folder) as (base, _):
        page = server.await_page(base, token)
        list_load(server, base, token, duration=f"{seconds / 5}s")
        duration = f"{seconds}s"
        listed = list_load(server, base, token, duration=duration)
        created = create_load(server, base, token, duration=duration)
    return page, Figures(listed, created)


def medians(rounds: list[Figures]) -> Figures:
    """Return the median of each figure, and all failures."""
    return Figures(_median([r.list for r in rounds]), _median([r.create for r in rounds]))


def _median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.median for load in loads),
        statistics.median(load.p99 for load in loads),
        sum(load.failed for load in loads),
    )
