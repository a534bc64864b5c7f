"""The commands when PostgreSQL is out of reach: one line, with the remedy, without the password."""

import pytest

from tests import postgres
from tests.helpers import Run, assert_refused

pytestmark = pytest.mark.usefixtures("of_sqlite")  # to run once


@pytest.mark.parametrize(
    "words",
    [
        *(("serve",), ("db", "migrate"), ("db", "status"), ("db", "check")),
        *(("user", "list"), ("token", "create", "alice"), ("export",)),
    ],
    ids=" ".join,
)
def test_no_server(program: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    address = f"127.0.0.1:{postgres.free_port()}"
    monkeypatch.setenv("LEADS_DATABASE", f"postgresql://bob:hush@{address}/leads")
    answer = program(*words)
    assert_refused(answer, f"cannot use postgresql://{address}/leads: ", "; check LEADS_DATABASE")
    assert "hush" not in answer.stderr


def test_no_server_to_copy_to(program: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_DATABASE", url)
    assert program("user", "add", "alice").code == 0
    answer = program("copy", "--to", f"postgresql://127.0.0.1:{postgres.free_port()}/leads")
    assert_refused(answer, "; check --to")


def test_a_url_that_is_none(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_DATABASE", "postgresql://bob:hu@sh@127.0.0.1/leads")
    answer = program("serve")
    assert_refused(answer, "LEADS_DATABASE must be postgresql://", "%XX for special characters")
    assert "sh@" not in answer.stderr
