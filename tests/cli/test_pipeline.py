"""The command pipeline."""

import sqlite3

import pytest

from tests.cli.expected import EMPTY, PIPELINE
from tests.helpers import Run, insert_leads

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
