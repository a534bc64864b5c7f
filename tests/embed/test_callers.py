"""How a host says who calls."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, abort, g, make_response, session
from peewee import Database
from werkzeug.exceptions import Unauthorized

from leads_service import init_app
from tests.embed.hosts import NotLoggedInError


@pytest.mark.parametrize("where", ["user_id", "before_request"])
def test_the_host_answers_its_own_exceptions(
    database: Database, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise NotLoggedInError

    app = Flask("host")
    if where == "before_request":
        app.before_request(refuse)
    app.register_error_handler(NotLoggedInError, lambda error: ("log in here", 418))
    init_app(app, user_id=refuse, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.text) == (418, "log in here")


@pytest.mark.parametrize("user", [5, 0, -7, 2**63 - 1])
def test_an_id_that_comes_as_text(database: Database, user: int) -> None:
    """As Flask-Login's get_id() has it."""
    app = Flask("host")
    init_app(app, user_id=lambda: str(user), database=database)
    made = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert made.get_json()["user_id"] == user


@pytest.mark.parametrize(
    "found",
    [
        *("", "ada", "05", "+5", " 5", "5.0", "\u0665", str(2**63), str(UUID(int=5))),
        *(2**63, True, 5.0, b"5", UUID(int=5)),
    ],
    ids=repr,
)
def test_an_id_that_is_no_integer(
    database: Database, found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: found, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.get_json()["code"]) == (500, 500)
    assert repr(found) not in answer.text
    assert f"user_id returned {found!r}, but leads belong to integers of 64 bits" in caplog.text
    assert "a number that you keep for each user" in caplog.text


@pytest.mark.parametrize(
    "nobody", [lambda: None, lambda: g.user.id, lambda: session["id"], lambda: g.get("user")["id"]]
)
def test_nobody(database: Database, nobody: Callable[[], Any]) -> None:
    app = Flask("host")
    init_app(app, user_id=nobody, database=database)
    assert app.test_client().get("/v1/leads").status_code == 401


class LoginNeededError(Unauthorized):
    """What a host may answer with a redirect."""


def need_login() -> None:
    raise LoginNeededError


def complete() -> None:
    abort(401, response=make_response("custom", 401))


@pytest.mark.parametrize(
    ("user_id", "status", "text"), [(need_login, 302, ""), (complete, 401, "custom")]
)
def test_the_hosts_ways_to_refuse(
    database: Database, user_id: Callable[[], None], status: int, text: str
) -> None:
    app = Flask("host")
    app.register_error_handler(LoginNeededError, lambda error: ("", 302, {"Location": "/login"}))
    init_app(app, user_id=user_id, database=database)
    answer = app.test_client().get("/v1/leads")
    assert (answer.status_code, answer.text) == (status, text)
