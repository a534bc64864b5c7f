"""The results as Markdown and as an SVG chart."""

import os
import platform
import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median

from contenders import OURS
from engines import POSTGRESQL, SQLITE, Engine
from environment import versions
from measure import Figures
from servers import Server

METHOD = """\
Each server ran alone, for each round anew, with the same leads in it ({count:,} in all, of two
users), and gave the same page: 50 leads of the caller's, newest first. k9 sent the requests over
16 connections from the same machine, and so took its share of the processors. Ratios are
leads-service's (first row) requests a second to the other's: above 1, leads-service is faster.
"Waits" says whether a create is answered only when it is on the disk; an `fsync` took
{flush:.2f} ms here. The logs, a line per request, went to `/dev/null`.
"""
NOTES = {
    SQLITE: """\
- leads-service keeps eight indexes for its filters; the others, but for the limit, have the one
  that this list needs.
- The limit knows neither tokens nor wrong requests: the same SQL on the same tables, no more.
- The naive one, SQLModel and Django use SQLite as they do by default: a rollback journal that
  is flushed at each commit. WAL mode, which one has to ask for, was not tried with them.
- Django runs with persistent connections, two threads per worker and two middlewares only, all in
  its favour. PocketBase is told status and score by the client, writes its log to a second
  SQLite file and does not wait for the disk.
""",
    POSTGRESQL: """\
- All use one PostgreSQL server on the same machine, over TCP, with `fsync` and `synchronous_commit`
  on and all else as it is by default; each has a database of its own on it, with fresh statistics.
- Each has two workers. Of leads-service, the first row has them in one instance, the second in two
  on the same database: the ratio there is what a second instance costs. Its requests go to both by
  turns.
- leads-service keeps nine indexes; the others have their primary key and the one that this list
  needs.
- SQLModel and asyncpg have a pool of 16 connections in each worker, one for each client: no request
  waits for a connection, and none opens one. uvicorn runs with uvloop and httptools.
- asyncpg's pool resets a connection with every request, as it does by default: a round trip more.
- Django runs with persistent connections, two threads per worker and two middlewares only.
""",
}
BAR, LEFT, WIDTH = 22, 270, 760


def table(results: dict[Server, Figures]) -> str:
    """Return the comparison of the servers as a Markdown table."""
    lines = [
        "| server | list, req/s | ratio | median, ms | p99, ms "
        "| create, req/s | ratio | median, ms | p99, ms | waits | failed |",
        "|---|" + "--:|" * 8 + "---|--:|",
    ]
    best = next(iter(results.values()))
    for server, figures in results.items():
        cells = [server.title]
        for mine, own in ((figures.list, best.list), (figures.create, best.create)):
            ratio = own.rate / mine.rate
            cells += [f"{mine.rate:,.0f}", f"{ratio:.2f}", f"{mine.median:.2f}", f"{mine.p99:.2f}"]
        failed = figures.list.failed + figures.create.failed
        cells += [{"waits": "yes", "does not wait": "no"}[server.disk], str(failed)]
        lines.append("| " + " | ".join(cells) + " |")
    spread = best.create.p99 / best.create.median
    lines += ["", f"Creates of leads-service: the p99 is {spread:.1f} times the median."]
    return "\n".join(lines)


def growth_table(rows: list[tuple[str, str]]) -> str:
    """Return the results of leads-service alone as a Markdown table."""
    return "\n".join(
        ["| leads-service alone | |", "|---|--:|", *(f"| {a} | {b} |" for a, b in rows)]
    )


def machine() -> str:
    """Return the date, the machine and the versions of the software."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {python}, SQLite {sqlite}; {packages}."
    )


def markdown(
    results: dict[Engine, dict[Server, Figures]], rows: list[tuple[str, str]], count: int
) -> str:
    """Return the whole report."""
    parts = ["# Benchmarks", machine(), METHOD.format(count=count, flush=_flush() * 1000)]
    for engine, figures in results.items():
        parts += [f"## {engine.name}", table(figures), f"![]({engine.chart})", NOTES[engine]]
    if rows:
        parts += ["## leads-service alone, on SQLite", growth_table(rows)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def chart(results: dict[Server, Figures]) -> str:
    """Return an SVG bar chart of the requests per second."""
    lists = {server: figures.list.rate for server, figures in results.items()}
    creates = {server: figures.create.rate for server, figures in results.items()}
    height = 2 * (len(results) * BAR + 50)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *_bars("Pages of 50 leads, requests per second", lists, 0),
            *_bars("Leads created, requests per second", creates, height // 2),
            "</svg>\n",
        ]
    )


def _bars(title: str, rates: dict[Server, float], top: int) -> list[str]:
    lines = [f'<text x="10" y="{top + 25}" font-weight="bold">{escape(title)}</text>']
    for row, (server, rate) in enumerate(rates.items()):
        y = top + 36 + row * BAR
        width = (WIDTH - LEFT - 70) * rate / max(rates.values())
        colour = "#2563eb" if server.title.startswith(OURS.title) else "#94a3b8"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(server.title)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 5}" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 13}">{rate:,.0f}</text>',
        ]
    return lines


def _flush() -> float:
    """Return the median time in seconds of an fsync of 4 KiB in the folder for temporary files."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            os.write(file.fileno(), bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times)
