"""Optional dependencies."""

from importlib import import_module
from typing import Any

from leads_service.exceptions import ConfigError


def import_extra(module: str, extra: str) -> Any:
    """Import and return a module of an optional dependency.

    Args:
        module: The full name of the module.
        extra: The extra of this package that installs it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed; run: pip install 'leads-service[{extra}]'"
        ) from error
