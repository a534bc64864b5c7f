"""The declaration of a lead holds together, and all that derives from it agrees with it."""

import json
import operator
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from leads_service.api.schemas import (
    LeadCreateSchema,
    LeadQuerySchema,
    LeadSchema,
    LeadUpdateSchema,
)
from leads_service.lead import (
    CHANGING,
    CREATABLE,
    FIELDS,
    FILTERS,
    IN_FILES,
    MAX_NOTES,
    RANGES,
    SCORED,
    STATUSES,
    UPDATABLE,
    Choice,
    Filter,
    Moment,
    Text,
    Whole,
    later,
    new_lead,
    timestamp,
    without_null,
)
from leads_service.scoring import facts_for
from leads_service.storage import open_storage
from leads_service.storage.base import Storage
from leads_service.transfer import LeadImportSchema, read_csv
from leads_service.validation import LeadFilterSchema
from tests.helpers import ROOT

NOW = datetime(2026, 11, 22, 22, 3, 11, 123456, UTC)
each_field = pytest.mark.parametrize("name", FIELDS)
each_filter = pytest.mark.parametrize("name", FILTERS)
COLUMN_TYPES = {Whole: "INTEGER", Text: "TEXT", Choice: "TEXT", Moment: "TEXT"}


# Fields


@each_field
def test_what_a_client_may_leave_out_has_a_value_that_can_be_stored(name: str) -> None:
    field = FIELDS[name]
    if name in CREATABLE or name in UPDATABLE:
        initial = without_null(name, field.initial)
        assert field.required or field.nullable or initial is not None
    if field.takes_null:
        assert field.nullable or without_null(name, None) is not None


@each_field
def test_what_a_client_may_send_is_described(name: str) -> None:
    field = FIELDS[name]
    assert field.example is not None
    assert field.description or name == "status", "its values say what it is"


def test_what_only_the_service_sets() -> None:
    assert set(FIELDS) - {*CREATABLE, *UPDATABLE} == {
        "id",
        "user_id",
        "score",
        "created_at",
        "updated_at",
    }
    assert [*CHANGING] == [*UPDATABLE, "score", "updated_at"]
    assert not {"id", "user_id", "created_at"} & {*CHANGING}


def test_files_have_no_ids_and_no_scores() -> None:
    """An import takes what an export has written, and gives ids and scores itself."""
    assert not {"id", "user_id", "score"} & {*IN_FILES}
    assert {*CREATABLE, *UPDATABLE} - {*IN_FILES} == set(), "an export would lose it"


def test_scorers_are_told_nothing_that_they_make() -> None:
    assert not {"id", "score", "created_at", "updated_at"} & {*SCORED}


def test_a_new_lead_has_what_is_given_and_what_it_begins_with() -> None:
    beginnings = {name: FIELDS[name].initial for name in {*CREATABLE, *UPDATABLE}}
    assert new_lead({"company_id": 7}) == beginnings | {"company_id": 7}
    assert beginnings["status"] == STATUSES[0]
    given = {"company_id": 7, "status": "lost", "notes": "x"}
    assert new_lead(given | {"created_at": "never", "score": 5}) == beginnings | given
    assert new_lead({"company_id": 7, "notes": None})["notes"] == ""


def test_null_is_what_the_field_takes_it_for() -> None:
    assert without_null("notes", None) == ""
    assert without_null("notes", "text") == "text"
    assert without_null("company_id", 0) == 0


# Filters


@each_filter
def test_each_filter_compares_a_field(name: str) -> None:
    declared = FILTERS[name]
    assert declared.field in FIELDS
    assert declared.condition in (operator.eq, operator.ge, operator.le)
    assert declared.description
    assert declared.is_day == isinstance(FIELDS[declared.field].kind, Moment)


def test_a_filter_without_a_condition_or_on_no_field_cannot_be() -> None:
    with pytest.raises(TypeError, match="condition"):
        Filter(field="status", description="With this status.")  # type: ignore[call-arg]  # tried
    with pytest.raises(KeyError, match="colour"):
        _ = Filter(field="colour", condition=operator.eq, description="Of this colour.").kind


def test_ranges_are_the_two_ends_of_a_field() -> None:
    assert ("min_score", "max_score") in RANGES
    assert ("created_after", "created_before") in RANGES
    for low, high in RANGES:
        assert FILTERS[low].field == FILTERS[high].field
        assert (FILTERS[low].condition, FILTERS[high].condition) == (operator.ge, operator.le)
    ends = [name for pair in RANGES for name in pair]
    assert len(ends) == len(set(ends)), "a field has one lower and one upper end at most"


def test_a_day_is_compared_whole() -> None:
    today = date(2026, 1, 2)
    assert FILTERS["created_after"].bound(today) == "2026-01-02T00:00:00.000000Z"
    assert FILTERS["created_before"].bound(today) == "2026-01-02T23:59:59.999999Z"
    assert FILTERS["min_score"].bound(5) == 5


