"""Commands whose settings are wrong end with one line, before anything is stored."""

from pathlib import Path

import pytest

from tests.helpers import Run, assert_refused


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("LEADS_BUSY_TIMEOUT", "5s", "a whole number of seconds from 0 to 3600"),
        ("LEADS_SCORER", "no_such_module:score", "no_such_module:score"),
        ("LEADS_DATABSE", "sqlite:////tmp/leads.db", "did you mean LEADS_DATABASE?"),
    ],
)
def test_a_setting_that_cannot_be_used(
    program: Run,
    database_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    part: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert_refused(program("user", "add", "alice"), name, part)
    assert not database_file.exists()
