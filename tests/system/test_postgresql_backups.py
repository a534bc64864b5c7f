"""Backups of PostgreSQL, with the commands of docs/scaling.md."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from tests import postgres
from tests.helpers import BIN, document

BACKUPS = document("docs/scaling.md").partition("## Backups\n")[2].partition("\n## ")[0]
RESTORED = "/var/lib/postgresql/restored"  # as the document calls it
CONTINUOUS = BACKUPS.index("archive_mode")
DUMP, LOG = BACKUPS[:CONTINUOUS], BACKUPS[CONTINUOUS:]


def commands(text: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


def run(command: str, database: str, folder: Path) -> str:
    """Run a command where our program and PostgreSQL's are; return what it prints."""
    path = f"{BIN}:{postgres.binaries()}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "LEADS_DATABASE": database}
    return subprocess.check_output(
        ["bash", "-c", command], env=environment, cwd=folder, text=True, timeout=60
    )


def add_lead(database: str, folder: Path) -> None:
    run(
        "printf 'company_id\\n1\\n' | leads-service import - --format csv --user a",
        database,
        folder,
    )


def count(database: str, folder: Path) -> int:
    return run("leads-service export", database, folder).count("\n") - 1


@pytest.fixture
def archive() -> Iterator[Path]:
    """The folder ``/backup``, to which the server may write."""
    folder = postgres.home()
    (folder / "wal").mkdir()
    postgres.give_to_server(folder / "wal")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(archive: Path) -> Iterator[postgres.Server]:
    """A server that archives its log."""
    settings = re.findall(r"^(archive_\w+) = '?(.*?)'?$", LOG, re.MULTILINE)
    server = postgres.Server(
        *(f"{name}={value.replace('/backup', str(archive))}" for name, value in settings)
    )
    server.start()
    yield server
    server.remove()


@pytest.fixture
def database(server: postgres.Server, tmp_path: Path) -> str:
    """A database with a lead."""
    database = postgres.create(server.url, "leads")
    run("leads-service db migrate && leads-service user add a", database, tmp_path)
    add_lead(database, tmp_path)
    return database


def test_a_dump(database: str, tmp_path: Path) -> None:
    restored = postgres.named(database, "restored")
    for command in commands(DUMP):
        printed = run(
            command.replace("postgresql://leads@db1/restored", restored), database, tmp_path
        )
    assert "schema: up to date" in printed
    assert count(restored, tmp_path) == 1


def test_the_log(database: str, server: postgres.Server, archive: Path, tmp_path: Path) -> None:
    """What was stored after the base backup comes back when the server is lost."""
    base_backup, copy, touch, start = (
        command.replace("/backup", str(archive)) for command in commands(LOG)
    )
    run(base_backup, database, tmp_path)
    add_lead(database, tmp_path)
    with psycopg.connect(server.url, autocommit=True) as connection:
        ((written,),) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchall()
        archived = "SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal >= %s"
        while not connection.execute(archived, (written,)).fetchall():
            pass
    server.stop(signal.SIGQUIT)
    words = shlex.split(start)
    settings = [setting for flag, setting in pairwise(words) if flag == "-c"]
    restored = postgres.Server(*settings)
    try:
        shutil.rmtree(restored.folder)
        for command in (copy, touch):
            run(command.replace(RESTORED, str(restored.folder)), database, tmp_path)
        postgres.give_to_server(restored.folder)
        restored.start()
        with psycopg.connect(restored.url, autocommit=True) as connection:
            while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                pass
        assert count(postgres.named(restored.url, "leads"), tmp_path) == 2
        assert not list(archive.glob("wal/*.history")), "a second history of the database"
    finally:
        restored.remove()
