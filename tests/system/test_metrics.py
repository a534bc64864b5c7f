"""Figures for Prometheus: of all workers, for those who have the token, and off without one."""

import re
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.helpers import Server, serve

SECRET = "a-secret-for-prometheus"  # noqa: S105  # a test's


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = f"sqlite:///{tmp_path_factory.mktemp('metered') / 'leads.db'}"
    with serve(url, "--workers", "2", LEADS_METRICS_TOKEN=SECRET) as server:
        yield server


def ask(server: Server, path: str, token: str, method: str = "GET") -> tuple[int, str]:
    """Send a request on a connection of its own, so that both workers get some."""
    connection = HTTPConnection(server.url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {token}".encode()}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_all_workers_together(metered: Server) -> None:
    for _ in range(50):
        assert ask(metered, "/v1/leads", metered.token)[0] == 200
    assert ask(metered, "/v1/leads", "guess")[0] == 401
    status, text = ask(metered, "/metrics", SECRET)
    assert status == 200
    counts = dict(re.findall(r"^leads_requests_total\{(.*?)\} ([\d.]+)$", text, re.MULTILINE))
    assert counts['method="GET",route="/v1/leads",status="200"'] == "50.0"
    assert counts['method="GET",route="/v1/leads",status="401"'] == "1.0"
    assert 'leads_request_seconds_count{method="GET",route="/v1/leads"} 51.0' in text
    assert metered.token[:12] not in text


@pytest.mark.parametrize("token", ["", "wrong", SECRET[:-1], f"{SECRET}x", "\u00e9"])
def test_for_those_who_have_the_token(metered: Server, token: str) -> None:
    assert ask(metered, "/metrics", token)[0] == 401


def test_nobody_guesses_the_token(url: str) -> None:
    with serve(
        url, "--workers", "1", LEADS_METRICS_TOKEN=SECRET, LEADS_AUTH_FAILURES="2"
    ) as server:
        assert ask(server, "/metrics", SECRET)[0] == 200
        guesses = [ask(server, "/metrics", f"guess-{number}")[0] for number in range(3)]
        assert guesses == [401, 401, 429]
        assert ask(server, "/v1/leads", server.token)[0] == 429, "not known yet, as it might be"
        assert ask(server, "/metrics", SECRET)[0] == 200, "known"


def test_what_callers_make_up_makes_no_figures(metered: Server) -> None:
    assert ask(metered, "/made/up", SECRET, "MADEUP")[0] == 404
    _, text = ask(metered, "/metrics", SECRET)
    assert "made" not in text.lower()
    assert 'leads_requests_total{method="other",route="none",status="404"} 1.0' in text
