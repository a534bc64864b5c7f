"""What an operator can set: defaults, and ``LEADS_*`` variables, checked at the start."""

import re
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Config

from leads_service.exceptions import ConfigError

# Of a worker of ours: while six wait for clients whose bodies never end, two answer the others.
# More threads would contend for the GIL.
THREADS = 8

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*")  # .example.com is every host below it, too


class Setting(NamedTuple):
    """One setting: its default, the test a value must pass, and the words for what passes."""

    default: Any
    accepts: Callable[[Any], bool]
    expected: str
    is_secret: bool = False


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def names(value: str | None) -> list[str]:
    """Return what a setting lists with commas between."""
    return [] if value is None else [name.strip() for name in value.split(",")]


def _list_of(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: (
        value is None or (_text(value) and all(map(pattern.fullmatch, names(value))))
    )


SETTINGS = {
    "LEADS_DATABASE": Setting(
        None,
        lambda value: value is None or _text(value),
        "a URL such as sqlite:////var/lib/leads/leads.db",
    ),
    "LEADS_BUSY_TIMEOUT": Setting(5, _whole(0, 3600), "a whole number of seconds from 0 to 3600"),
    "LEADS_LOG_LEVEL": Setting(
        "info", ("debug", "info", "warning", "error").__contains__, "debug, info, warning or error"
    ),
    "LEADS_AUTH_FAILURES": Setting(
        60, _whole(0, 1_000_000), "a whole number of invalid tokens a minute, 0 for no limit"
    ),
    "LEADS_CORS_ORIGINS": Setting(
        None, _list_of(ORIGIN), "origins such as https://app.example.com, with commas between them"
    ),
    "LEADS_HOSTS": Setting(
        None,
        _list_of(HOST),
        "names such as leads.example.com, without ports, with commas between them",
    ),
    "LEADS_METRICS_TOKEN": Setting(
        None,
        lambda value: value is None or (_text(value) and len(value) >= 16),  # noqa: PLR2004
        "a secret of 16 characters or more",
        is_secret=True,
    ),
    "LEADS_PROXY_HOPS": Setting(0, _whole(0, 10), "a whole number from 0 to 10"),
    "LEADS_SCORER": Setting(
        "leads_service.scoring:points_by_stage", _text, "a function as package.module:function"
    ),
}

DEFAULTS = {name: setting.default for name, setting in SETTINGS.items()}


def load(overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return every setting: its default, over it the environment's value, over that ``overrides``.

    Raises ConfigError for a value that its setting does not accept, and for a name that is no
    setting but looks like a misspelt one; other ``LEADS_*`` variables are somebody else's.
    """
    environment = Config(root_path="")
    try:
        environment.from_prefixed_env("LEADS", loads=str)
    except TypeError as error:  # LEADS_X=1 with LEADS_X__Y=2: the second wants the first a dict
        raise ConfigError(
            "a LEADS_ variable with two underscores in its name contradicts another one; unset it"
        ) from error
    given = {f"LEADS_{name}": value for name, value in environment.items()}
    for name in given.keys() & SETTINGS.keys():
        if isinstance(SETTINGS[name].default, int):
            with suppress(ValueError):  # it is refused below
                given[name] = int(given[name])
    given |= overrides or {}
    for name in given.keys() - SETTINGS.keys():
        if similar := get_close_matches(name, SETTINGS, n=1, cutoff=0.85):
            raise ConfigError(f"{name} is not a setting; did you mean {similar[0]}?")
    values = {name: given.get(name, setting.default) for name, setting in SETTINGS.items()}
    for name, value in values.items():
        if not SETTINGS[name].accepts(value):
            found = "what it is" if SETTINGS[name].is_secret else repr(value)
            raise ConfigError(f"{name} must be {SETTINGS[name].expected}, not {found}")
    return values


def import_extra(module: str, extra: str) -> Any:
    """Return a module that only installations with an extra have.

    Args:
        module: The full name of the module.
        extra: The extra of this package that brings it.

    Raises:
        ConfigError: It is not installed.

    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed; run: pip install 'leads-service[{extra}]'"
        ) from error


def database_url(settings: dict[str, Any], instance_path: str) -> str:
    """Return the database's URL: the one that is set, or ``leads.db`` in the instance folder.

    Creates the instance folder if it has to; raises ConfigError if it can't.
    """
    if settings["LEADS_DATABASE"] is not None:
        return str(settings["LEADS_DATABASE"])
    folder = Path(instance_path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot create {folder} ({error.strerror}); set LEADS_DATABASE to a writable place"
        ) from error
    return f"sqlite:///{quote(str(folder / 'leads.db'))}"
