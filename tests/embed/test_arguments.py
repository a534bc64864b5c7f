"""What init_app takes and what it refuses."""

from typing import Any

import pytest
from flask import Flask
from flask_smorest import Api
from peewee import Database, DatabaseProxy, SqliteDatabase

from leads_service import init_app
from leads_service.exceptions import ConfigError
from tests.embed.hosts import SMOREST
from tests.scorers import by_notes


def test_a_url_and_settings_of_the_hosts(tmp_path: Any) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    app.config["LEADS_SCORER"] = "tests.scorers:by_notes"
    init_app(app, user_id=lambda: 1, url_prefix="/a/b", database=f"sqlite:///{tmp_path}/x.db")
    answer = app.test_client().post("/a/b/leads", json={"company_id": 1, "notes": "123"})
    assert answer.get_json()["score"] == 3
    assert (tmp_path / "x.db").is_file()
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    init_app(app, user_id=lambda: 1, url_prefix="", scorer=by_notes)
    assert (tmp_path / "instance" / "leads.db").is_file()
    answer = app.test_client().post("/leads", json={"company_id": 1, "notes": "12"})
    assert answer.get_json()["score"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_id": 7}, "user_id must be a plain function"),
        ({"database": 7}, "database must be a Peewee SqliteDatabase"),
        ({"database": SqliteDatabase(None)}, "that knows its file"),
        ({"database": DatabaseProxy()}, "database must be a Peewee SqliteDatabase"),
        ({"database": "leads.db"}, "LEADS_DATABASE must be sqlite:///"),
        ({"database": ""}, "LEADS_DATABASE must be sqlite:///"),
        ({"scorer": 50}, "scorer must be a function"),
        ({"api": "/api"}, "api must be a flask_smorest.Api"),
        ({"api": Api()}, "api must be a flask_smorest.Api of this application"),
        ({"url_prefix": "v1"}, "url_prefix must be a path"),
        ({"url_prefix": "/v1/"}, "url_prefix must be a path"),
        ({"url_prefix": "/<tenant>"}, "url_prefix must be a path"),
        ({"url_prefix": None}, "url_prefix must be a path"),
    ],
    ids=lambda argument: argument if isinstance(argument, str) else None,
)
def test_wrong_arguments_fail_at_once(arguments: dict[str, Any], message: str) -> None:
    app = Flask("host")
    before = dict(app.extensions)
    with pytest.raises((TypeError, ValueError, ConfigError), match=message) as caught:
        init_app(app, **arguments)
    assert "\n" not in str(caught.value)
    assert app.extensions == before


def test_other_wrong_calls(database: Database) -> None:
    with pytest.raises(TypeError, match="app must be a Flask application"):
        init_app("host")  # type: ignore[arg-type]  # tried
    app = Flask("host")
    init_app(app, database=database)
    with pytest.raises(ValueError, match="has leads already"):
        init_app(app, database=database)
    app = Flask("host")
    app.config.update(SMOREST | {"OPENAPI_VERSION": "2.0"})
    with pytest.raises(ValueError, match="OpenAPI 3"):
        init_app(app, database=database, api=Api(app))
