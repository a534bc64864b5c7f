"""The servers that are compared: how each is prepared, its command, and its responses."""

import subprocess
import sys
from pathlib import Path

import pocketbase
from data import fill, leads, rfc3339
from environment import BIN
from servers import NOTES, PEERS, Prepare, Server, environment


def ours(command: str, folder: Path) -> str:
    """Run a ``leads-service`` command on the folder's database and return its output."""
    arguments = [sys.executable, "-m", "leads_service", *command.split()]
    result = subprocess.run(
        arguments, cwd=PEERS, env=environment(folder), check=True, capture_output=True, text=True
    )
    return result.stdout.strip()


def prepare_ours(folder: Path, count: int) -> str:
    """Create a database of leads-service with ``count`` leads; return a token."""
    ours("db migrate", folder)
    for name in ("bench", "other"):
        ours(f"user add {name}", folder)
    fill(folder / "bench.db", "leads_lead", leads(count), rfc3339)
    return ours("token create bench", folder)


def _by_script(script: str, table: str, python: str) -> Prepare:
    def prepare(folder: Path, count: int) -> str:
        subprocess.run([python, script], cwd=PEERS, env=environment(folder), check=True)
        fill(folder / "bench.db", table, leads(count))
        return "token-of-bench"

    return prepare


SERVE = (sys.executable, "-m", "leads_service", "serve", "--port", "{port}", "--workers")
GRANIAN = (sys.executable, "-m", "granian", "--interface", "wsgi", "--port", "{port}")
TWO = ("--workers", "2")
OURS = Server("leads", "leads-service", "waits", prepare_ours, (*SERVE, "2"), "/v1/leads")

SERVERS = (
    OURS,
    Server(
        "limit",
        "bare Flask, no auth (limit)",
        "waits",
        prepare_ours,
        (*GRANIAN, *TWO, "--blocking-threads", "1", "flask_limit:app"),
        "/v1/leads",
    ),
    Server(
        "naive",
        "Flask + Peewee + marshmallow, naive",
        "waits",
        _by_script("flask_naive.py", "lead", sys.executable),
        (*GRANIAN, *TWO, "--blocking-threads", "2", "flask_naive:app"),
    ),
    Server(
        "fastapi",
        "FastAPI + SQLModel, uvicorn",
        "waits",
        _by_script("fastapi_app.py", "lead", f"{BIN}/python"),
        (f"{BIN}/uvicorn", *TWO, "--port", "{port}", "fastapi_app:app"),
        listed=None,
    ),
    Server(
        "drf",
        "Django REST framework, gunicorn",
        "waits",
        _by_script("drf_app.py", "leads_lead", f"{BIN}/python"),
        (f"{BIN}/gunicorn", *TWO, "--threads", "2", "--bind", "127.0.0.1:{port}", "drf_app"),
        "/leads/",
        listed="results",
    ),
    Server(
        "pocketbase",
        "PocketBase",
        "does not wait",
        pocketbase.prepare,
        (*pocketbase.COMMAND, "--http", "127.0.0.1:{port}"),
        pocketbase.PATH,
        listed="items",
        created=200,
        body=pocketbase.record(42, NOTES),
    ),
)
