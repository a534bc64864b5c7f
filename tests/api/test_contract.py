"""The OpenAPI document: what is printed, what the package holds and what is served are one."""

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from leads_service.cli.openapi import SERVER
from tests.helpers import BIN

COPY = (files("leads_service") / "openapi.json").read_text(encoding="utf-8")


ADVICE = (
    "leads_service/openapi.json is not what the service offers; run\n"
    "    leads-service openapi > leads_service/openapi.json\n"
    "and review the difference: clients are made from it"
)


def test_what_is_served(client: FlaskClient) -> None:
    assert client.get("/openapi.json", base_url=SERVER).json == json.loads(COPY), ADVICE


@pytest.mark.system
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1"},
        {
            "LEADS_DATABASE": "nonsense",
            "LEADS_SCORER": "nonsense",
            "LEADS_PROXY_HOPS": "x",
            "LEADS_LOG_LEVEL": "nonsense",
            "PYTHONHASHSEED": "2",
        },
    ],
)
def test_what_is_printed(tmp_path: Path, environment: dict[str, str]) -> None:
    tmp_path.chmod(0o500)
    command = subprocess.run(
        [BIN / "leads-service", "openapi"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (command.returncode, command.stderr) == (0, b"")
    assert command.stdout.decode() == COPY, ADVICE
    assert list(tmp_path.iterdir()) == []
