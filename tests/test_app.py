"""The application as a whole: settings, proxies, scorers, two at once."""

import re
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask, Response
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from leads_service import create_app
from tests.helpers import Caller, Clock, caller, with_trusted_hosts


def test_the_environment_sets_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_DATABASE", f"sqlite:///{tmp_path}/other%20name.db")
    create_app()
    assert (tmp_path / "other name.db").is_file()


@pytest.mark.parametrize(("hops", "address"), [(0, "http://localhost"), (1, "https://crm.test/x")])
def test_proxy_headers_are_trusted_when_told(
    url: str, alice: Caller, hops: int, address: str
) -> None:
    client = create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": hops}).test_client()
    forwarded = {"Proto": "https", "Host": "crm.test", "Prefix": "/x", "For": "192.0.2.1"}
    headers = {f"X-Forwarded-{name}": value for name, value in forwarded.items()}
    headers["Authorization"] = f"Bearer {alice.token}"
    answer = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert answer.headers["Location"] == f"{address}/v1/leads/1"
    led = client.get("/", headers=headers | {"Accept": "text/html"})
    assert led.headers["Location"] == ("/x/board" if hops else "/board")


def test_a_create_is_spared_what_flask_does_for_others(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look for asynchronous functions, and to mend a Location: "pieces.py" has the times."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("this is not needed")

    alice.client.post("/v1/leads", json={"company_id": 1})  # looks once
    monkeypatch.setattr("flask.app.iscoroutinefunction", refuse)
    monkeypatch.setattr("werkzeug.wrappers.response.iri_to_uri", refuse)
    assert alice.client.post("/v1/leads", json={"company_id": 1}).status_code == 201


def test_mounted_under_a_path(app: Flask, alice: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = DispatcherMiddleware(NotFound(), {"/crm": app.wsgi_app})
    monkeypatch.setattr(app, "wsgi_app", mounted)
    made = alice.client.post("/crm/v1/leads", json={"company_id": 1})
    assert made.headers["Location"] == "http://localhost/crm/v1/leads/1"
    alice.client.post("/crm/v1/leads", json={"company_id": 1})
    page = alice.client.get("/crm/v1/leads?limit=1")
    assert page.headers["Link"] == ('<http://localhost/crm/v1/leads?limit=1&cursor=2>; rel="next"')
    assert alice.client.get("/crm/openapi.json").get_json()["servers"] == [
        {"url": "http://localhost/crm"}
    ]
    links = re.findall(r'(?:src|href|data-document)="(.*?)"', alice.client.get("/crm/docs").text)
    assert len(links) == 5
    assert {alice.client.get(link).status_code for link in links} == {200}
    board = alice.client.get("/crm/board").text
    links = re.findall(r'(?:src|href)="(/.*?)"', board)
    assert len(links) >= 3
    assert {alice.client.get(link).status_code for link in links} == {200}
    assert "&#34;/crm/v1/leads&#34;" in board
    assert alice.client.get("/v1/leads").status_code == 404
    led = alice.client.get("/crm/", headers={"Accept": "text/html"})
    assert (led.status_code, led.headers["Location"]) == (303, "/crm/board")


@with_trusted_hosts
@pytest.mark.parametrize("path", ["/v1/leads", "/v1/leads/1", "/v1/nothing", "/healthz", "/no"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_hosts_that_are_not_trusted(app: Flask, alice: Caller, method: str, path: str) -> None:
    app.config["TRUSTED_HOSTS"] = ["crm.test", ".example.com"]
    for client in (alice.client, app.test_client()):
        for host in ("evil.test", "evil.test:80", "crm.test.evil.test", "", "a b"):
            answer = client.open(path, method=method, json={}, headers={"Host": host})
            assert (answer.status_code, answer.get_json()["code"]) == (400, 400)
            assert answer.headers["X-Request-ID"]
    for host in ("crm.test", "crm.test:8000", "a.example.com"):
        answer = alice.client.open(path, method=method, json={}, headers={"Host": host})
        assert answer.status_code != 400


@with_trusted_hosts
def test_where_a_lead_is_on_a_trusted_host(app: Flask, alice: Caller) -> None:
    app.config["TRUSTED_HOSTS"] = ["crm.test"]
    for host, statuses in (("evil.test", (400,)), ("crm.test", (201,))):
        answer = alice.client.post("/v1/leads", json={"company_id": 1}, headers={"Host": host})
        assert answer.status_code in statuses
    assert answer.headers["Location"] == "http://crm.test/v1/leads/1", "nothing was stored before"


def test_a_query_that_is_no_utf8(alice: Caller) -> None:
    environ = alice.client.get("/v1/leads").request.environ | {"QUERY_STRING": "cursor=\xff"}
    answer = alice.client.open(environ)
    assert answer.status_code == 422


def test_async_functions_are_not_called_as_others_are(app: Flask) -> None:
    """Flask runs them with asgiref, which is not among what we install; it says so."""

    async def look() -> None:
        pass

    with pytest.raises(RuntimeError, match="Install Flask with the 'async' extra"):
        app.ensure_sync(look)


def test_a_scorer_of_ones_own(url: str, clock: Clock) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_SCORER": "tests.scorers:by_notes"}, clock=clock)
    client = caller(app, "carol").client
    assert client.post("/v1/leads", json={"company_id": 1, "notes": "123"}).get_json()["score"] == 3
    assert client.patch("/v1/leads/1", json={"notes": "12345"}).get_json()["score"] == 5
    assert client.get("/v1/leads?min_score=5").get_json()["data"][0]["id"] == 1


def test_a_read_does_not_wait_for_one_that_is_stuck(app: Flask, alice: Caller) -> None:
    """Reads go one by one, for speed; here the second one can't wait until the first one ends."""
    inner: list[int | None] = []

    @app.after_request
    def read_again(response: Response) -> Response:
        if not inner:
            inner.append(None)
            inner.append(alice.client.get("/v1/leads").status_code)
        return response

    assert alice.client.get("/v1/leads").status_code == 200
    assert inner == [None, 200]


def test_two_applications_in_one_process(tmp_path: Path) -> None:
    apps = [create_app({"LEADS_DATABASE": f"sqlite:///{tmp_path / name}"}) for name in "ab"]
    clients = [caller(app, "alice").client for app in apps]
    clients[0].post("/v1/leads", json={"company_id": 1})
    assert [len(client.get("/v1/leads").get_json()["data"]) for client in clients] == [1, 0]


@pytest.mark.parametrize("name", ["instance", "50% #1? a%20b ë"])
def test_the_instance_folder(tmp_path: Path, name: str) -> None:
    create_app(instance_path=str(tmp_path / name))
    assert (tmp_path / name / "leads.db").exists()
