"""Which hosts, prefixes and schemes a request may name."""

import pytest

from leads_service import create_app
from tests.helpers import caller, with_trusted_hosts


@with_trusted_hosts
@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(("leads.example.com", True), ("leads.example.com:8443", True), ("crm.example.org", True)),
        *(("localhost:8000", True), ("127.0.0.1:8000", True), ("evil.example.net", False)),
        *(("evil-leads.example.com", False), ("leads.example.com.evil.net", False)),
        *(("example.org@evil.net", False), ("", False)),
    ],
)
def test_hosts_that_are_listed(url: str, host: str, allowed: bool) -> None:
    hosts = "leads.example.com, .example.org"
    app = create_app({"LEADS_DATABASE": url, "LEADS_HOSTS": hosts})
    client = caller(app, "alice").client
    made = client.post("/v1/leads", json={"company_id": 1}, headers={"Host": host})
    answers = [made, client.get("/healthz", headers={"Host": host})]
    assert [answer.status_code for answer in answers] == ([201, 200] if allowed else [400, 400])
    if allowed:
        assert made.headers["Location"] == f"http://{host}/v1/leads/1"
    else:
        assert answers[0].get_json().keys() == {"code", "status", "message"}
        assert client.get("/v1/leads").get_json()["data"] == []
    stranger = app.test_client().get("/v1/leads", headers={"Host": host})
    assert stranger.status_code == (401 if allowed else 400), "as Flask has it, before all else"


@pytest.mark.parametrize("prefix", [".evil.com", "@evil.com", "//evil.com", "/a b", "/<x>", "crm"])
def test_a_forwarded_prefix_that_is_none(url: str, prefix: str) -> None:
    client = caller(create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": 1}), "alice").client
    for sent, seen in ((prefix, ""), ("/crm", "/crm")):
        headers = {"X-Forwarded-Prefix": sent}
        made = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
        assert made.headers["Location"].startswith(f"http://localhost{seen}/v1/leads/")


@with_trusted_hosts
def test_the_host_that_a_proxy_names_is_one_of_them(url: str) -> None:
    settings = {"LEADS_DATABASE": url, "LEADS_HOSTS": "leads.example.com", "LEADS_PROXY_HOPS": 1}
    client = create_app(settings).test_client()
    for host, status in (("leads.example.com", 200), ("evil.example.net", 400)):
        assert client.get("/healthz", headers={"X-Forwarded-Host": host}).status_code == status


@pytest.mark.parametrize(
    ("sent", "scheme"),
    [("https", "https"), ("http", "http"), ("javascript", "http"), ("", "http"), ("x:", "http")],
)
def test_the_scheme_that_a_proxy_names(url: str, sent: str, scheme: str) -> None:
    client = caller(create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": 1}), "alice").client
    headers = {"X-Forwarded-Proto": sent}
    answer = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert answer.headers["Location"] == f"{scheme}://localhost/v1/leads/1"
