"""The leads as a part of another application, which stays what it is."""

import re
from typing import Any

import pytest
from flask import Flask, abort, request
from flask_smorest import Api, Blueprint
from flask_wtf.csrf import CSRFProtect
from peewee import Database, OperationalError

from leads_service import create_app, init_app
from tests.embed.hosts import DOCUMENTED, LEADS
from tests.helpers import APART, document, with_trusted_hosts
from tests.scorers import raises


def test_leads_of_the_hosts_users(host: Flask) -> None:
    alice, bob, nobody = (host.test_client() for _ in range(3))
    alice.get("/login/7")
    bob.get("/login/8")
    made = alice.post(LEADS, json={"company_id": 1})
    assert made.status_code == 201
    assert made.headers["Location"] == f"http://localhost{LEADS}/1"
    assert made.headers["X-Request-ID"]
    assert made.get_json()["user_id"] == 7
    assert alice.get(LEADS).get_json()["data"] == [made.get_json()]
    assert bob.get(LEADS).get_json()["data"] == []
    assert bob.patch(f"{LEADS}/1", json={"status": "lost"}).status_code == 404
    assert alice.patch(f"{LEADS}/1", json={"status": "lost"}).get_json()["status"] == "lost"
    refused = nobody.get(LEADS)
    assert (refused.status_code, refused.get_json()["message"]) == (401, "Log in first.")
    assert "WWW-Authenticate" not in refused.headers


def test_our_errors_are_ours(host: Flask) -> None:
    client = host.test_client()
    client.get("/login/7")
    answer = client.get(f"{LEADS}?statsu=new", headers={"X-Request-ID": "mine"})
    assert answer.get_json()["errors"] == {"query": {"statsu": ["Unknown field."]}}
    assert answer.headers["X-Request-ID"] == "mine"
    assert client.patch(f"{LEADS}/9", json={}).get_json()["code"] == 404
    assert client.post(LEADS, data="{").get_json()["code"] == 415


def test_the_host_keeps_its_pages_errors_and_json(host: Flask) -> None:
    client = host.test_client()
    assert client.get("/").text == '{"hello" : "you"}\n'
    assert client.get("/no/such/page").text == "<h1>the host's own page</h1>"
    assert client.get("/crm/v1/nothing").text == "<h1>the host's own page</h1>"
    assert client.get("/fails").status_code == 500
    assert "X-Request-ID" not in client.get("/").headers


def test_the_hosts_hooks_run_for_leads_too(host: Flask) -> None:
    client = host.test_client()
    visits = [client.get(LEADS).headers["X-Visits"] for _ in range(3)]
    assert visits == ["1", "2", "3"]


def test_an_abort_before_it_is_our_turn(database: Database) -> None:
    app = Flask("host")
    app.before_request(lambda: abort(403, "members only"))
    init_app(app, user_id=lambda: 1, database=database)
    assert app.test_client().get("/v1/leads").get_json()["message"] == "members only"


def test_the_hosts_document(database: Database) -> None:
    app = Flask("host")
    app.config.update(DOCUMENTED)
    api = Api(app)
    blp = Blueprint("things", "things", url_prefix="/things")

    @blp.get("/")
    def things() -> Any:
        """Say what things there are."""

    api.register_blueprint(blp)
    init_app(app, user_id=lambda: 1, database=database, api=api, url_prefix="/crm/v1")
    document = app.test_client().get("/openapi.json").get_json()
    assert document["paths"].keys() == {"/things/", LEADS, f"{LEADS}/{{lead_id}}"}
    assert "security" not in document["paths"][LEADS]["get"]
    assert "securitySchemes" not in document["components"]
    assert document["info"]["title"] == "Host"
    assert app.test_client().get("/v1/nothing").json == {"code": 404, "status": "Not Found"}


def test_tokens_of_ours_in_a_host(database: Database) -> None:
    app = Flask("host")
    app.config.update(DOCUMENTED)
    api = Api(app)
    init_app(app, database=database, api=api)
    runner = app.test_cli_runner(**APART)
    runner.invoke(args=["leads", "user", "add", "alice"])
    token = runner.invoke(args=["leads", "token", "create", "alice"]).stdout.strip()
    client = app.test_client()
    assert client.get("/v1/leads").status_code == 401
    assert (
        client.get("/v1/leads", headers={"Authorization": f"Bearer {token}"}).get_json()["data"]
        == []
    )
    document = client.get("/openapi.json").get_json()
    assert document["paths"]["/v1/leads"]["get"]["security"] == [{"leadsToken": []}]
    assert document["components"]["securitySchemes"].keys() == {"leadsToken"}
    assert "`flask leads token create NAME`" in str(document["components"]["securitySchemes"])


