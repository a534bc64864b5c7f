"""The locks on the doors: headers, origins, guessing, files, and what no log may hold."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import Caller, Clock, Server, caller, serve
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import TooManyRequests

from leads_service import create_app
from leads_service.api.throttle import Throttle, network_of
from leads_service.exceptions import ConfigError

ORIGIN = "https://app.example.com"
LOCKS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@pytest.mark.parametrize("path", ["/v1/leads", "/v1/leads?x=1", "/healthz", "/no", "/openapi.json"])
def test_every_answer_has_the_headers(alice: Caller, path: str) -> None:
    headers = alice.client.get(path).headers
    assert {name: headers[name] for name in LOCKS} == LOCKS


def test_the_page_with_scripts_has_a_policy_of_its_own(client: FlaskClient) -> None:
    headers = client.get("/docs").headers
    assert headers.getlist("Content-Security-Policy")[0].startswith("default-src 'none'; script")
    assert len(headers.getlist("Content-Security-Policy")) == 1
    assert headers["X-Frame-Options"] == "DENY"
    assert client.get("/docs/docs.js").headers["Cache-Control"] == "max-age=86400"


@pytest.mark.parametrize("value", ["*", "app.example.com", f"{ORIGIN}/", ".*", "", 7, "null"])
def test_what_is_no_origin(url: str, value: object) -> None:
    with pytest.raises(ConfigError, match="LEADS_CORS_ORIGINS must be origins such as"):
        create_app({"LEADS_DATABASE": url, "LEADS_CORS_ORIGINS": value})


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
        assert answers[0].json.keys() == {"code", "status", "message"}
        assert client.get("/v1/leads").json["data"] == []
    stranger = app.test_client().get("/v1/leads", headers={"Host": host})
    assert stranger.status_code == (401 if allowed else 400), "as Flask has it, before all else"


@pytest.mark.parametrize("prefix", [".evil.com", "@evil.com", "//evil.com", "/a b", "/<x>", "crm"])
def test_a_forwarded_prefix_that_is_none(url: str, prefix: str) -> None:
    client = caller(create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": 1}), "alice").client
    for sent, seen in ((prefix, ""), ("/crm", "/crm")):
        headers = {"X-Forwarded-Prefix": sent}
        made = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
        assert made.headers["Location"].startswith(f"http://localhost{seen}/v1/leads/")


def test_the_host_that_a_proxy_names_is_one_of_them(url: str) -> None:
    settings = {"LEADS_DATABASE": url, "LEADS_HOSTS": "leads.example.com", "LEADS_PROXY_HOPS": 1}
    client = create_app(settings).test_client()
    for host, status in (("leads.example.com", 200), ("evil.example.net", 400)):
        assert client.get("/healthz", headers={"X-Forwarded-Host": host}).status_code == status


@pytest.mark.parametrize("value", ["", "*", "https://leads.example.com", "a.example:80", "a,,b", 7])
def test_what_is_no_host(url: str, value: object) -> None:
    with pytest.raises(ConfigError, match="LEADS_HOSTS must be names such as"):
        create_app({"LEADS_DATABASE": url, "LEADS_HOSTS": value})


@pytest.mark.parametrize(
    ("sent", "scheme"),
    [("https", "https"), ("http", "http"), ("javascript", "http"), ("", "http"), ("x:", "http")],
)
def test_the_scheme_that_a_proxy_names(url: str, sent: str, scheme: str) -> None:
    client = caller(create_app({"LEADS_DATABASE": url, "LEADS_PROXY_HOPS": 1}), "alice").client
    headers = {"X-Forwarded-Proto": sent}
    answer = client.post("/v1/leads", json={"company_id": 1}, headers=headers)
    assert answer.headers["Location"] == f"{scheme}://localhost/v1/leads/1"


def guess(app: Flask, headers: dict[str, str] | None = None, address: str = "192.0.2.1") -> int:
    answer = app.test_client().get(
        "/v1/leads",
        headers={"Authorization": "Bearer guess"} | (headers or {}),
        environ_base={"REMOTE_ADDR": address},
    )
    assert (answer.status_code == 429) is ("Retry-After" in answer.headers)
    return answer.status_code


def test_guessing_is_slowed_down(url: str, clock: Clock) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 3}, clock=clock)
    alice, bob = caller(app, "alice"), caller(app, "bob")
    for one in (alice, bob):
        one.client.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    assert alice.client.get("/v1/leads").status_code == 200
    assert [guess(app) for _ in range(5)] == [401, 401, 401, 429, 429]
    assert bob.client.get("/v1/leads").status_code == 429, "as if it were a guess"
    assert alice.client.get("/v1/leads").status_code == 200, "known from there"
    assert app.test_client().get("/v1/leads").status_code == 401, "no token is no guess"
    assert guess(app, address="192.0.2.2") == 401, "another address"
    bob.client.environ_base["REMOTE_ADDR"] = "192.0.2.2"
    assert bob.client.get("/v1/leads").status_code == 200


def test_a_token_that_is_revoked_is_known_no_longer(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 1})
    alice = caller(app, "alice")
    assert alice.client.get("/v1/leads").status_code == 200
    app.extensions["leads_service"].accounts.revoke_token(1)
    assert [alice.client.get("/v1/leads").status_code for _ in range(2)] == [401, 429]


@pytest.mark.parametrize("hops", [0, 1])
def test_whose_address_counts(url: str, hops: int) -> None:
    """The proxy's for all, until it is declared; a header that is made up changes nothing."""
    settings = {"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 1, "LEADS_PROXY_HOPS": hops}
    app = create_app(settings)
    for address in ("127.0.0.1", "10.0.0.1", "8.8.8.8"):
        forwarded = {"X-Forwarded-For": f"192.0.2.{len(address)}, 198.51.100.{len(address)}"}
        assert [guess(app, forwarded, address) for _ in range(2)] == [401, 429]
        others = {"X-Forwarded-For": f"198.51.100.{len(address)}, 203.0.113.{len(address)}"}
        assert guess(app, others, address) == (401 if hops else 429)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, expected: str) -> None:
    assert network_of(address) == expected


