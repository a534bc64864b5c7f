"""Figures for Prometheus: of all workers, for those who have the token, and off without one."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from conftest import serve
from flask.testing import FlaskClient

from leads_service import create_app
from leads_service.config import ConfigError

SECRET = "a-secret-for-prometheus"  # noqa: S105


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep this process's figures in one folder: prometheus_client does not let go of the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("figures")))
        yield


def get(url: str, token: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_off_by_default(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 404


def test_all_workers_together(url: str) -> None:
    with serve(url, "--workers", "2", LEADS_METRICS_TOKEN=SECRET) as server:
        for _ in range(50):  # each on a connection of its own: both workers get some
            assert get(f"{server.url}/v1/leads", server.token)[0] == 200
        assert get(f"{server.url}/v1/leads", "guess")[0] == 401
        status, text = get(f"{server.url}/metrics", SECRET)
    assert status == 200
    counts = dict(re.findall(r"^leads_requests_total\{(.*?)\} ([\d.]+)$", text, re.MULTILINE))
    assert counts['method="GET",route="/v1/leads",status="200"'] == "50.0"
    assert counts['method="GET",route="/v1/leads",status="401"'] == "1.0"
    assert 'leads_request_seconds_count{method="GET",route="/v1/leads"} 51.0' in text
    assert server.token[:12] not in text


@pytest.mark.parametrize("token", ["", "wrong", SECRET[:-1], f"{SECRET}x", "\u00e9"])
def test_for_those_who_have_the_token(url: str, figures: None, token: str) -> None:
    client = create_app({"LEADS_DATABASE": url, "LEADS_METRICS_TOKEN": SECRET}).test_client()
    headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
    assert client.get("/metrics", headers=headers).status_code == 401
    assert client.get("/metrics").status_code == 401
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert client.get("/metrics", headers=headers).status_code == 200


def test_made_up_methods_and_paths_make_no_figures(url: str, figures: None) -> None:
    client = create_app({"LEADS_DATABASE": url, "LEADS_METRICS_TOKEN": SECRET}).test_client()
    client.open("/made/up", method="MADEUP")
    text = client.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"}).text
    assert "made" not in text.lower()
    assert 'leads_requests_total{method="other",route="none",status="404"} 1.0' in text


def test_a_token_that_is_too_short(url: str) -> None:
    with pytest.raises(ConfigError, match="LEADS_METRICS_TOKEN must be a secret of 16"):
        create_app({"LEADS_DATABASE": url, "LEADS_METRICS_TOKEN": "short"})
