"""Compare the service with its peers, and with itself when there are many leads.

    .venv/bin/python benchmarks/run.py

writes results.md and the charts beside this file, in about 17 minutes on two processors. With
``--engine`` or ``--only`` it compares some of the servers, with ``--quick`` it checks on little
data that all of them start and answer alike; what it finds then is printed only.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import report
import wrk
from answers import check
from contenders import SERVERS
from engines import ENGINES, Engine
from environment import HERE, install
from growth import Scale, grow
from measure import Size, one_round
from report import Results
from servers import BenchError, Server

FULL, QUICK = Size(101_000, 5, 3, 1), Size(1_010, 1, 1, 0)
FULL_SCALE = Scale(few=10_000, many=1_000_000, samples=300, seconds=40, starts=5)
HUGE_SCALE = replace(FULL_SCALE, many=10_000_000)
QUICK_SCALE = Scale(few=500, many=5_000, samples=5, seconds=1, starts=1)


def main() -> int:
    """Run the benchmarks as the arguments say, and return the exit code."""
    engines = {engine.name.lower(): engine for engine in ENGINES}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="check that all of it works")
    parser.add_argument("--engine", choices=engines, help="compare on this engine only")
    parser.add_argument(
        "--only",
        choices=[*dict.fromkeys(server.name for server in SERVERS)],
        nargs="+",
        help="these servers, besides leads-service",
    )
    parser.add_argument("--huge", action="store_true", help="10,000,000 leads, not 1,000,000")
    parser.add_argument("--rounds", type=int, help=f"{FULL.rounds} (quick: {QUICK.rounds})")
    parser.add_argument(
        "--seconds", type=int, help=f"of a measurement; {FULL.seconds} (quick: {QUICK.seconds})"
    )
    parser.add_argument("--output", type=Path, help="the folder for results.md and the charts")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    size = replace(
        size, rounds=options.rounds or size.rounds, seconds=options.seconds or size.seconds
    )
    scale = QUICK_SCALE if options.quick else HUGE_SCALE if options.huge else FULL_SCALE
    is_part = bool(options.engine or options.only)
    output = options.output or (None if options.quick or is_part else HERE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, to stop the servers
    try:
        wrk.version()  # before everything else takes its time
        install()
        results: dict[Engine, Results] = {}
        with tempfile.TemporaryDirectory(prefix="leads-bench-") as folder:
            for engine in [engines[options.engine]] if options.engine else ENGINES:
                servers = [
                    server
                    for server in SERVERS
                    if server.engine is engine
                    and (server.is_subject or not options.only or server.name in options.only)
                ]
                results[engine] = compare(servers, Path(folder, engine.name), size)
            rows = []
            if not is_part:
                print_progress("leads-service alone")
                rows = list(grow(scale, Path(folder)))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    text = report.markdown(results, rows, size)
    print(text)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / "results.md").write_text(text)
        for engine, found in results.items():
            (output / engine.chart).write_text(report.chart(found))
    return 1 if options.quick and failures(results) else 0


def compare(servers: list[Server], folder: Path, size: Size) -> Results:
    """Measure the servers of an engine by turns, each alone, and return what was measured.

    Args:
        servers: The servers.
        folder: A folder for their data.
        size: How much to measure.

    Raises:
        BenchError: A server does not start, or does not answer as the others do.
    """
    engine = servers[0].engine
    prepared: dict[Server, tuple[Path, str]] = {}
    found: Results = {server: defaultdict(list) for server in servers}
    with engine.running():
        for server in servers:
            print_progress(f"{engine.name}: {size.leads:,} leads for {server.title}")
            where = folder / server.name
            where.mkdir(parents=True)
            engine.create(where)
            prepared[server] = where, server.prepare(where, size.leads)
        for number in range(1, size.rounds + 1):
            for server, (where, token) in prepared.items():
                print_progress(f"{engine.name}, round {number} of {size.rounds}: {server.title}")
                with ExitStack() as stack:
                    instances = range(server.instances)
                    bases = [stack.enter_context(server.running(where))[0] for _ in instances]
                    for base in bases:
                        server.await_page(base, token)
                    if number == 1:
                        check(server, bases[0], token, size.leads)
                    for what, load in one_round(server, bases, token, size):
                        found[server][what].append(load)
                        print_progress(
                            f"    {what}: {load.rate:,.0f} a second, p99 {load.p99:.1f} ms"
                        )
    return found


def failures(results: dict[Engine, Results]) -> int:
    """Return how many requests have failed."""
    servers = (found for engine in results.values() for found in engine.values())
    return sum(load.failed for found in servers for loads in found.values() for load in loads)


def print_progress(what: str, began: float = time.monotonic()) -> None:
    """Print the progress to stderr, with the time since the start."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
