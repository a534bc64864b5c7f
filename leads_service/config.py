"""The settings: defaults, and ``LEADS_*`` environment variables, validated at the start."""

import re
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Config

from leads_service.exceptions import ConfigError

# Of a worker: while six threads wait for stalled request bodies, two serve other requests. More
# threads would contend for the GIL.
THREADS = 8

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*")  # .example.com includes all subdomains


class Setting(NamedTuple):
    """A setting.

    Attributes:
        default: Its value unless it is set.
        accepts: Returns whether a value is valid.
        expected: What is valid, for the message "NAME must be ...".
        is_secret: Whether messages must not contain the value.
    """

    default: Any
    accepts: Callable[[Any], bool]
    expected: str
    is_secret: bool = False


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def names(value: str | None) -> list[str]:
    """Return the items of a comma-separated list; none for None."""
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
        lambda value: value is None or (_text(value) and len(value) >= 16),  # noqa: PLR2004  # said below
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
    """Return all settings by name.

    Args:
        overrides: Settings that override the environment, which overrides the defaults.

    Raises:
        ConfigError: A value is not valid, or a name looks like a misspelt setting. Other
            ``LEADS_*`` variables are ignored.
    """
    environment = Config(root_path="")
    try:
        environment.from_prefixed_env("LEADS", loads=str)
    except TypeError as error:  # LEADS_X=1 and LEADS_X__Y=2: Flask reads __ as a key of a dict
        raise ConfigError(
            "a LEADS_ variable with two underscores in its name contradicts another one; unset it"
        ) from error
    given = {f"LEADS_{name}": value for name, value in environment.items()}
    for name in given.keys() & SETTINGS.keys():
        if isinstance(SETTINGS[name].default, int):
            with suppress(ValueError):  # reported below
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


def database_url(settings: dict[str, Any], instance_path: str) -> str:
    """Return the URL of the database.

    Args:
        settings: The settings.
        instance_path: The folder of ``leads.db`` if ``LEADS_DATABASE`` is not set; it is created if
            it does not exist.

    Raises:
        ConfigError: The folder can't be created.
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
