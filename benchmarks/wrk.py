"""The load generator: wrk, with the script wrk.lua."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from data import OTHERS
from environment import HERE
from servers import BenchError

CONNECTIONS = 16
TIMEOUT = 10  # seconds; an answer that takes longer has failed
MISSING = "wrk is missing: apt install wrk, brew install wrk, or https://github.com/wg/wrk"

_firsts = count(0, 10**7)  # so that no two measurements use the same number


class Requests(NamedTuple):
    """The requests of a measurement.

    Attributes:
        method: The HTTP method.
        path: The path; of an update with ``%d`` or the like for the id of the lead.
        status: The status that every answer must have.
        text: What every answer must contain.
        body: With ``{number}``, and ``{status}``, for which each request has another value.
        leads: The ids of updates are from 1 to this.
    """

    method: str
    path: str
    status: int
    text: str
    body: str = ""
    leads: int = 1


@dataclass(frozen=True)
class Load:
    """What came of a measurement.

    Attributes:
        requests: How many were answered.
        seconds: How long it took.
        median: The median response time in milliseconds.
        p99: The 99th percentile of the response times in milliseconds.
        failed: How many had no answer, or another one than they must have.
    """

    requests: int
    seconds: float
    median: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def version() -> str:
    """Return wrk's version.

    Raises:
        BenchError: There is no wrk.
    """
    if not shutil.which("wrk"):
        raise BenchError(MISSING)
    # It exits with 1, as with any call that lacks a URL.
    output = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout  # noqa: S607  # wherever it is
    return output.split()[1]


def load(
    bases: list[str],
    token: str,
    requests: Requests,
    seconds: int,
    connections: int = CONNECTIONS,
) -> Load:
    """Send requests over some connections for some time.

    Args:
        bases: The URLs of the instances, each of which gets an equal part of the connections.
        token: The bearer token.
        requests: The requests.
        seconds: For how long.
        connections: How many, each with one request at a time.

    Raises:
        BenchError: wrk failed.
    """
    values = requests._asdict() | {
        "token": token,
        "ports": " ".join(base.rpartition(":")[2] for base in bases),
        "threads": len(bases),
        "first": next(_firsts),
        "others": OTHERS,
    }
    environment = {f"BENCH_{name.upper()}": str(value) for name, value in values.items()}
    result = subprocess.run(
        [
            *("wrk", f"-t{len(bases)}", f"-c{connections}", f"-d{seconds}", f"--timeout={TIMEOUT}"),
            *("--script", str(HERE / "wrk.lua"), bases[0]),
        ],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if result.returncode:
        raise BenchError(f"wrk failed: {result.stderr}")
    found = Load(**json.loads(result.stdout.splitlines()[-1]))
    if found.failed:
        print(f"{found.failed} requests failed, such as: {result.stderr}", file=sys.stderr)
    return found
