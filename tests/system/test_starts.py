"""Processes that start at once, or on a store of a newer version."""

import os
import subprocess
import sys
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from leads_service import create_app
from tests.helpers import (
    APPLIED,
    BIN,
    MIGRATIONS,
    ROOT,
    TABLES,
    connect,
    dump,
    leads_service,
    tables,
)

WORKERS = 8


ROUNDS = 25  # two starts seldom collide


barrier: Barrier


def meet_at(shared: Barrier) -> None:
    global barrier  # noqa: PLW0603  # a pool's workers have no other place
    barrier = shared


def start(url: str) -> None:
    """Start as a worker does, at the moment when all others do."""
    barrier.wait(timeout=60)
    create_app({"LEADS_DATABASE": url})


def test_processes_that_start_at_once_on_no_file(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(ROUNDS)]
    spawn = get_context("spawn")
    with spawn.Pool(WORKERS, meet_at, [spawn.Barrier(WORKERS)]) as pool:
        # A worker that takes a task waits in it for the others: each one has its part in each file.
        pool.map(start, [url for url in urls for _ in range(WORKERS)], chunksize=1)
    for url in urls:
        assert tables(url) == TABLES
        with connect(url) as connection:
            applied = connection.execute("SELECT name FROM leads_migration").fetchall()
            assert applied == [(name,) for name in MIGRATIONS]


def test_commands_that_start_at_once_on_an_empty_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "leads.db").touch()
    commands = [
        subprocess.Popen(
            [BIN / "leads-service", "db", "migrate"],
            env=os.environ | {"LEADS_DATABASE": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for _ in range(WORKERS)
    ]
    outputs = [command.communicate(timeout=60)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * WORKERS
    assert sorted(outputs) == ["The schema is up to date.\n"] * (WORKERS - 1) + [APPLIED]
    assert tables(url) == TABLES


def assert_names_it(line: str) -> None:
    assert "9999_teams" in line
    assert "install the version that made it" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "words",
    ["db migrate", "db status", "user add alice", "user list", "pipeline", "rescore", "serve"],
)
def test_commands_on_a_newer_store(newer: str, words: str) -> None:
    before = dump(newer)
    result = leads_service(*words.split(), LEADS_DATABASE=newer)
    assert result.code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert_names_it(line)
    assert [line[:6] for line in result.stdout.splitlines()] == (
        ["file: "] if words == "db status" else []
    )
    assert dump(newer) == before


def test_a_wsgi_server_on_a_newer_store(newer: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        env=os.environ | {"LEADS_DATABASE": newer},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("leads-service: ")
    assert_names_it(line)
