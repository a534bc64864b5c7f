"""The command pipeline."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from leads_service.cli.progress import Span
from leads_service.state import AppState
from tests.cli.expected import EMPTY, PIPELINE
from tests.helpers import Caller, Clock, Run, assert_misused, insert_leads

BOBS_PIPELINE = """\
new                0    0.0%
contacted          0    0.0%
qualified          1   50.0%  ████████████████████████████████████████
converted          1   50.0%  ████████████████████████████████████████
lost               0    0.0%

Conversion rate: 50.0% (1 of 2 leads)
"""


@pytest.mark.usefixtures("ten_leads")
def test_pipeline(invoke: Run) -> None:
    assert invoke("pipeline") == (0, PIPELINE, "")
    assert invoke("pipeline", "--user", "bob") == (0, BOBS_PIPELINE, "")
    invoke("user", "add", "carol")
    assert invoke("pipeline", "--user", "carol") == (0, EMPTY, "")


def test_pipeline_without_users(invoke: Run) -> None:
    assert invoke("pipeline") == (0, EMPTY, "")


@pytest.mark.parametrize(("status", "count"), [("converted", 1), ("new", 1234), ("lost", 5)])
def test_pipeline_at_one_status(
    invoke: Run, raw: sqlite3.Connection, status: str, count: int
) -> None:
    insert_leads(raw, *[{"status": status}] * count)
    code, pipeline, _ = invoke("pipeline")
    assert code == 0
    assert f"{status:<9}  {count:>9,}  100.0%  {'█' * 40}" in pipeline.splitlines()
    assert max(map(len, pipeline.splitlines())) <= 80


PROGRESS = """\
Leads created since 2026-11-09, and what they reached

new                2  100.0%  ████████████████████████████████████████
contacted          2  100.0%  ████████████████████████████████████████
qualified          1   50.0%  ████████████████████
converted          1  100.0%  ████████████████████
lost               1

WEEK OF     CREATED  CONVERTED  LOST
2026-11-09  0        0          0
2026-11-16  2        1          0
2026-11-23  0        0          1

TIME IN    ENDED  MEDIAN  90% WITHIN
new        2      0m 5s   2h 3m
contacted  1      2d 1h   2d 1h
qualified  0      -       -
converted  0      -       -
lost       0      -       -

Conversion rate: 50.0% (1 converted, 2 created)
The span before: - (0 converted, 0 created)
"""


@pytest.fixture
def _moved(service: AppState, alice: Caller, bob: Caller, clock: Clock) -> None:
    """Two leads of Alice go their ways; company 2 is lost."""
    clock.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    leads = service.leads
    first, second = (leads.create(alice.id, {"company_id": number})["id"] for number in (1, 2))
    leads.create(bob.id, {"company_id": 1})
    clock.move(seconds=5)
    leads.update(alice.id, first, {"status": "converted"})
    clock.move(hours=2, minutes=3)
    leads.update(alice.id, second, {"status": "contacted"})
    clock.move(days=2, hours=1)
    leads.update(alice.id, second, {"status": "lost"})
    clock.now = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.usefixtures("_moved")
def test_progress(invoke: Run) -> None:
    since = ("--since", "2026-11-09")
    assert invoke("pipeline", "--user", "alice", *since) == (0, PROGRESS, "")
    assert invoke("pipeline", "--user", "alice", "--since", "16d") == (0, PROGRESS, "")
    of_company = invoke("pipeline", "--user", "alice", "--company", "2").stdout.splitlines()
    assert of_company[0] == "Leads created ever of company 2, and what they reached"
    assert of_company[-1] == "Conversion rate: 0.0% (0 converted, 1 created)"


@pytest.mark.usefixtures("_moved")
def test_progress_as_json(invoke: Run) -> None:
    def progress(*options: str) -> Any:
        answer = invoke("pipeline", "--user", "alice", "--format", "json", *options)
        return json.loads(answer.stdout)

    found = progress("--since", "10d", "--company", "2")
    assert found == {
        "since": "2026-11-15T00:00:00.000000Z",
        "until": "2026-11-25T00:00:00.000000Z",
        "company_id": 2,
        "funnel": {
            "steps": [
                {"status": "new", "leads": 1, "share": 1.0},
                {"status": "contacted", "leads": 1, "share": 1.0},
                {"status": "qualified", "leads": 0, "share": 0.0},
                {"status": "converted", "leads": 0, "share": None},
            ],
            "lost": 1,
        },
        "weeks": [
            {"monday": "2026-11-09", "created": 0, "converted": 0, "lost": 0},
            {"monday": "2026-11-16", "created": 1, "converted": 0, "lost": 0},
            {"monday": "2026-11-23", "created": 0, "converted": 0, "lost": 1},
        ],
        "stays": [
            {"status": "new", "ended": 1, "median": 7385, "ninetieth": 7385},
            {"status": "contacted", "ended": 1, "median": 176400, "ninetieth": 176400},
            *(
                {"status": status, "ended": 0, "median": None, "ninetieth": None}
                for status in ("qualified", "converted", "lost")
            ),
        ],
        "outcome": {"created": 1, "converted": 0, "lost": 1, "conversion_rate": 0.0},
        "before": {"created": 0, "converted": 0, "lost": 0, "conversion_rate": None},
        "before_since": "2026-11-05T00:00:00.000000Z",
    }
    assert progress() == progress("--since", "all")
    assert (progress()["since"], progress()["before"]) == (None, None)


def test_progress_needs_a_user(invoke: Run) -> None:
    for options in (["--since", "all"], ["--company", "1"], ["--format", "json"]):
        answer = invoke("pipeline", *options)
        assert_misused(answer)
        assert "--user" in answer.stderr


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", timedelta(days=90)),
        ("8w", timedelta(days=56)),
        ("1y", timedelta(days=365)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("all", "all"),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_spans(text: Any, span: object) -> None:
    assert Span().convert(text, None, None) == span


@pytest.mark.parametrize(
    "text", ["", "0d", "-1d", "36501d", "101y", "1m", "d", "2026-02-30", "0000-01-01", "2026", "٩d"]
)
def test_spans_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no span"):
        Span().convert(text, None, None)
