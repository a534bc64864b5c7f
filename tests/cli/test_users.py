"""The commands about users: what they print, where, and how they end."""

import shlex

import pytest

from tests.cli.expected import TOKEN, USERS
from tests.helpers import NOW, Run, assert_refused, lines


def test_user_add(invoke: Run) -> None:
    assert invoke("user", "list") == (0, USERS, "")
    assert invoke("user", "add", "alice") == (0, "1\n", "")
    assert invoke("user", "add", "bob") == (0, "2\n", "")
    assert invoke("user", "list") == (
        0,
        f"ID  NAME   CREATED\n1   alice  {NOW}\n2   bob    {NOW}\n",
        "",
    )


@pytest.mark.parametrize("name", ["a", "x" * 100, "Zoë O'Neil", "名前", "-", "a.b@example.com"])
def test_names(invoke: Run, name: str) -> None:
    assert invoke("user", "add", "--", name) == (0, "1\n", "")
    assert lines(invoke("user", "list").stdout)[1] == ["1", name, NOW]
    assert TOKEN.fullmatch(invoke("token", "create", "--", name).stdout)


@pytest.mark.parametrize("name", ["alice", "Zoë O'Neil"])
def test_a_name_that_is_taken(invoke: Run, name: str) -> None:
    invoke("user", "add", name)
    assert_refused(
        invoke("user", "add", name), repr(name), f"leads-service token create {shlex.quote(name)}"
    )
    assert len(lines(invoke("user", "list").stdout)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 101,
        "a\nb",
        "a\tb",
        "\x1b[31m",
        "a\0b",
        "\x7f",
        " a",
        "a ",
        " ",
        "\u200b",
        "\udcff",
    ],
)
def test_names_that_are_none(invoke: Run, name: str) -> None:
    assert_refused(invoke("user", "add", name), repr(name), "1 to 100 printable characters")
    assert invoke("user", "list") == (0, USERS, "")
