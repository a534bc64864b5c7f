"""Packages that a host application does not need, and what to install where they are missing."""

from importlib import import_module
from typing import Any

from leads_service.config import ConfigError


def import_extra(module: str, extra: str) -> Any:
    """Return a module for which setup.cfg has an ``extra``; raises ConfigError if it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed; run: pip install 'leads-service[{extra}]'"
        ) from error
