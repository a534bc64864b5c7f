"""What is asked on a terminal."""

import os
import pty
import subprocess

import pytest

from leads_service.state import AppState
from tests.helpers import BIN, Caller, create


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 2), ("\n", 1, 2)])
def test_on_a_terminal_it_asks(
    service: AppState, alice: Caller, url: str, typed: str, code: int, left: int
) -> None:
    create(alice, 7)
    create(alice, 8)
    person, terminal = pty.openpty()
    os.write(person, typed.encode())
    done = subprocess.run(
        [BIN / "leads-service", "user", "remove", "alice", "--erase"],
        env=os.environ | {"LEADS_DATABASE": url},
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    os.close(person)
    assert done.returncode == code
    assert "Remove alice and erase 2 leads? [y/N]" in done.stdout + done.stderr
    assert service.leads.count(alice.id) == left
