"""Scorers: the default one, and how others are loaded, called and checked."""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from leads_service.exceptions import ConfigError, ScorerError
from leads_service.lead import MAX_SCORE, SCORED

Scorer = Callable[..., int]  # takes fields of a lead as keyword arguments; returns 0 to 100

# By the progress in the pipeline: an arbitrary default, so that scores and their filters are useful
# without a scorer of one's own.
POINTS = {"new": 10, "contacted": 30, "qualified": 60, "converted": 100, "lost": 0}

Scoring = Callable[[Mapping[str, Any]], int]


def points_by_stage(*, status: str) -> int:
    """Return a score by the lead's status; the default scorer."""
    return POINTS[status]


def load(path: str) -> Scorer:
    """Import a scorer and check its signature.

    Args:
        path: Its name as ``package.module:function``.

    Raises:
        ConfigError: It can't be imported, or can't be called with facts about a lead.
    """
    module, _, name = path.partition(":")
    try:
        scorer = getattr(import_module(module), name)
    except Exception as error:  # importing runs the module, which may raise anything
        raise ConfigError(
            f"LEADS_SCORER: cannot load {path!r} ({error!r}); name it as package.module:function"
        ) from error
    if not callable(scorer):
        raise ConfigError(f"LEADS_SCORER: {path!r} is not a function")
    try:
        facts_for(scorer)
    except ConfigError as error:
        raise ConfigError(f"LEADS_SCORER: {error}") from error
    return scorer  # type: ignore[no-any-return]  # not more can be checked than callable()


def facts_for(scorer: Scorer) -> tuple[str, ...]:
    """Return the names of the facts about a lead (``lead.SCORED``) that a scorer takes.

    Returns:
        The facts that its signature names, so that further facts can be added without breaking it.
        All facts if it takes ``**kwargs``, or has no signature, like some functions written in C.

    Raises:
        ConfigError: It requires an argument that is not a fact, or a positional-only one.
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
    """Return a function that calls a scorer and checks its result.

    The function takes a lead and returns its score from 0 to 100. It raises ScorerError if the
    scorer raises an exception or returns anything else.

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
