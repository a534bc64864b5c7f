"""The command rescore."""

import sqlite3

import pytest

from tests.cli.scores import everything_else, scores
from tests.helpers import Caller, Run, assert_refused, insert_leads


@pytest.mark.usefixtures("ten_leads")
def test_rescore(program: Run, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything_else(raw)
    assert scores(raw) == [10, 10, 10, 30, 100, 100, 0, 0, 60, 100]
    assert program("rescore") == (0, "10 leads scored.\n", "")
    assert scores(raw) == [10, 10, 10, 30, 100, 100, 0, 0, 60, 100]
    monkeypatch.setenv("LEADS_SCORER", "tests.scorers:by_company")
    assert program("rescore") == (0, "10 leads scored.\n", "")
    assert scores(raw) == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    assert everything_else(raw) == before


def test_rescore_more_than_one_batch(
    program: Run, alice: Caller, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_leads(raw, *({"company_id": number} for number in range(1, 2002)))
    monkeypatch.setenv("LEADS_SCORER", "tests.scorers:by_company")
    assert program("rescore") == (0, "2001 leads scored.\n", "")
    assert scores(raw) == [n % 101 for n in range(1, 2002)]


@pytest.mark.parametrize(
    ("scorer", "part"),
    [
        ("in_three_lines", r"ValueError('no\nthird\ncompany')"),
        ("too_high", "101"),
        ("a_float", "7.0"),
        ("of_a_colour", "needs the argument 'colour'"),
    ],
)
@pytest.mark.usefixtures("ten_leads")
def test_rescore_with_a_broken_scorer(
    program: Run, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, scorer: str, part: str
) -> None:
    before = scores(raw)
    monkeypatch.setenv("LEADS_SCORER", f"tests.scorers:{scorer}")
    assert_refused(program("rescore"), "the scorer", part)
    assert scores(raw) == before
