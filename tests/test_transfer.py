"""Rows of files, read and checked."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from leads_service import transfer
from leads_service.lead import STATUSES
from leads_service.transfer import LeadImportSchema, is_plainly_valid, read_csv, read_jsonl
from tests.helpers import Caller, Run

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


VALUES |= st.sampled_from([[], "", "~"])


TIMES = st.datetimes().map(lambda time: time.isoformat(timespec="microseconds") + "Z")


TIMES |= st.dates().map(str)


ROWS = st.fixed_dictionaries(
    {},
    optional={
        "company_id": st.integers(-1, 5) | st.just(2**63) | VALUES,
        "status": st.sampled_from(STATUSES) | VALUES,
        "notes": st.text(max_size=5) | VALUES,
        "created_at": TIMES | st.just("2026-W01-1T00:00:00.000000Z") | VALUES,
        "updated_at": TIMES | VALUES,
        "score": VALUES,
    },
)


@settings(max_examples=300)
@given(row=ROWS)
def test_what_is_plainly_valid_is_so_by_the_schema(row: Any) -> None:
    try:
        loaded = LeadImportSchema().load(row)
    except ValidationError:
        assert not is_plainly_valid(row)
    else:
        if is_plainly_valid(row):
            assert loaded == row


def test_the_schema_is_spared_what_is_plainly_valid(
    run: Run, alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def load(row: dict[str, Any]) -> dict[str, Any]:
        read.append(row)
        return row

    monkeypatch.setattr(transfer.SCHEMA, "load", load)
    run("import", "-", "--format", "csv", "--user", "alice", stdin="company_id,notes\n1,a\n2,b\n")
    assert read == []
    run("import", "-", "--format", "csv", "--user", "alice", stdin='company_id,notes\n1,"\t"\n')
    assert read == [{"company_id": 1, "notes": "\t"}]


def test_lines_are_counted_as_an_editor_does() -> None:
    text = 'company_id,notes\n1,"a\nb"\n\nx,\n'
    assert [line for line, _ in read_csv(io.StringIO(text))] == [2, 5]
    assert [line for line, _ in read_jsonl(["\n", "{}\n"])] == [2]
