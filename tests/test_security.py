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

from leads_service import create_app
from leads_service.config import ConfigError

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
    alice = caller(app, "alice")
    assert [guess(app) for _ in range(5)] == [401, 401, 401, 429, 429]
    assert guess(app, address="192.0.2.2") == 401, "another address"
    alice.client.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    assert alice.client.get("/v1/leads").status_code == 200, "a valid token still opens"
    assert app.test_client().get("/v1/leads").status_code == 401, "no token is no guess"


@pytest.mark.parametrize(("hops", "expected"), [(0, 401), (1, 429)])
def test_addresses_behind_a_proxy(url: str, hops: int, expected: int) -> None:
    """Without trust in it, the proxy's address is everybody's, and nothing is counted."""
    settings = {"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 1, "LEADS_PROXY_HOPS": hops}
    app = create_app(settings)
    forwarded = {"X-Forwarded-For": "198.51.100.7"}
    assert [guess(app, forwarded) for _ in range(2)] == [401, expected]
    assert guess(app, {"X-Forwarded-For": "198.51.100.8"}) == 401


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
        ["-H", right, f"{server.url}/hush"],
        ["-H", "Authorization: Bearer guess", leads],
        ["-H", "X-Request-ID: hush hush", leads],
    ):
        subprocess.run(["curl", "-s", "-o", "/dev/null", *words], check=True)


def test_a_client_on_the_internet_is_no_proxy(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 1})
    forwarded = {"X-Forwarded-For": "198.51.100.7"}
    assert [guess(app, forwarded, "8.8.8.8") for _ in range(2)] == [401, 429]


def test_a_secret_is_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_METRICS_TOKEN", "hush")
    with pytest.raises(ConfigError) as error:
        create_app({"LEADS_DATABASE": url})
    assert "hush" not in str(error.value)
    monkeypatch.setenv("LEADS_METRICS_TOKEN", "12345678901234567890")
    create_app({"LEADS_DATABASE": url})
