"""Scorers: which facts about a lead each one is told, and what is refused when it starts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from leads_service import create_app, init_app, scoring
from leads_service.exceptions import ConfigError, ScorerError
from leads_service.lead import FIELDS, SCORED
from leads_service.leads import LeadService
from leads_service.scoring import facts_for, points_by_stage
from leads_service.storage import open_storage

FOUR = ("user_id", "company_id", "status", "notes")
LEAD = {name: field.example for name, field in FIELDS.items()}


def four_facts(*, user_id: int, company_id: int, status: str, notes: str) -> int:
    return 1


def positional_or_by_name(status: str, notes: str) -> int:
    return 2


def with_defaults(status: str = "new", *, colour: str = "red") -> int:
    return 3 if colour == "red" else 0


def all_facts(**facts: Any) -> int:
    return len(facts)


def one_and_the_rest(notes: str, **facts: Any) -> int:
    return len(facts)


def any_positions(*facts: Any, status: str) -> int:
    return len(facts)


def nothing() -> int:
    return 4


def unused_position(colour: str = "red", /, *, status: str) -> int:
    return 5


class ByStatus:
    """A scorer with a setting."""

    def __init__(self, points: int) -> None:
        self.points = points

    def __call__(self, *, status: str) -> int:
        return self.points

    def method(self, notes: str) -> int:
        return self.points


def weighted(weight: int, *, status: str, colour: str) -> int:
    return weight


TAKEN: list[tuple[Callable[..., int], tuple[str, ...], int]] = [
    (four_facts, FOUR, 1),
    (positional_or_by_name, ("status", "notes"), 2),
    (with_defaults, ("status",), 3),
    (all_facts, SCORED, len(SCORED)),
    (one_and_the_rest, SCORED, len(SCORED) - 1),
    (any_positions, ("status",), 0),
    (nothing, (), 4),
    (unused_position, ("status",), 5),
    (ByStatus(6), ("status",), 6),
    (ByStatus(7).method, ("notes",), 7),
    (partial(weighted, 8, colour="red"), ("status",), 8),
    (partial(four_facts, user_id=1), FOUR, 1),
    (lambda company_id: company_id, ("company_id",), 42),
    (points_by_stage, ("status",), 30),
]


@pytest.mark.parametrize(("scorer", "facts", "points"), TAKEN)
def test_a_scorer_is_told_the_facts_that_its_signature_names(
    scorer: Callable[..., int], facts: tuple[str, ...], points: int
) -> None:
    assert facts_for(scorer) == facts
    assert scoring.scoring(scorer)(LEAD) == points


def test_a_scorer_whose_signature_cannot_be_known_is_told_all() -> None:
    """Such as the constructors that are written in C."""
    unknown: Any = dict
    assert facts_for(unknown) == SCORED
    with pytest.raises(ScorerError, match="not an integer"):
        scoring.scoring(unknown)(LEAD)


def test_a_fact_that_is_added_later_breaks_no_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCORED", (*SCORED, "colour"))
    coloured = LEAD | {"colour": "red"}
    assert facts_for(four_facts) == FOUR
    assert scoring.scoring(four_facts)(coloured) == 1
    assert facts_for(weighted_by_colour) == ("colour",)
    assert scoring.scoring(weighted_by_colour)(coloured) == 3
    assert scoring.scoring(all_facts)(coloured) == len(SCORED) + 1


def weighted_by_colour(colour: str) -> int:
    return len(colour)


def unknown_fact(*, status: str, colour: str) -> int:
    return 0


def only_by_position(status: str, /) -> int:
    return 0


def fact_by_position_with_all(status: str, /, **facts: Any) -> int:
    return 0


def unknown_with_all(colour: str, **facts: Any) -> int:
    return 0


BAD = [
    (unknown_fact, "colour"),
    (only_by_position, "status"),
    (fact_by_position_with_all, "status"),
    (unknown_with_all, "colour"),
    (partial(weighted, 8), "colour"),
    (weighted, "weight"),
    (len, "obj"),
]


@pytest.mark.parametrize(("scorer", "argument"), BAD)
def test_a_scorer_that_needs_something_else_is_refused(
    scorer: Callable[..., int], argument: str
) -> None:
    with pytest.raises(ConfigError, match=f"needs the argument '{argument}', but is told only"):
        facts_for(scorer)


@pytest.mark.parametrize("name", ["unknown_fact", "only_by_position", "fact_by_position_with_all"])
def test_the_service_does_not_start_with_a_bad_scorer(url: str, tmp_path: Path, name: str) -> None:
    settings = {"LEADS_DATABASE": url, "LEADS_SCORER": f"tests.test_facts:{name}"}
    with pytest.raises(ConfigError, match="LEADS_SCORER: the scorer needs the argument"):
        create_app(settings)
    host = Flask("host")
    host.config.update(settings)
    with pytest.raises(ConfigError, match="LEADS_SCORER: the scorer needs the argument"):
        init_app(host, user_id=lambda: 1)


@pytest.mark.parametrize(("scorer", "argument"), BAD)
def test_a_host_is_told_that_its_scorer_is_bad(
    url: str, tmp_path: Path, scorer: Callable[..., int], argument: str
) -> None:
    with pytest.raises(TypeError, match=f"needs the argument '{argument}'"):
        init_app(Flask("host"), user_id=lambda: 1, database=url, scorer=scorer)
    assert not (tmp_path / "leads.db").exists(), "nothing is made before it is refused"
    with pytest.raises(ConfigError, match=argument):
        LeadService(open_storage(url), scorer)
