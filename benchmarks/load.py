"""Load: many clients that read and write for a while; nothing may fail, get lost or be doubled.

    .venv/bin/python benchmarks/load.py --clients 64 --seconds 60

It does not measure speed: the clients run in Python on the same machine and take most of its time.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any

from contenders import OURS

READS = 0.7  # the share of list requests; of the others, half create and half update


@dataclass
class Seen:
    """The observations of one client.

    Attributes:
        times: The times of its requests in milliseconds.
        statuses: The number of responses by status.
        leads: Its leads by id, as they have to be stored.
    """

    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    leads: dict[int, dict[str, Any]] = field(default_factory=dict)


def client(number: int, address: str, token: str, seconds: float) -> Seen:
    """Send requests one after the other, and return what was observed.

    Args:
        number: The number of the client, from 1. It is part of the company id of its leads, which
            is unique, so that duplicates are found.
        address: The server's host and port.
        token: The bearer token.
        seconds: For how long.
    """
    random, seen, created = Random(number), Seen(), 0
    connection = HTTPConnection(address, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: Any = None) -> dict[str, Any]:
        began = time.perf_counter()
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        seen.times.append((time.perf_counter() - began) * 1000)
        seen.statuses[answer.status] += 1
        result: dict[str, Any] = json.loads(text)
        return result if answer.status < 300 else {}

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if random.random() < READS:
            ask("GET", f"/v1/leads?limit={random.choice((10, 50))}")
        elif seen.leads and random.random() < 0.5:
            body = {"status": random.choice(("contacted", "qualified", "lost"))}
            lead = ask("PATCH", f"/v1/leads/{random.choice(list(seen.leads))}", body)
            if lead:
                seen.leads[lead["id"]] = lead
        else:
            created += 1
            lead = ask("POST", "/v1/leads", {"company_id": number * 1_000_000 + created})
            if lead:
                seen.leads[lead["id"]] = lead
    return seen


def stored(address: str, token: str) -> list[dict[str, Any]]:
    """Return all leads, page by page."""
    connection, leads, cursor = HTTPConnection(address), [], ""
    while True:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/v1/leads?limit=200{cursor}", headers=headers)
        page = json.loads(connection.getresponse().read())
        leads += page["data"]
        if not page["has_more"]:
            return leads
        cursor = f"&cursor={page['next_cursor']}"


def main() -> int:
    """Run the load, print the results, and return 1 if anything was wrong, otherwise 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = OURS.prepare(folder, 0)
        with OURS.running(folder) as (base, _), ThreadPoolExecutor(options.clients) as pool:
            OURS.await_page(base, token)
            address = base.removeprefix("http://")
            jobs = [
                pool.submit(client, number, address, token, options.seconds)
                for number in range(1, options.clients + 1)
            ]
            seen = [job.result() for job in jobs]
            found = stored(address, token)
    times = sorted(time for one in seen for time in one.times)
    statuses = sum((one.statuses for one in seen), Counter())
    expected = {lead_id: lead for one in seen for lead_id, lead in one.leads.items()}
    by_id = {lead["id"]: lead for lead in found}
    lost = sum(by_id.get(lead_id) != lead for lead_id, lead in expected.items())
    doubled = len(found) - len({lead["company_id"] for lead in found})
    print(
        f"{options.clients} clients, {options.seconds:g} s: {len(times):,} requests, "
        f"p50 {times[len(times) // 2]:.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms, "
        f"slowest {times[-1]:.0f} ms; {dict(sorted(statuses.items()))}; "
        f"{len(found):,} leads, {lost} lost or different, {doubled} doubled"
    )
    wrong = lost or doubled or len(found) != len(expected) or set(statuses) - {200, 201}
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
