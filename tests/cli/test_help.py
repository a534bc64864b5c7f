"""Help, and words that the commands do not understand."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from leads_service.cli import commands
from tests.helpers import Run, assert_misused, first_match


@pytest.mark.parametrize(
    "words", [("--port", "0"), ("--port", "65536"), ("--workers", "0"), ("--workers", "65")]
)
def test_serve_with_figures_that_are_none(program: Run, words: tuple[str, str]) -> None:
    assert_misused(program("serve", *words), words[0], words[1])


def tree(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from tree(child, *path, name)


COMMANDS = dict(tree(commands))


LEAVES = [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)]


def test_the_commands() -> None:
    assert sorted(LEAVES) == [
        *("backup", "copy", "db check", "db distribute", "db migrate", "db status", "export"),
        *("import", "pipeline", "reassign", "rescore", "restore", "serve", "token create"),
        *("token list", "token revoke", "user add", "user list", "user remove", "user rename"),
    ]


@pytest.mark.parametrize("path", COMMANDS)
def test_help(program: Run, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("LEADS_DATABASE", "help is there whatever the settings are")
    code, text, errors = program(*path.split(), "--help")
    assert (code, errors) == (0, "")
    assert text.startswith(f"Usage: leads-service {path}".rstrip())
    assert "\\" not in text
    assert max(map(len, text.splitlines())) <= 80
    for command in getattr(COMMANDS[path], "commands", ()):
        assert re.search(rf"^  {command}  +[A-Z]", text, re.MULTILINE)


@pytest.mark.parametrize("path", LEAVES)
def test_help_has_an_example(
    program: Run, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on a line of its own, and the command understands it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leads.csv").touch()
    text = program(*path.split(), "--help").stdout
    (example,) = re.findall(r"^ *Example: +(.*)", text, re.MULTILINE)
    typed = shlex.split(first_match(r"leads-service ([^)>]*)", example))
    words = path.split()
    assert typed[: len(words)] == words
    COMMANDS[path].make_context(path, typed[len(words) :])


@pytest.mark.parametrize(
    "words", [("nonsense",), ("user", "nonsense"), ("user", "add", "--x", "a")]
)
def test_words_that_mean_nothing(program: Run, words: tuple[str, ...]) -> None:
    assert_misused(program(*words))
