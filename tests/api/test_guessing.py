"""Clients that send invalid tokens are slowed down."""

import pytest
from flask import Flask

from leads_service import create_app
from tests.helpers import Clock, caller


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


def test_no_limit(url: str) -> None:
    app = create_app({"LEADS_DATABASE": url, "LEADS_AUTH_FAILURES": 0})
    assert {guess(app) for _ in range(100)} == {401}
