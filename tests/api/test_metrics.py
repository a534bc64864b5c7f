"""Metrics are off by default."""

from flask.testing import FlaskClient


def test_off_by_default(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 404
