"""The servers that are compared: how each is prepared, its command, and its responses."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pocketbase
from data import leads, rfc3339
from engines import POSTGRESQL, SQLITE, Engine
from environment import BIN, HERE
from servers import PEERS, Prepare, Server, environment


def ours(command: str, folder: Path, engine: Engine = SQLITE) -> str:
    """Run a ``leads-service`` command on the folder's database and return its output."""
    arguments = [sys.executable, "-m", "leads_service", *command.split()]
    result = subprocess.run(
        arguments,
        cwd=PEERS,
        env=environment(engine.url(folder)),
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


def prepare_ours(folder: Path, count: int, engine: Engine = SQLITE) -> str:
    """Create a database of leads-service with ``count`` leads; return a token."""
    ours("db migrate", folder, engine)
    for name in ("bench", "other"):
        ours(f"user add {name}", folder, engine)
    engine.fill(folder, "leads_lead", leads(count), rfc3339)
    return ours("token create bench", folder, engine)


def _by_script(script: str, table: str, python: str, engine: Engine = SQLITE) -> Prepare:
    def prepare(folder: Path, count: int) -> str:
        environ = environment(engine.url(folder))
        subprocess.run([python, script], cwd=PEERS, env=environ, check=True)
        engine.fill(folder, table, leads(count))
        return "token-of-bench"

    return prepare


SERVE = (sys.executable, "-m", "leads_service", "serve", "--port", "{port}", "--workers")
UNFLUSHED = (sys.executable, str(HERE / "unflushed.py"), *SERVE[3:])
GRANIAN = (sys.executable, "-m", "granian", "--interface", "wsgi", "--port", "{port}")
TWO = ("--workers", "2")
OURS = Server(
    "leads", "leads-service", True, prepare_ours, (*SERVE, "2"), "/v1/leads", "/v1/leads/%d"
)
FASTAPI = Server(
    "fastapi",
    "FastAPI + SQLModel, uvicorn",
    True,
    _by_script("fastapi_app.py", "lead", f"{BIN}/python"),
    (f"{BIN}/uvicorn", *TWO, "--port", "{port}", "fastapi_app:app"),
    listed=None,
)
DRF = Server(
    "drf",
    "Django REST framework, gunicorn",
    True,
    _by_script("drf_app.py", "leads_lead", f"{BIN}/python"),
    (f"{BIN}/gunicorn", *TWO, "--threads", "2", "--bind", "127.0.0.1:{port}", "drf_app"),
    "/leads/",
    "/leads/%d/",
    listed="results",
)
POCKETBASE = Server(
    "pocketbase",
    "PocketBase",
    False,
    pocketbase.prepare,
    pocketbase.COMMAND,
    pocketbase.PATH,
    pocketbase.LEAD,
    listed="items",
    created=200,
    required=pocketbase.REQUIRED,
)
ON_POSTGRESQL = replace(
    OURS,
    title="leads-service, 2 workers",
    prepare=partial(prepare_ours, engine=POSTGRESQL),
    engine=POSTGRESQL,
)

# The first one of each engine is the one that the others are compared with.
SERVERS = (
    OURS,
    replace(
        OURS,
        name="unflushed",
        title="leads-service, not flushing (here only)",
        waits=False,
        command=(*UNFLUSHED, "2"),
    ),
    replace(
        OURS,
        name="limit",
        title="bare Flask, no auth (limit)",
        command=(*GRANIAN, *TWO, "--blocking-threads", "1", "flask_limit:app"),
    ),
    Server(
        "naive",
        "Flask + Peewee + marshmallow, naive",
        True,
        _by_script("flask_naive.py", "lead", sys.executable),
        (*GRANIAN, *TWO, "--blocking-threads", "2", "flask_naive:app"),
    ),
    FASTAPI,
    DRF,
    POCKETBASE,
    replace(
        POCKETBASE,
        name="pocketbase-flushed",
        title="PocketBase, told to flush",
        waits=True,
        command=pocketbase.FLUSHED,
    ),
    ON_POSTGRESQL,
    replace(
        ON_POSTGRESQL,
        name="instances",
        title="leads-service, 2 instances of 1 worker",
        command=(*SERVE, "1"),
        instances=2,
    ),
    replace(
        FASTAPI,
        title="FastAPI + SQLModel + psycopg, uvicorn",
        prepare=_by_script("fastapi_app.py", "lead", f"{BIN}/python", POSTGRESQL),
        engine=POSTGRESQL,
    ),
    replace(
        FASTAPI,
        name="asyncpg",
        title="FastAPI + asyncpg, uvicorn",
        prepare=_by_script("asyncpg_app.py", "lead", f"{BIN}/python", POSTGRESQL),
        command=(f"{BIN}/uvicorn", *TWO, "--port", "{port}", "asyncpg_app:app"),
        engine=POSTGRESQL,
    ),
    replace(
        DRF,
        prepare=_by_script("drf_app.py", "leads_lead", f"{BIN}/python", POSTGRESQL),
        engine=POSTGRESQL,
    ),
)
