# What the tests use of Flask-WTF, which has no type hints.
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask
from flask.sansio.blueprints import Blueprint

_Exempt = TypeVar("_Exempt", bound=Callable[..., Any] | Blueprint | str)

class CSRFProtect:
    def __init__(self, app: Flask | None = None) -> None: ...
    def exempt(self, view: _Exempt) -> _Exempt: ...
