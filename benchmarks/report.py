"""The results as Markdown and as an SVG chart."""

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median

import wrk
from contenders import OURS
from engines import POSTGRESQL, SQLITE, Engine
from environment import versions
from measure import BESIDE, CREATE, CREATING, LIST, UPDATE, Size
from servers import Server
from wrk import CONNECTIONS, TIMEOUT, Load

Results = dict[Server, Mapping[str, list[Load]]]  # by what was measured, the rounds

TITLES = {LIST: "Lists", CREATE: "Creates", UPDATE: "Updates"}
METHOD = """\
Each server ran alone, for each round anew, with the same leads in it ({leads:,} in all, of two
users). Before the first round each gave the same page, the 50 newest leads of the caller's, created
and updated a lead as the others do, showed it in the list, and refused to update somebody else's.

`wrk` {wrk} sent the requests over {connections} connections from the same machine, and so took its
share of the processors. Each answer was checked: a list had to be the same page, byte for byte; a
create or an update, each of which was sent with notes of its own, had to have its status and to
show the notes. An update sets status and notes of one lead after the other, all over the table.
"Failed" are all other answers, those after more than {timeout} s, and broken connections.

Figures are medians of {rounds} rounds of {seconds} s, after {warm_up} s of the same to warm up, and
beside them the lowest and the highest. All servers had one round before any had the next. wrk
corrects percentiles for coordinated omission: a slow answer also counts for the requests that it
held up. Ratios are leads-service's (first row) requests a second to the other's: above 1,
leads-service is faster. "Waits" says whether a write is answered only when it is on the disk; an
`fsync` took {flush:.2f} ms here. The logs, a line per request, went to `/dev/null`.
"""
NOTES = {
    SQLITE: """\
- leads-service keeps eight indexes for its filters; the others, but for the limit, have the one
  that this list needs. With an update it also computes the score and records the change of status;
  the others do not.
- "Not flushing" is leads-service without the flush at each commit, for a comparison with PocketBase
  as it is; the product has no such switch. "Told to flush" is PocketBase whose connection for
  writes was set to `synchronous=FULL` by a hook.
- The limit knows neither tokens nor wrong requests: the same SQL on the same tables, no more.
- The naive one, SQLModel and Django use SQLite as they do by default: a rollback journal that
  is flushed at each commit. WAL mode, which one has to ask for, was not tried with them.
- Django runs with persistent connections, two threads per worker and two middlewares only, all in
  its favour. PocketBase is told status and score by the client with a create, and writes its log to
  a second SQLite file.
""",
    POSTGRESQL: """\
- All use one PostgreSQL server on the same machine, over TCP, with `fsync` and `synchronous_commit`
  on and all else as it is by default; each has a database of its own on it, with fresh statistics.
- Each has two workers. Of leads-service, the first row has them in one instance, the second in two
  on the same database: the ratio there is what a second instance costs. Each has half of the
  connections.
- leads-service keeps nine indexes; the others have their primary key and the one that this list
  needs. With an update it also computes the score and records the change of status; the others do
  not.
- SQLModel and asyncpg have a pool of 16 connections in each worker, one for each client: no request
  waits for a connection, and none opens one. uvicorn runs with uvloop and httptools.
- asyncpg's pool resets a connection with every request, as it does by default: a round trip more.
- Django runs with persistent connections, two threads per worker and two middlewares only.
""",
}
WAITING_ALIKE = (("pocketbase", "unflushed"), ("pocketbase-flushed", "leads"))
BAR, LEFT, WIDTH = 22, 290, 800


