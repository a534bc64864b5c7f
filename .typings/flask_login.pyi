# What the tests use of Flask-Login, which has no type hints.
from collections.abc import Callable
from typing import Any

from flask import Flask

class UserMixin:
    is_authenticated: bool

class LoginManager:
    def __init__(self, app: Flask | None = None) -> None: ...
    def user_loader(self, callback: Callable[[str], UserMixin | None]) -> Any: ...

current_user: Any

def login_user(user: UserMixin) -> bool: ...
def logout_user() -> bool: ...
