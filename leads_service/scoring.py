"""Scorers: the default one, and how another one is loaded, called and checked."""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from leads_service.exceptions import ConfigError, ScorerError
from leads_service.lead import MAX_SCORE, SCORED

Scorer = Callable[..., int]  # called with facts about a lead, by name

# How far down the pipeline a lead is, in points: an arbitrary choice, so that the filters on the
# score work before anybody has written a scorer of their own.
POINTS = {"new": 10, "contacted": 30, "qualified": 60, "converted": 100, "lost": 0}

Scoring = Callable[[Mapping[str, Any]], int]


def points_by_stage(*, status: str) -> int:
    """Return the points of the lead's status; the default scorer."""
    return POINTS[status]


def load(path: str) -> Scorer:
    """Import a scorer.

    Args:
        path: Its name, as ``package.module:function``.

    Raises:
        ConfigError: It can't be imported, or can't be called with facts about a lead.

    """
    module, _, name = path.partition(":")
    try:
        scorer = getattr(import_module(module), name)
    except Exception as error:  # whatever a module does when it is imported
        raise ConfigError(
            f"LEADS_SCORER: cannot load {path!r} ({error!r}); name it as package.module:function"
        ) from error
    if not callable(scorer):
        raise ConfigError(f"LEADS_SCORER: {path!r} is not a function")
    try:
        facts_for(scorer)
    except ConfigError as error:
        raise ConfigError(f"LEADS_SCORER: {error}") from error
    return scorer  # type: ignore[no-any-return]  # callable() is all that can be known


def facts_for(scorer: Scorer) -> tuple[str, ...]:
    """Return the names of the facts about a lead that a scorer takes.

    Those that its signature names, so that facts can be added without breaking it, or all if it
    takes ``**facts`` or its signature can't be known, as of some functions that are written in C.

    Raises:
        ConfigError: It needs an argument that is no fact about a lead, or one without its name.

    """
    try:
        parameters = signature(scorer).parameters
    except ValueError:
        return SCORED
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    taken = [name for name in SCORED if name in parameters and parameters[name].kind in named]
    for name, parameter in parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            return SCORED
        is_needed = parameter.default is Parameter.empty
        if name not in taken and is_needed and parameter.kind is not Parameter.VAR_POSITIONAL:
            raise ConfigError(
                f"the scorer needs the argument {name!r}, but is told only {', '.join(SCORED)}, "
                "each by its name"
            )
    return tuple(taken)


def scoring(scorer: Scorer) -> Scoring:
    """Return a function that scores a lead with ``scorer``.

    It takes a lead's fields by name, returns an integer from 0 to 100, and raises ScorerError if
    the scorer raises or returns something else.

    Raises:
        ConfigError: The scorer can't be called with facts about a lead.

    """
    facts = facts_for(scorer)

    def score(lead: Mapping[str, Any]) -> int:
        try:
            points = scorer(**{fact: lead[fact] for fact in facts})
        except Exception as error:
            raise ScorerError(f"the scorer raised {error!r}") from error
        if type(points) is not int or not 0 <= points <= MAX_SCORE:
            raise ScorerError(
                f"the scorer returned {points!r}, not an integer from 0 to {MAX_SCORE}"
            )
        return points

    return score