@with_trusted_hosts
def test_hosts_that_the_host_does_not_trust(host: Flask) -> None:
    client = host.test_client()
    client.get("/login/7")
    host.config["TRUSTED_HOSTS"] = ["localhost"]
    for path in (LEADS, "/"):
        refused = client.post(path, json={"company_id": 1}, headers={"Host": "evil.test"})
        assert refused.status_code == 400
    assert client.post(LEADS, json={"company_id": 1}).get_json()["id"] == 1, (
        "nothing was stored before"
    )


def test_csrf_protection_of_the_hosts(database: Database) -> None:
    """With the documentation's line; a name instead of the blueprint would exempt nothing."""
    (line,) = re.findall(r"^csrf\.exempt.*", document("docs/embedding.md"), re.MULTILINE)
    app = Flask("host")
    app.secret_key = "x" * 32
    app.post("/form")(lambda: "stored")
    csrf = CSRFProtect(app)
    init_app(app, user_id=lambda: 1, database=database, url_prefix="/crm/v1")
    client = app.test_client()
    assert client.post(LEADS, json={"company_id": 1}).status_code == 400
    eval(line, {"app": app, "csrf": csrf})  # noqa: S307  # our document's
    assert client.post(LEADS, json={"company_id": 1}).status_code == 201
    assert client.patch(f"{LEADS}/1", json={"status": "lost"}).status_code == 200
    assert client.delete(f"{LEADS}/1").status_code == 204
    assert client.post("/form").status_code == 400


def test_two_hosts_in_one_process(tmp_path: Any) -> None:
    apps = [Flask("host"), Flask("host")]
    for number, app in enumerate(apps):
        url = f"sqlite:///{tmp_path}/{number}.db"
        init_app(app, user_id=lambda: 1, database=url, url_prefix=f"/{number}")
    alone = create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path}/2.db"})
    for number in range(2):
        client = apps[number].test_client()
        for _ in range(number + 1):
            client.post(f"/{number}/leads", json={"company_id": 1})
        assert len(client.get(f"/{number}/leads").get_json()["data"]) == number + 1
    assert alone.test_client().get("/v1/leads").status_code == 401


def test_mistakes_are_the_hosts_to_see(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("host")
    init_app(app, user_id=lambda: 7, database=database, scorer=raises)
    answer = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.get_json()["message"]
    assert answer.headers["X-Request-ID"] in caplog.text
    assert "secret internals" in caplog.text


def test_a_lead_that_was_stored_is_not_denied(database: Database) -> None:
    def fail(_: Any) -> Any:
        raise OperationalError("the host's own audit log is locked")

    app = Flask("host")
    init_app(app, user_id=lambda: 1, database=database)
    app.after_request(fail)
    answer = app.test_client().post("/v1/leads", json={"company_id": 1})
    assert answer.status_code == 500
    assert "nothing was stored" not in answer.text


def test_the_hosts_limit_on_bodies(database: Database) -> None:
    app = Flask("host")
    app.config["MAX_CONTENT_LENGTH"] = 100
    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    answer = client.post("/v1/leads", json={"company_id": 1, "notes": "a" * 100})
    assert (answer.status_code, answer.get_json()["message"]) == (
        413,
        "The body is larger than 100 bytes.",
    )
    assert client.post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_no_body_where_there_is_none(database: Database) -> None:
    app = Flask("host")

    @app.after_request
    def tag(response: Any) -> Any:
        response.add_etag()
        return response.make_conditional(request)

    init_app(app, user_id=lambda: 1, database=database)
    client = app.test_client()
    etag = client.get("/v1/leads").headers["ETag"]
    answer = client.get("/v1/leads", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_an_address_with_a_slash_too_many(database: Database) -> None:
    app = Flask("host")
    app.url_map.strict_slashes = False
    init_app(app, user_id=lambda: 1, database=database)
    answer = app.test_client().post("/v1/leads/", json={"company_id": 1})
    assert answer.headers["Location"] == "http://localhost/v1/leads/1"
