"""Benchmarks of leads-service alone: with many leads, its start, its memory over time."""

import itertools
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from contenders import OURS, SERVE, ours
from data import fill, leads, rfc3339
from measure import list_load

ONE_USER = 1_000_000  # leads of one user at most
ALONE = replace(OURS, command=(*SERVE, "1"))

# Values of each filter that match all leads, half of them, only the oldest or the rarest score, and
# none.
VALUES: dict[str, tuple[str | int, ...]] = {
    "status": ("new", "contacted", "lost", "converted"),
    "company_id": (1, 2, 3, 999),
    "min_score": (0, 11, 31, 90),
    "max_score": (100, 10, 0, 55),
    "created_after": ("2000-01-01", "2025-01-02", "2099-01-01"),
    "created_before": ("2099-01-01", "2025-01-01", "2000-01-01"),
}


@dataclass(frozen=True)
class Scale:
    """The size of a run.

    Attributes:
        few: The number of leads in the small database.
        many: The number of leads in the large database.
        samples: How many requests a median is taken of.
        seconds: For how long a worker is asked for lists before its memory is measured again.
        starts: How many starts of the server the median is taken of.
    """

    few: int
    many: int
    samples: int
    seconds: int
    starts: int


def grow(scale: Scale, folder: Path) -> Iterator[tuple[str, str]]:
    """Run the benchmarks, and yield the name and the result of each."""
    counts = (scale.few, scale.many)
    tokens = [_prepare(folder / str(count), count) for count in counts]
    clients = []
    with ExitStack() as stack:
        for count, token in zip(counts, tokens, strict=True):
            base, _ = stack.enter_context(ALONE.running(folder / str(count)))
            ALONE.await_page(base, token)
            clients.append(_Client(base, token))
        # By turns, so that what else the machine does befalls both alike.
        taken = [[client.get("")[1] for client in clients] for _ in range(scale.samples)]
        own = min(scale.many, ONE_USER)
        slowest, query, tried = _slowest(clients[-1], own, scale.samples)
    latencies = [statistics.median(times) for times in zip(*taken, strict=True)]
    for count, latency in zip(counts, latencies, strict=True):
        yield f"a page, one after the other, {count:,} leads in the file", _ms(latency)
    yield "the same, ratio", f"{latencies[1] / latencies[0]:.2f}"
    yield (
        f"the slowest of {tried} pages with one or two filters, {own:,} leads of one user: "
        f"`{query}`, ratio to the page without filters",
        f"{slowest:.2f}",
    )
    yield from _one_worker(scale, folder / str(scale.few))


def _prepare(folder: Path, count: int) -> str:
    folder.mkdir()
    ours("db migrate", folder)
    ours("user add bench", folder)
    users = max(1, count // ONE_USER)
    rows = leads(count, lambda number: (number - 1) * users // count + 1)
    fill(folder / "bench.db", "leads_lead", rows, rfc3339)
    return ours("token create bench", folder)


class _Client:
    """An HTTP client with one persistent connection."""

    def __init__(self, base: str, token: str):
        self._connection = HTTPConnection(base.removeprefix("http://"))
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, query: str) -> tuple[int, float]:
        """Request a page; return the status and the time in seconds."""
        began = time.perf_counter()
        self._connection.request("GET", f"{OURS.path}?{query}", headers=self._headers)
        response = self._connection.getresponse()
        json.loads(response.read() or b"null")
        return response.status, time.perf_counter() - began

    def median(self, query: str, samples: int) -> float:
        """Return the median time of a page in seconds."""
        return statistics.median(self.get(query)[1] for _ in range(samples))


def _slowest(client: _Client, own: int, samples: int) -> tuple[float, str, int]:
    """Find the slowest page with filters, in two rounds: all roughly, the slowest five precisely.

    Returns:
        The ratio of its time to the unfiltered page's, its query, and how many were tried.
    """
    pages = [query for query in _queries(own) if client.get(query)[0] == 200]
    roughly = sorted(pages, key=lambda query: client.median(query, max(3, samples // 30)))
    plain = client.median("", samples)
    worst = max(roughly[-5:], key=lambda query: client.median(query, samples))
    return client.median(worst, samples) / plain, worst, len(pages)


def _queries(own: int) -> Iterator[str]:
    """Yield every filter and pair of filters, for the first page and for a deep one."""
    for filters in one_or_two(VALUES):
        for cursor in ({}, {"cursor": own // 50}):
            yield urlencode([*filters, *cursor.items()])


def one_or_two(values: Mapping[str, Iterable[Any]]) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Yield every filter and every pair of filters, each with every one of its values."""
    single = [(name, value) for name, some in values.items() for value in some]
    yield from ((one,) for one in single)
    yield from (pair for pair in itertools.combinations(single, 2) if pair[0][0] != pair[1][0])


def _one_worker(scale: Scale, folder: Path) -> Iterator[tuple[str, str]]:
    token = ours("token create bench", folder)
    starts = []
    for _ in range(scale.starts):
        began = time.perf_counter()
        with OURS.running(folder) as (base, _):
            OURS.await_page(base, token, pause=0.005)
            starts.append(time.perf_counter() - began)
    yield "from `serve --workers 2` to the first answer", f"{statistics.median(starts):.2f} s"
    with ALONE.running(folder) as (base, process):
        ALONE.await_page(base, token)
        worker = Path(f"/proc/{process}/task/{process}/children").read_text().split()[0]
        before = _memory(worker)
        count = list_load(ALONE, [base], token, scale.seconds).requests
        yield "memory of a worker after the first request", before
        yield f"memory of a worker after {count:,} requests", _memory(worker)


def _memory(process: str) -> str:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return f"{kilobytes / 1024:.1f} MiB"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