def look_up(throttle: Throttle, found: bool | None) -> bool | None:
    with Flask("host").test_request_context():
        return throttle.look_up("token", lambda: found)


def test_guesses_are_counted_anew_after_a_minute() -> None:
    now = [1000.0]
    throttle = Throttle(1, clock=lambda: now[0])
    assert look_up(throttle, None) is None
    for passed, seconds in ((0, "60"), (59.5, "1")):
        now[0] = 1000 + passed
        with pytest.raises(TooManyRequests) as error:
            look_up(throttle, True)
        assert error.value.data["headers"] == {"Retry-After": seconds}
    now[0] = 1060
    assert look_up(throttle, None) is None


def test_tokens_that_come_at_once_are_counted_before_they_are_looked_up() -> None:
    throttle = Throttle(1)
    with Flask("host").test_request_context(), pytest.raises(TooManyRequests):
        throttle.look_up("one", lambda: throttle.look_up("two", lambda: True))


def test_a_store_that_fails_makes_no_token_invalid() -> None:
    throttle = Throttle(1)
    for _ in range(2):
        with Flask("host").test_request_context(), pytest.raises(ZeroDivisionError):
            throttle.look_up("token", lambda: 1 // 0)
    assert look_up(throttle, True)


def test_no_limit(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 0})
    assert {guess(app) for _ in range(100)} == {401}


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        app = create_app(instance_path=str(tmp_path / "instance"))
        caller(app, "alice").client.post("/v1/leads", json={"company_id": 1})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "instance").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*/*")}
    assert modes == {"leads.db": 0o600, "leads.db-wal": 0o600, "leads.db-shm": 0o600}


@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_no_log_holds_a_secret(url: str, tmp_path: Path, level: str) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr:
        environment = {"LEADS_LOG_LEVEL": level, "LEADS_SCORER": "tests.scorers:raises_at_secrets"}
        with serve(url, "--workers", "1", log=stderr, **environment) as server:
            noise(server)
    text = log.read_text()
    assert bool(text) is True or level == "error"
    for secret in (server.token, server.token[:12], "hush", "Authorization", "guess"):
        assert secret not in text
    for line in text.splitlines():
        json.loads(line)


def noise(server: Server) -> None:
    """Call in every way that is wrong, with secrets in all places."""
    right = f"Authorization: Bearer {server.token}"
    body = ["-H", "Content-Type: application/json", "-d"]
    leads = f"{server.url}/v1/leads"
    for words in (
        ["-H", right, leads],
        ["-H", right, *body, '{"company_id": 1, "notes": "hush"}', leads],
        ["-H", right, *body, '{"company_id": 1, "notes": "hush fail"}', leads],
        ["-H", right, *body, '{"company_id": 1, "hush": "hush"}', leads],
        ["-H", right, *body, '{"notes": "hush', leads],
        ["-H", right, "-X", "PATCH", *body, '{"notes": "hush"}', f"{leads}/1"],
        ["-H", right, f"{leads}?hush=hush"],
        ["-H", right, f"{server.url}/nothing?hush"],
        [f"{server.url}/v1/leads/{server.token}"],
        [f"{server.url}/{server.token[:-5]}"],
        ["-H", "Authorization: Bearer guess", leads],
        ["-H", "X-Request-ID: hush hush", leads],
        ["-H", f"X-Request-ID: {server.token}", leads],
        ["-H", f"X-Request-ID: request:{server.token[:20]}", leads],
    ):
        subprocess.run(["curl", "-s", "-o", "/dev/null", *words], check=True)


def test_a_secret_is_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_METRICS_TOKEN", "hush")
    with pytest.raises(ConfigError) as error:
        create_app({"LEADS_DATABASE": url})
    assert "hush" not in str(error.value)
    monkeypatch.setenv("LEADS_METRICS_TOKEN", "12345678901234567890")
    create_app({"LEADS_DATABASE": url})
