"""Schemathesis holds the service to its OpenAPI document: it does what is written there."""

import subprocess
from pathlib import Path

import pytest

from tests.helpers import BIN, Server, serve

# All checks and all phases, and a warning fails as well. The seed fixes what is sent.
CONFIG = """\
hooks = "hooks.py"
seed = 20261122
continue-on-failure = true

[auth.openapi.leadsToken]
bearer = "${TOKEN}"

[generation]
database = "none"
max-examples = 60

[cache]
enabled = false

[checks]
enabled = true

[phases]
enabled = true

[phases.examples]
fill-missing = true

[warnings]
fail-on = true

# The leads that it makes up ids of are not there, or not there any more; and of the tags that it
# makes up for If-Match many are none.
[[operations]]
include-operation-id = "deleteLead"
warnings = false

[[operations]]
include-operation-id = "updateLead"
warnings = false
"""

# JSON Schema can't say all that a request is held to: one that is valid by the document may be
# answered with 422 if that names nothing but these: a cursor that no page of the caller's gave out,
# the low end of a range above the high one, a key that has come with another body, a whole number
# written as 42.0. Nor does it know which leads have been deleted or changed: a key may be answered
# with 410, and what is asked of a lead as the caller knows it with 412.
HOOKS = """\
import re

import schemathesis
from leads_service.api.openapi import ENTITY_TAGS
from schemathesis.openapi.checks import RejectedPositiveData

REASONS = {
    "cursor": "Must be the next_cursor of a page of yours.",
    "min_score": "Must not be greater than max_score.",
    "created_after": "Must not be greater than created_before.",
    "Idempotency-Key": "Came with another body less than 24 hours ago.",
}


def is_right(name, messages, value):
    if isinstance(value, float):
        return value.is_integer() and messages == ["Not a valid integer."]
    if name == "If-Match":  # it takes 0 for valid, whatever the pattern is
        return not re.fullmatch(ENTITY_TAGS, value)
    return name in REASONS and messages == [REASONS[name]]


@schemathesis.hook
def before_call(context, case, kwargs):
    # No tag that is made up is a lead's: half of them become one that matches.
    tags = case.headers.get("If-Match", "")
    if re.fullmatch(ENTITY_TAGS, tags) and len(tags) % 2:
        case.headers["If-Match"] = "*"


CONDITIONS = {410: "Idempotency-Key", 412: "If-Match"}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, RejectedPositiveData):
        return True
    if response.status_code in CONDITIONS:
        return CONDITIONS[response.status_code] not in case.headers
    if response.status_code != 422:
        return True
    sent = {"query": case.query, "json": case.body, "headers": case.headers}
    return not all(
        is_right(name, messages, sent[place][name])
        for place, errors in response.json()["errors"].items()
        for name, messages in errors.items()
    )
"""


@pytest.mark.slow
def test_every_answer_is_as_documented(url: str, tmp_path: Path) -> None:
    with serve(url, LEADS_AUTH_FAILURES="0") as server:
        run_schemathesis(server, tmp_path)


def run_schemathesis(server: Server, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    run = subprocess.run(
        [BIN / "schemathesis", "--no-color", "run", f"{server.url}/openapi.json"],
        cwd=tmp_path,
        env={"TOKEN": server.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout
