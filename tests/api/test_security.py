"""Headers that protect who looks at the answers."""

import pytest
from flask.testing import FlaskClient

from tests.helpers import Caller

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
