"""The OpenAPI document: what a page fills in, what errors look like, what generators make of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_smorest import Api
from peewee import SqliteDatabase
from werkzeug.test import Client, TestResponse

from leads_service import create_app, init_app
from leads_service.api.openapi import ERRORS, ERRORS_WITHOUT_TOKENS
from leads_service.lead import CREATABLE, FIELDS, STATUSES
from leads_service.stub import Stub
from leads_service.stub.samples import TOKENS
from tests.helpers import Caller, Clock, caller, json_object

LEADS = "/v1/leads"
LEAD = {name: FIELDS[name].example for name in CREATABLE}
REQUEST_ID = {"X-Request-ID": "4f0c6a52"}
# What Swagger UI fills a parameter's field in with, of the parameter and of its schema.
FILLED_IN = ("default", "example", "examples")
SMOREST = {"API_TITLE": "Host", "API_VERSION": "1", "OPENAPI_VERSION": "3.1.0"}
SMOREST |= {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "openapi.json"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    return json_object(client.get("/openapi.json"))


@pytest.fixture(params=["Lead before", "Lead after"])
def host(request: pytest.FixtureRequest, database_file: Path) -> Flask:
    """A host with users, and with a schema of its own for a Lead, made before ours or after."""
    app = Flask("host")
    app.config.update(SMOREST)
    api = Api(app)
    lead = {"type": "object", "description": "What the host calls a lead."}
    if request.param == "Lead before":
        api.spec.components.schema("Lead", lead)
    database = SqliteDatabase(str(database_file))
    init_app(app, user_id=lambda: None, database=database, api=api, url_prefix="/crm/v1")
    if request.param == "Lead after":
        api.spec.components.schema("Lead", lead)
    return app


@pytest.fixture
def host_document(host: Flask) -> dict[str, Any]:
    return json_object(host.test_client().get("/openapi.json"))


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in a document."""
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        yield from parts(child)


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the document refers to, or the part."""
    if "$ref" not in part:
        return part
    found = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_no_parameter_is_filled_in(document: dict[str, Any]) -> None:
    parameters = [
        parameter
        for path in document["paths"].values()
        for item in (path, *(operation for operation in path.values() if "responses" in operation))
        for parameter in item.get("parameters", ())
    ]
    names = {parameter["name"] for parameter in parameters}
    assert names >= {"status", "limit", "lead_id", "Idempotency-Key", "If-Match"}
    for parameter in parameters:
        filled_in = parameter.keys() | resolved(document, parameter["schema"]).keys()
        assert not filled_in.intersection(FILLED_IN), parameter["name"]


def test_all_texts_are_bounded(document: dict[str, Any]) -> None:
    texts = [part for part in parts(document) if part.get("type") in ("string", ["string", "null"])]
    assert len(texts) > 20
    assert [text for text in texts if not {"maxLength", "enum"}.intersection(text)] == []


def test_one_schema_for_the_status(document: dict[str, Any]) -> None:
    listed = [part for part in parts(document) if part.get("enum") == list(STATUSES)]
    assert listed == [document["components"]["schemas"]["Status"]]
    schemas = document["components"]["schemas"]
    for name in ("Lead", "LeadUpdate"):
        assert schemas[name]["properties"]["status"] == {"$ref": "#/components/schemas/Status"}


def test_sections_are_named_for_readers(document: dict[str, Any]) -> None:
    operations = {
        operation["operationId"]: operation["tags"]
        for path in document["paths"].values()
        for operation in path.values()
        if "operationId" in operation
    }
    assert operations.items() >= {"listLeads": ["Leads"], "getHealth": ["Service"]}.items()
    assert [tag["name"] for tag in document["tags"]] == ["Leads", "Service"]
    assert {name for tags in operations.values() for name in tags} == {"Leads", "Service"}


def test_what_javascript_can_not_hold(document: dict[str, Any]) -> None:
    assert int(float(9007199254740993)) == 9007199254740992  # as JavaScript has it
    text = document["info"]["description"].replace("\n  ", " ")
    assert f"{2**53 - 1}, they are safe in JavaScript" in text
    assert "9007199254740993 becomes 9007199254740992" in text


def provoke(url: str, database_file: Path, clock: Clock, alice: Caller) -> dict[int, TestResponse]:
    """Return an answer with each status of an error."""
    client = alice.client

    def other(user: str = "", **settings: Any) -> FlaskClient:
        app = create_app({"LEADS_DATABASE": url} | settings, clock=clock)
        client = caller(app, user, read_only=True).client if user else app.test_client()
        client.environ_base.setdefault("HTTP_AUTHORIZATION", f"Bearer {alice.token}")
        return client

    created = client.post(LEADS, json=LEAD)
    tag = {"If-Match": created.headers["ETag"]}
    clock.move(seconds=1)
    client.patch(f"{LEADS}/1", json={"status": "contacted"})
    key = {"Idempotency-Key": "1"}
    gone = client.post(LEADS, json=LEAD, headers=key).get_json()["id"]
    client.delete(f"{LEADS}/{gone}")
    chunked = {"SERVER_SOFTWARE": "Granian", "HTTP_TRANSFER_ENCODING": "chunked"}
    nobody = client.application.test_client()
    guesser = other(LEADS_AUTH_FAILURES=1)
    guesser.environ_base["HTTP_AUTHORIZATION"] = "Bearer guess"
    guesser.get(LEADS)
    hasty = other(LEADS_BUSY_TIMEOUT=0)
    blocker = SqliteDatabase(str(database_file))
    with blocker.atomic("IMMEDIATE"):
        locked = hasty.post(LEADS, json=LEAD)
    blocker.close()
    broken = other(LEADS_SCORER="tests.scorers:raises")
    answers = [
        client.post(LEADS, data="{", content_type="application/json"),
        nobody.get(LEADS),
        other("bob").post(LEADS, json=LEAD),
        client.get(f"{LEADS}/99"),
        client.post(LEADS, json=LEAD, headers=key),
        client.post(LEADS, json=LEAD, environ_overrides=chunked),
        client.patch(f"{LEADS}/1", json={}, headers=tag),
        client.post(LEADS, json={"notes": "x" * 300_000}),
        client.post(LEADS, data="{}"),
        client.post(LEADS, json={"company_id": "42"}),
        guesser.get(LEADS),
        broken.post(LEADS, json=LEAD, headers=REQUEST_ID),
        locked,
    ]
    return {answer.status_code: answer for answer in answers}


def test_the_service_answers_as_the_examples_say(
    document: dict[str, Any], url: str, database_file: Path, clock: Clock, alice: Caller
) -> None:
    answers = provoke(url, database_file, clock, alice)
    assert answers.keys() == ERRORS.keys()
    for status, answer in answers.items():
        response = document["components"]["responses"][f"Leads{status}"]
        assert answer.json == response["content"]["application/json"]["example"]
        assert response["headers"].keys() <= set(answer.headers.keys())


def test_a_host_answers_as_the_examples_say(host: Flask, host_document: dict[str, Any]) -> None:
    responses = host_document["components"]["responses"]
    assert {name for name in responses if name.startswith("Leads")} == {
        f"Leads{status}" for status in ERRORS_WITHOUT_TOKENS
    }
    answer = host.test_client().get("/crm/v1/leads")
    assert answer.json == responses["Leads401"]["content"]["application/json"]["example"]
    assert "WWW-Authenticate" not in answer.headers


def test_the_document_of_a_host_is_the_hosts(host_document: dict[str, Any]) -> None:
    text = str(host_document)
    for word in ("token", "Bearer", "429", "'403'", "leads-service "):
        assert word not in text
    headers = host_document["components"]["headers"]
    assert headers["Leads-Location"]["example"] == "https://example.com/crm/v1/leads/1"
    assert headers["Leads-Link"]["example"].startswith("<https://example.com/crm/v1/leads?cursor=")


def test_a_hosts_own_lead_does_not_collide(host_document: dict[str, Any]) -> None:
    schemas = host_document["components"]["schemas"]
    assert schemas.pop("Lead")["description"] == "What the host calls a lead."
    assert schemas.keys() >= {"LeadsLead", "LeadsStatus"}
    assert {name for name in schemas if not name.startswith("Leads")} <= {
        "Error",
        "PaginationMetadata",
    }
    for part in parts(host_document):
        assert resolved(host_document, part) is not None


def test_what_is_referred_to_is_there(
    document: dict[str, Any], host_document: dict[str, Any]
) -> None:
    for whole in (document, host_document):
        found = [resolved(whole, part) for part in parts(whole) if "$ref" in part]
        assert len(found) > 30


def test_the_document_of_a_stub() -> None:
    stub = Stub(log_level="error", leads=0)
    document = Client(stub).get("/openapi.json").get_json()
    stub.close()
    help_text = document["components"]["securitySchemes"]["leadsToken"]["description"]
    assert [token for token in TOKENS.values() if f"`{token}`" not in help_text] == []
    assert "leads-service token" not in help_text
    for path, item in document["paths"].items():
        parameters = [resolved(document, part)["name"] for part in item.get("parameters", ())]
        stubs = [name for name in parameters if name.startswith("X-Stub-")]
        assert stubs == (["X-Stub-Fail", "X-Stub-Delay"] if path.startswith("/v1/") else [])
    assert document["paths"]["/stub/reset"]["post"]["operationId"] == "resetStub"


def test_the_document_of_the_service_knows_no_stub(document: dict[str, Any]) -> None:
    assert "stub" not in str(document).lower()
