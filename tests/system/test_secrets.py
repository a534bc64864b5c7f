"""No log of a server holds a secret."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers import Server, serve


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
