"""The health check, the OpenAPI document and the page that shows it."""

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from leads_service import __version__
from tests.helpers import Caller, with_trusted_hosts

ADDRESSES = {
    "leads": "/v1/leads",
    "board": "/board",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/healthz",
}
BROWSERS: list[str | None] = [
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "text/html",
    "text/*",
    "application/json;q=0.5, text/html",
]
PROGRAMS: list[str | None] = [
    None,
    "*/*",
    "application/json",
    "application/json, text/plain, */*",
    "image/png",
]
PROGRAMS += ["text/html;q=0.5, application/json", "text/html;q=0, */*"]


@pytest.mark.parametrize("prefix", ["", "/crm"])
@pytest.mark.parametrize("accept", BROWSERS + PROGRAMS)
def test_index(client: FlaskClient, alice: Caller, accept: str | None, prefix: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = client.get("/", headers=headers, environ_overrides={"SCRIPT_NAME": prefix})
    assert answer.headers["Vary"] == "Accept"
    if accept in BROWSERS:
        assert (answer.status_code, answer.data) == (303, b"")
        assert answer.headers["Location"] == f"{prefix}/board"
    else:
        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.json == {name: f"{prefix}{path}" for name, path in ADDRESSES.items()}
    for path in ADDRESSES.values():
        assert alice.client.get(path).status_code == 200


def test_nobody_writes_to_the_index(client: FlaskClient) -> None:
    assert client.post("/").status_code == 405
    assert client.head("/").status_code == 200


def test_health(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok"}


def test_document(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.")
    assert document["info"]["version"] == __version__
    statuses = {
        f"{method} {path}": set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    common = {"401", "422", "429", "500", "503"}
    body = {"400", "403", "411", "413", "415"}
    assert statuses == {
        "get /v1/leads": {"200"} | common,
        "post /v1/leads": {"201", "410"} | common | body,
        "get /v1/leads/{lead_id}": {"200", "404"} | common,
        "patch /v1/leads/{lead_id}": {"200", "404", "412"} | common | body,
        "delete /v1/leads/{lead_id}": {"204", "403", "404", "412"} | common,
        "get /healthz": {"200", "500", "503"},
    }
    assert document["components"]["securitySchemes"]["leadsToken"]["scheme"] == "bearer"
    one = document["paths"]["/v1/leads/{lead_id}"]
    for operation in (
        document["paths"]["/v1/leads"]["get"],
        document["paths"]["/v1/leads"]["post"],
        *(one[method] for method in ("get", "patch", "delete")),
    ):
        assert operation["security"] == [{"leadsToken": []}]
    for operation in (one["patch"], one["delete"]):
        assert [parameter["name"] for parameter in operation["parameters"]] == ["If-Match"]
        assert operation["responses"]["412"] == {"$ref": "#/components/responses/Leads412"}
    tagged = [one["get"]["responses"]["200"], one["patch"]["responses"]["200"]]
    tagged.append(document["paths"]["/v1/leads"]["post"]["responses"]["201"])
    tagged.append(document["components"]["responses"]["Leads412"])
    assert all("ETag" in response["headers"] for response in tagged)
    conflict = document["components"]["schemas"]["LeadsChangedError"]["properties"]
    assert conflict["lead"]["$ref"] == "#/components/schemas/Lead"
    assert document["paths"]["/healthz"]["get"]["security"] == []


def test_the_document_names_every_bound(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    parameters = {
        parameter["name"]: parameter["schema"]
        for parameter in document["paths"]["/v1/leads"]["get"]["parameters"]
    }
    assert {"minimum": 1, "maximum": 200}.items() <= parameters["limit"].items()
    for name in ("min_score", "max_score"):
        assert {"minimum": 0, "maximum": 100}.items() <= parameters[name].items()
    for name in ("company_id", "cursor"):
        assert {"minimum": 1, "maximum": 2**63 - 1}.items() <= parameters[name].items()
    notes = document["components"]["schemas"]["LeadCreate"]["properties"]["notes"]
    assert notes["maxLength"] == 10_000
    assert document["components"]["schemas"]["LeadCreate"]["additionalProperties"] is False


def test_docs_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    addresses = re.findall(r'(?:src|href|data-document)="([^"]*)"', page.text)
    assert len(addresses) == 5
    for address in addresses:
        assert address.startswith("/")
        with client.get(address) as answer:
            assert answer.status_code == 200
    assert not re.search(r"<script[^>]*>[^<]", page.text)


def test_docs_files_are_those_of_swagger_ui_only(client: FlaskClient) -> None:
    for name in ("nothing.js", "..%2f__init__.py", "%2fetc%2fpasswd"):
        assert client.get(f"/docs/{name}").status_code == 404


def test_the_document_says_where_it_is(client: FlaskClient) -> None:
    """Whole: of an address without a host, some generators make one of their own machine."""
    plain = client.get("/openapi.json", base_url="https://crm.test:8443")
    assert plain.get_json()["servers"] == [{"url": "https://crm.test:8443"}]
    prefixed = client.get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/crm"})
    assert prefixed.get_json()["servers"] == [{"url": "http://localhost/crm"}]
    overrides = {"HTTP_HOST": "a b", "SERVER_NAME": "crm.test", "SERVER_PORT": "8000"}
    nonsense = client.get("/openapi.json", environ_overrides=overrides)
    assert nonsense.get_json()["servers"] == [{"url": "http://crm.test:8000"}]


def test_docs_files_come_whole_and_once(client: FlaskClient) -> None:
    """A server can send a list at once; an iterator would hold a thread until it is read."""
    path = "/docs/swagger-ui-bundle.js"
    environ = EnvironBuilder(path).get_environ()
    assert isinstance(client.application.wsgi_app(environ, lambda *_: lambda _: None), list)
    tag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304


@with_trusted_hosts
@pytest.mark.parametrize("host", ["", "a,b", 'a"b', "é", "h:999999", "a b"])
def test_addresses_have_a_host_whatever_is_sent(alice: Caller, host: str) -> None:
    overrides = {"HTTP_HOST": host, "SERVER_NAME": "crm.test", "SERVER_PORT": "8000"}
    answer = alice.client.post("/v1/leads", json={"company_id": 1}, environ_overrides=overrides)
    assert answer.headers["Location"] == "http://crm.test:8000/v1/leads/1"


def test_get_is_answered_behind_a_prefix(alice: Caller) -> None:
    """A server that mounts the application says so in SCRIPT_NAME."""
    client = alice.client
    for number in (1, 2):
        answer = client.post(
            "/v1/leads", json={"company_id": number}, environ_overrides={"SCRIPT_NAME": "/crm"}
        )
        assert answer.headers["Location"] == f"http://localhost/crm/v1/leads/{number}"
    answer = client.get("/v1/leads?limit=1", environ_overrides={"SCRIPT_NAME": "/crm"})
    assert answer.headers["Link"] == '<http://localhost/crm/v1/leads?limit=1&cursor=2>; rel="next"'
