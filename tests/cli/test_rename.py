"""Users are renamed."""

import pytest

from tests.helpers import Caller, Run, companies, create


def test_rename(run: Run, alice: Caller) -> None:
    create(alice, 7)
    assert (
        run("user", "rename", "alice", "Zoë O'Neil").output == "alice is called Zoë O'Neil now.\n"
    )
    assert companies(alice) == [7]
    assert "Zoë O'Neil" in run("token", "list").output
    assert "there is no user 'alice'" in run("pipeline", "--user", "alice", code=1).output
    assert "(0 of 1 leads)" in run("pipeline", "--user", "Zoë O'Neil").output


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("carol", "dave", "there is no user 'carol'"),
        ("alice", "bob", "user 'bob' exists already; choose another name"),
        ("alice", " x", "' x' is no name"),
        ("alice", "\x1b[31m", r"'\x1b[31m' is no name"),
    ],
)
@pytest.mark.usefixtures("bob")
def test_names_that_nobody_can_get(run: Run, old: str, new: str, part: str) -> None:
    assert part in run("user", "rename", old, new, code=1).output
    assert [line.split()[1] for line in run("user", "list").output.splitlines()[1:]] == [
        "alice",
        "bob",
    ]
