"""Compare the service with its peers, and with itself when there are many leads.

    .venv/bin/python benchmarks/run.py

writes results.md and the charts beside this file; with ``--engine`` it compares the servers on one
engine and writes nothing; with ``--quick`` it only checks, on little data, that every server
starts and answers as the others do.
"""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

import report
from contenders import SERVERS
from data import canonical, leads
from engines import ENGINES, Engine
from environment import HERE, install
from growth import Scale, grow
from measure import Figures, medians, one_round
from servers import BenchError, Server

LEADS, QUICK_LEADS = 101_000, 1_010  # every 101st belongs to another user
PAGE = 50
FULL = Scale(few=10_000, many=1_000_000, samples=300, requests=100_000, starts=5)
HUGE = Scale(few=10_000, many=10_000_000, samples=300, requests=100_000, starts=5)
QUICK = Scale(few=500, many=5_000, samples=5, requests=1_000, starts=1)


def main() -> int:
    """Run the benchmarks as the arguments say, and return the exit code."""
    names = {engine.name.lower(): engine for engine in ENGINES}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="check that all of it works")
    parser.add_argument("--engine", choices=names, help="compare on this engine only")
    parser.add_argument("--huge", action="store_true", help="10,000,000 leads, not 1,000,000")
    parser.add_argument("--rounds", type=int, help="of each server, by turns; 3 (quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each measurement; 5 (quick: 0.5)")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    seconds = arguments.seconds or (0.5 if arguments.quick else 5)
    scale = QUICK if arguments.quick else HUGE if arguments.huge else FULL
    count = QUICK_LEADS if arguments.quick else LEADS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, to stop the servers
    try:
        install()
        with tempfile.TemporaryDirectory(prefix="leads-bench-") as folder:
            results = {
                engine: compare(engine, Path(folder), count, rounds, seconds)
                for engine in ([names[arguments.engine]] if arguments.engine else ENGINES)
            }
            if arguments.quick:
                refuse_failures(results)
            rows = []
            if not arguments.engine:
                print_progress("leads-service alone")
                rows = list(grow(scale, Path(folder)))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    text = report.markdown(results, rows, count)
    print(text)
    if not arguments.quick and not arguments.engine:
        (HERE / "results.md").write_text(text)
        for engine, figures in results.items():
            (HERE / engine.chart).write_text(report.chart(figures))
    return 0


def compare(
    engine: Engine, folder: Path, count: int, rounds: int, seconds: float
) -> dict[Server, Figures]:
    """Measure all servers of an engine in alternation, and return the medians of the rounds.

    Args:
        engine: The engine.
        folder: A folder for the servers' data.
        count: How many leads each server has.
        rounds: How many rounds.
        seconds: The duration of each measurement.

    Raises:
        BenchError: A server does not start, or returns a different first page.
    """
    prepared: dict[Server, tuple[Path, str]] = {}
    expected = [lead for lead in leads(count) if lead.user_id == 1][: -PAGE - 1 : -1]
    with engine.running():
        for server in SERVERS:
            if server.engine is engine:
                print_progress(f"{engine.name}, {server.title}: {count:,} leads")
                where = folder / engine.name / server.name
                where.mkdir(parents=True)
                engine.create(where)
                prepared[server] = where, server.prepare(where, count)
        found: dict[Server, list[Figures]] = {server: [] for server in prepared}
        for number in range(1, rounds + 1):
            for server, (where, token) in prepared.items():
                print_progress(f"{engine.name}, round {number} of {rounds}: {server.title}")
                page, figures = one_round(server, where, token, seconds)
                if number == 1 and [canonical(lead) for lead in page] != expected:
                    raise BenchError(
                        f"{server.title} has another page: {page[:2]}, {len(page)} leads"
                    )
                found[server].append(figures)
    return {server: medians(figures) for server, figures in found.items()}


def refuse_failures(results: dict[Engine, dict[Server, Figures]]) -> None:
    """Check that no request has failed.

    Raises:
        BenchError: A response had an unexpected status.
    """
    for server, figures in chain(*(found.items() for found in results.values())):
        if failed := figures.list.failed + figures.create.failed:
            raise BenchError(f"{server.title}: {failed} answers with another status")


def print_progress(what: str, began: float = time.monotonic()) -> None:
    """Print the progress to stderr, with the time since the start."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
