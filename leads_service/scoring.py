"""Scorers: the default one, and how another one is loaded and held to its promise."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from leads_service.config import ConfigError
from leads_service.models import MAX_SCORE

Scorer = Callable[..., int]

# How far down the pipeline a lead is, in points: our own choice, so that the filters on the score
# work before anybody has written a scorer of their own.
POINTS = {"new": 10, "contacted": 30, "qualified": 60, "converted": 100, "lost": 0}
FACTS = ("user_id", "company_id", "status", "notes")  # what a scorer is told of a lead


class ScorerError(Exception):
    """A scorer raised, or returned something else than an integer from 0 to 100."""


def points_by_stage(*, status: str, **_: Any) -> int:
    """Return the points of the lead's status; the default scorer."""
    return POINTS[status]


def load(path: str) -> Scorer:
    """Return the function that ``package.module:function`` names, or raise ConfigError."""
    module, _, name = path.partition(":")
    try:
        scorer = getattr(import_module(module), name)
    except Exception as error:  # whatever a module does when it is imported
        raise ConfigError(
            f"LEADS_SCORER: cannot load {path!r} ({error!r}); name it as package.module:function"
        ) from error
    if not callable(scorer):
        raise ConfigError(f"LEADS_SCORER: {path!r} is not a function")
    return scorer  # type: ignore[no-any-return]  # callable() is all that can be known


def score(scorer: Scorer, lead: Mapping[str, Any]) -> int:
    """Return what ``scorer`` says of a lead; raises ScorerError unless it is 0 … 100."""
    try:
        points = scorer(**{fact: lead[fact] for fact in FACTS})
    except Exception as error:
        raise ScorerError(f"the scorer raised {error!r}") from error
    if type(points) is not int or not 0 <= points <= MAX_SCORE:
        raise ScorerError(f"the scorer returned {points!r}, not an integer from 0 to {MAX_SCORE}")
    return points
