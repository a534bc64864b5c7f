"""Reading query strings: what was read before is not read again, and nobody gets another's."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, RAISE, Schema, fields

from leads_service.api.parsing import MAX_CACHED_QUERIES, MAX_CACHED_QUERY_LENGTH, StrictParser


class NumberSchema(Schema):
    reads = 0

    limit = fields.Integer(load_default=50)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        type(self).reads += 1
        return super().load(*args, **kwargs)


class TextSchema(Schema):
    limit = fields.String(load_default="ALL")


class Views(Blueprint):
    ARGUMENTS_PARSER = StrictParser()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Several views on one blueprint; each changes what it is given, and says what it was."""
    monkeypatch.setattr(NumberSchema, "reads", 0)
    monkeypatch.setattr(Views, "ARGUMENTS_PARSER", StrictParser())
    blp = Views("views", __name__)
    number = NumberSchema()

    def view(path: str, schema: Any, unknown: str) -> None:
        @blp.route(path, endpoint=path.strip("/"))
        @blp.arguments(schema, location="query", unknown=unknown)
        def show(query: dict[str, Any]) -> dict[str, Any]:
            given = dict(query)
            query["limit"] = "spoilt"
            return given

    view("/number", number, RAISE)
    view("/lenient", number, EXCLUDE)
    view("/text", TextSchema(), RAISE)
    view("/fields", {"limit": fields.String(load_default="of its own")}, RAISE)
    app = Flask("host")
    app.register_blueprint(blp)
    return app.test_client()


@pytest.mark.parametrize("query", ["", "?limit=7"])
def test_each_view_gets_what_its_own_schema_reads(client: FlaskClient, query: str) -> None:
    paths = ("/number", "/text", "/fields", "/number", "/text", "/fields")
    found = [client.get(f"{path}{query}").get_json()["limit"] for path in paths]
    assert found == ([7, "7", "7"] if query else [50, "ALL", "of its own"]) * 2


def test_what_is_unknown_to_one_view(client: FlaskClient) -> None:
    statuses = [client.get(f"{path}?x=1").status_code for path in ("/lenient", "/number") * 2]
    assert statuses == [200, 422] * 2


def test_the_same_is_read_once(client: FlaskClient) -> None:
    for number in (1, 2, 1, 2, 1):
        assert client.get(f"/number?limit={number}").json == {"limit": number}
    assert NumberSchema.reads == 2


@pytest.mark.slow
def test_what_is_remembered_is_bounded(client: FlaskClient) -> None:
    for number in (*range(MAX_CACHED_QUERIES + 1), 0):
        client.get(f"/number?limit={number}")
    assert NumberSchema.reads == MAX_CACHED_QUERIES + 2, "the first one was forgotten"
    for _ in range(2):
        client.get(f"/number?limit={'0' * MAX_CACHED_QUERY_LENGTH}1")
    assert NumberSchema.reads == MAX_CACHED_QUERIES + 4, "one so long is not remembered"