def markdown(results: dict[Engine, Results], rows: list[tuple[str, str]], size: Size) -> str:
    """Return the whole report.

    Args:
        results: What was measured of the servers on each engine.
        rows: What was measured of leads-service alone.
        size: How much was measured.
    """
    method = METHOD.format(
        **vars(size),
        wrk=wrk.version(),
        connections=CONNECTIONS,
        timeout=TIMEOUT,
        flush=_flush() * 1000,
    )
    parts = ["# Benchmarks", machine(), method]
    for engine, found in results.items():
        parts += [f"## {engine.name}", f"![]({engine.chart})"]
        for what, title in TITLES.items():
            parts += [f"### {title}", table(found, what)]
        parts += ["### Remarks", "\n".join(_remarks(found)), NOTES[engine]]
    if rows:
        parts += ["## leads-service alone, on SQLite", growth_table(rows)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


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


def table(results: Results, what: str) -> str:
    """Return the comparison of the servers as a Markdown table."""
    lines = [
        "| server | req/s | min-max | ratio | median, ms | min-max | p99, ms | min-max "
        "| waits | failed |",
        "|---|" + "--:|" * 7 + "---|--:|",
    ]
    subject = _median(next(iter(results.values()))[what], "rate")
    for server, found in results.items():
        loads = found[what]
        cells = [server.title, *_with_spread(loads, "rate", ",.0f")]
        cells += [f"{subject / _median(loads, 'rate'):.2f}"]
        cells += _with_spread(loads, "median", ".2f") + _with_spread(loads, "p99", ".2f")
        cells += ["yes" if server.waits else "no", f"{sum(load.failed for load in loads):,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth_table(rows: list[tuple[str, str]]) -> str:
    """Return the results of leads-service alone as a Markdown table."""
    return "\n".join(
        ["| leads-service alone | |", "|---|--:|", *(f"| {a} | {b} |" for a, b in rows)]
    )


def _remarks(results: Results) -> Iterator[str]:
    """Yield, as a list, where others are ahead, and what the tables do not say of leads-service."""
    ours = next(iter(results.values()))
    others = [server for server in results if not server.title.startswith(OURS.title)]
    for what, title in TITLES.items():
        for server in others:
            faster = _median(results[server][what], "rate") / _median(ours[what], "rate")
            if faster > 1:
                why = "" if server.waits or what == LIST else "; it does not wait for the disk"
                yield f"- {title}: {server.title} is ahead, with {faster:.2f} times as many{why}."
            p99 = _median(results[server][what], "p99") / _median(ours[what], "p99")
            if p99 < 1:
                yield f"- {title}: the p99 of {server.title} is {p99:.2f} times leads-service's."
    yield from _like_for_like({server.name: server for server in results}, results)
    alone, beside = (_with_spread(ours[what], "p99", ".2f") for what in (LIST, BESIDE))
    ratio = _median(ours[BESIDE], "p99") / _median(ours[LIST], "p99")
    failed = sum(load.failed for load in ours[BESIDE])
    rate, _ = _with_spread(ours[BESIDE], "rate", ",.0f")
    yield (
        f"- Lists of leads-service while {CREATING} more connections create: {rate} a second, and "
        f"a p99 of {beside[0]} ms ({beside[1]}), which is {ratio:.2f} times the {alone[0]} ms "
        f"({alone[1]}) of lists alone; {failed} failed."
    )
    ratio = _median(ours[CREATE], "p99") / _median(ours[CREATE], "median")
    yield f"- Creates of leads-service: the p99 is {ratio:.1f} times the median."


def _like_for_like(servers: Mapping[str, Server], results: Results) -> Iterator[str]:
    """Yield PocketBase beside the leads-service that waits for the disk as it does."""
    for pair in WAITING_ALIKE:
        if servers.keys() >= set(pair):
            peer, ours = (servers[name] for name in pair)
            creates, updates = (
                f"{_median(results[peer][what], 'rate') / _median(results[ours][what], 'rate'):.2f}"
                for what in (CREATE, UPDATE)
            )
            yield (
                f"- {peer.title}, beside {ours.title}: {creates} times as many creates, {updates} "
                f"times as many updates, where {'both wait' if peer.waits else 'neither waits'}."
            )


def _median(loads: list[Load], figure: str) -> float:
    """Return the median of an attribute of ``Load``."""
    return float(median(getattr(load, figure) for load in loads))


def _with_spread(loads: list[Load], figure: str, form: str) -> tuple[str, str]:
    """Return the median of an attribute, and its lowest and its highest value."""
    values = [getattr(load, figure) for load in loads]
    return f"{median(values):{form}}", f"{min(values):{form}}-{max(values):{form}}"


def chart(results: Results) -> str:
    """Return an SVG bar chart of the requests per second."""
    group = len(results) * BAR + 50
    height = len(TITLES) * group
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, (what, title) in enumerate(TITLES.items()):
        loads = {server: found[what] for server, found in results.items()}
        lines += _bars(f"{title}, requests per second", loads, number * group)
    return "\n".join([*lines, "</svg>\n"])


def _bars(title: str, results: dict[Server, list[Load]], top: int) -> Iterator[str]:
    """Yield a group of bars: the median, with a line from the lowest to the highest."""
    yield f'<text x="10" y="{top + 25}" font-weight="bold">{escape(title)}</text>'
    longest = max(load.rate for loads in results.values() for load in loads)
    for row, (server, loads) in enumerate(results.items()):
        y = top + 36 + row * BAR
        low, middle, high = (
            (WIDTH - LEFT - 70) * rate / longest
            for rate in (of(load.rate for load in loads) for of in (min, median, max))
        )
        is_product = server.title.startswith(OURS.title) and server.waits
        colour = "#2563eb" if is_product else "#94a3b8"
        yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(server.title)}</text>'
        yield (
            f'<rect x="{LEFT}" y="{y}" width="{middle:.1f}" height="{BAR - 5}" fill="{colour}"/>'
        )
        yield (
            f'<line x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" y1="{y + 8.5}" y2="{y + 8.5}" '
            'stroke="black"/>'
        )
        yield f'<text x="{LEFT + high + 6:.1f}" y="{y + 13}">{_median(loads, "rate"):,.0f}</text>'


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
