"""Scorers: the default one, how another one is loaded, and what it must return."""

from pathlib import Path
from typing import Any

import pytest

from leads_service.exceptions import ConfigError, ScorerError
from leads_service.lead import SCORED, new_lead
from leads_service.scoring import load, points_by_stage, scoring
from tests import scorers

LEAD = new_lead({"company_id": 42, "notes": "four"}) | {"user_id": 7, "score": 1, "id": 3}


@pytest.mark.parametrize(
    ("status", "points"),
    [("new", 10), ("contacted", 30), ("qualified", 60), ("converted", 100), ("lost", 0)],
)
def test_points_by_stage(status: str, points: int) -> None:
    assert scoring(points_by_stage)(LEAD | {"status": status}) == points


def test_what_a_scorer_is_told() -> None:
    told: list[dict[str, Any]] = []

    def scorer(**facts: Any) -> int:
        told.append(facts)
        return 0

    scoring(scorer)(LEAD)
    facts = {"user_id": 7, "company_id": 42, "status": "new", "notes": "four"}
    assert told == [facts | {name: LEAD[name] for name in SCORED}]
    assert told[0].keys().isdisjoint({"id", "score", "created_at", "updated_at"})


@pytest.mark.parametrize("points", [0, 1, 100])
def test_scores_that_will_do(points: int) -> None:
    assert scoring(lambda **_: points)(LEAD) == points


@pytest.mark.parametrize("points", [-1, 101, 50.0, "50", True, None], ids=repr)
def test_scores_that_will_not(points: Any) -> None:
    with pytest.raises(ScorerError) as error:
        scoring(lambda **_: points)(LEAD)
    message = f"the scorer returned {points!r}, not an integer from 0 to 100"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("scorer", "part"),
    [
        (scorers.raises, "RuntimeError('secret internals')"),
        (scorers.raises_in_lines, r"ValueError('no \x1b[31m\nsecond \r line\nthird line')"),
    ],
)
def test_a_scorer_that_raises(scorer: Any, part: str) -> None:
    with pytest.raises(ScorerError, match=r"^the scorer raised ") as error:
        scoring(scorer)(LEAD)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scorer_is_loaded_by_its_name() -> None:
    assert load("tests.scorers:by_notes") is scorers.by_notes
    assert load("leads_service.scoring:points_by_stage") is points_by_stage


@pytest.mark.parametrize(
    "path",
    [
        "42",
        "no_such_module:score",
        "tests.scorers",
        "tests.scorers:",
        "tests.scorers:no_such_function",
        "tests.scorers:NO_FUNCTION",
        ":score",
        ".scoring:score",
        "scorer_that_is_no_python:score",
        "scorer_that_raises:score",
    ],
)
def test_what_names_no_scorer(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scorer_that_is_no_python.py").write_text("def score(:\n")
    (tmp_path / "scorer_that_raises.py").write_text("score = {}['no\\nsuch']\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"^LEADS_SCORER: ") as error:
        load(path)
    assert repr(path) in str(error.value)
    assert "\n" not in str(error.value)