@each_filter
def test_each_filter_is_a_parameter_of_the_list(name: str) -> None:
    assert name in LeadQuerySchema().fields
    assert name in LeadFilterSchema().fields


# Times


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        ("2026-11-22T22:03:11.123455Z", NOW, "2026-11-22T22:03:11.123456Z"),
        ("2026-11-22T22:03:11.123456Z", NOW, "2026-11-22T22:03:11.123457Z"),
        ("2027-01-01T00:00:00.000000Z", NOW, "2027-01-01T00:00:00.000001Z"),
        ("2026-12-31T23:59:59.999999Z", NOW, "2027-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", NOW, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_change_is_later_than_the_one_before(last: str, now: datetime, expected: str) -> None:
    assert later(last, now) == expected


def test_times_are_as_wide_as_each_other() -> None:
    assert timestamp(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"
    assert timestamp(NOW) == "2026-11-22T22:03:11.123456Z"
    moments = [datetime(1, 1, 1), datetime(999, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1)]
    texts = [timestamp(moment.replace(tzinfo=UTC)) for moment in moments]
    assert texts == sorted(texts)


# What derives from the declaration


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = open_storage(f"sqlite:///{tmp_path / 'leads.db'}")
    storage.migrate()
    return storage


def test_the_tables_columns_are_the_fields(storage: Storage) -> None:
    with closing(sqlite3.connect(storage.location)) as database:
        rows = database.execute("PRAGMA table_info(leads_lead)").fetchall()
    columns = {name: (kind, not_null or is_key) for _, name, kind, not_null, _, is_key in rows}
    assert columns.keys() - FIELDS.keys() == set(), "columns that lead.FIELDS does not declare"
    assert FIELDS.keys() - columns.keys() == set(), "fields for which no migration makes a column"
    for name, field in FIELDS.items():
        declared = (COLUMN_TYPES[type(field.kind)], not field.nullable)
        assert columns[name] == declared, f"the migrations make {name} otherwise than declared"


def test_every_field_is_in_every_answer(storage: Storage) -> None:
    values = {name: field.example for name, field in FIELDS.items() if name != "id"}
    with storage.writing():
        inserted = storage.insert_lead(values, of_known_user=False)
        updated = storage.update_lead(inserted)
    page = storage.page(values["user_id"], {}, after=None, limit=1, max_bytes=10**6)
    for lead in (inserted, updated, storage.lead(values["user_id"], 1), *json.loads(page.data)):
        assert list(lead.items()) == [("id", 1), *values.items()]
    assert list(LeadSchema().fields) == list(FIELDS)


def test_an_update_stores_what_may_be_updated(storage: Storage) -> None:
    examples = {name: field.example for name, field in FIELDS.items() if name != "id"}
    others = {"status": STATUSES[-1], "notes": "x" * MAX_NOTES, "score": 99}
    others |= {"updated_at": "2027-01-01T00:00:00.000000Z"}
    others |= {
        name: "other"
        for name in UPDATABLE
        if name not in others and isinstance(FIELDS[name].kind, Text)
    }
    assert others.keys() == {*CHANGING}, "name here another value of the new field"
    with storage.writing():
        lead = storage.insert_lead(examples, of_known_user=False)
        assert storage.update_lead(lead | others) == lead | others


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (LeadCreateSchema, CREATABLE),
        (LeadUpdateSchema, UPDATABLE),
        (LeadImportSchema, IN_FILES),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_bodies_and_files_have_their_fields(schema: Any, names: tuple[str, ...]) -> None:
    fields = schema().fields
    assert tuple(fields) == names
    for name, field in fields.items():
        if not isinstance(FIELDS[name].kind, Moment):
            assert field.allow_none == FIELDS[name].takes_null
        assert field.required == (FIELDS[name].required and schema is not LeadUpdateSchema)


def test_a_header_that_lacks_a_column_is_told_all_of_them() -> None:
    with pytest.raises(ValueError, match="the first line must name") as caught:
        list(read_csv(["colour\n"]))
    for name in IN_FILES:
        assert name in str(caught.value)


def test_a_scorer_that_takes_all_facts_is_told_those(storage: Storage) -> None:
    def scorer(**facts: object) -> int:
        return 0

    assert facts_for(scorer) == SCORED


@each_field
def test_every_field_is_in_the_documentation(name: str) -> None:
    assert _documented(name), f"no page of the documentation names `{name}`"


@each_filter
def test_every_filter_is_in_the_documentation(name: str) -> None:
    assert _documented(name), f"no page of the documentation names `{name}`"


def _documented(name: str) -> bool:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text() for page in pages)
    return f"`{name}`" in text or f'"{name}":' in text
