"""Every method of the ``Storage`` protocol keeps its promise, on every engine."""

import json
import operator
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from inspect import isfunction
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peewee import SqliteDatabase

from leads_service import progress
from leads_service._compat.peewee import execute
from leads_service.exceptions import (
    NameTakenError,
    StorageError,
    StorageUnavailableError,
    StorageUnusableError,
    TokenGoneError,
    UserGoneError,
)
from leads_service.lead import (
    FIELDS,
    FILTERS,
    FUNNEL,
    MAX_INTEGER,
    RANGES,
    STATUSES,
    Choice,
    Kind,
    Moment,
    Text,
    Whole,
)
from leads_service.storage import open_storage
from leads_service.storage.base import (
    EVENTS,
    CountedLead,
    Figure,
    KeyRecord,
    Page,
    Position,
    Storage,
)
from leads_service.storage.database import DatabaseStorage
from leads_service.storage.models import TABLES
from tests.storage.engines import ENGINES, Engine

Lead = dict[str, Any]
MUCH = 2**20  # bytes: any page that a test asks for

ALICE, BOB, HOSTS = 1, 2, 77  # the ids of two users, and of one whom only a host knows


def day(number: int) -> str:
    return f"2026-01-{number:02}T12:00:00.000000Z"


def sample(kind: Kind) -> Any:
    match kind:
        case Whole(minimum, _):
            return minimum or 1
        case Text():
            return "text"
        case Choice(options):
            return options[0]
        case Moment():
            return day(1)


def new(user_id: int = ALICE, **values: Any) -> Lead:
    """Return a lead with all its fields but the id."""
    lead = {name: sample(field.kind) for name, field in FIELDS.items() if name != "id"}
    created_at = values.get("created_at", lead["created_at"])
    return lead | {"user_id": user_id, "updated_at": created_at} | values


def insert(storage: Storage, user_id: int = ALICE, **values: Any) -> Lead:
    with storage.writing():
        return storage.insert_lead(new(user_id, **values), of_known_user=False)


def page_of(
    storage: Storage,
    user_id: int = ALICE,
    filters: Mapping[str, Any] | None = None,
    *,
    after: Position | None = None,
    limit: int = 50,
    max_bytes: int = MUCH,
) -> Page:
    return storage.page(user_id, filters or {}, after=after, limit=limit, max_bytes=max_bytes)


def leads_of(storage: Storage, user_id: int = ALICE, **filters: Any) -> list[Lead]:
    return list(json.loads(page_of(storage, user_id, filters).data))


def unchanged(lead: Lead) -> Lead:
    return lead


def accept(owners: set[int]) -> None:
    pass


def token(number: int, **values: Any) -> dict[str, Any]:
    return {
        "digest": str(number) * 64,
        "prefix": "leads_abc",
        "label": "laptop",
        "read_only": False,
        "created_at": day(1),
        "expires_at": None,
    } | values


def add_users(storage: Storage) -> None:
    with storage.writing():
        assert storage.add_user("alice", day(1)) == ALICE
        assert storage.add_user("bob", day(2)) == BOB


def claim(
    storage: Storage,
    user_id: int,
    key: str = "key",
    digest: str = "d" * 64,
    now: str = day(2),
    since: str = day(1),
) -> KeyRecord:
    """Use a key for a lead, which is left to the caller; return its record."""
    lead_id = storage.claim_key(user_id, key, digest, now, since)
    assert lead_id is not None
    return KeyRecord(digest, lead_id)


def fill(storage: Storage) -> None:
    """Store something of everything that the samples below ask for."""
    add_users(storage)
    with storage.writing():
        storage.add_token(ALICE, token(1))
        for number in (1, 2, 3):
            storage.insert_lead(new(created_at=day(number)), of_known_user=True)
        storage.insert_lead(new(BOB), of_known_user=True)
        storage.add_status_change(new(id=3, status="contacted"), "lost")
        storage.delete_lead(ALICE, 2)
        claim(storage, ALICE)


def content(storage: Storage) -> dict[str, Any]:
    """Return all that can be read of what is stored."""
    return {
        "leads": storage.leads_after(0, 1000),
        "positions": [storage.position(user, lead) for user in (ALICE, BOB) for lead in range(10)],
        "users": storage.users(),
        "tokens": storage.tokens(),
        "keys": [storage.key(user, "key", day(1)) for user in (ALICE, BOB)],
        "history": list(storage.rows("leads_history")),
    }


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def open_another(engine: Engine, folder: Path) -> Iterator[Callable[[], Storage]]:
    """Return a function that opens the database once more, as another process would."""
    opened = []

    def open_another() -> Storage:
        opened.append(engine.open(folder))
        return opened[-1]

    yield open_another
    for storage in opened:
        storage.dispose()


@pytest.fixture
def migrated(engine: Engine, folder: Path) -> Iterator[None]:
    """Have a database without data."""
    with engine.migrated(folder):
        yield


@pytest.fixture
def storage(migrated: None, open_another: Callable[[], Storage]) -> Storage:
    """A storage without data, to which this thread is connected."""
    storage = open_another()
    storage.connect()
    return storage


@pytest.fixture
def other(storage: Storage, open_another: Callable[[], Storage]) -> Storage:
    """The same database as another process has it."""
    return open_another()


# One user's leads


def test_a_new_lead_gets_an_id_and_is_returned_whole(storage: Storage) -> None:
    first, second = insert(storage), insert(storage, BOB, score=3)
    assert first == new() | {"id": first["id"]}
    assert list(first) == list(FIELDS)
    assert second["id"] > first["id"]
    assert storage.lead(ALICE, first["id"]) == first
    assert storage.lead(BOB, second["id"]) == second


def test_an_id_is_never_given_out_again(storage: Storage) -> None:
    last = insert(storage)["id"]
    with storage.writing():
        storage.forget_user(ALICE)
    assert insert(storage)["id"] > last


def test_the_largest_values_are_kept(storage: Storage) -> None:
    values: dict[str, Any] = {
        name: field.kind.maximum or MAX_INTEGER
        for name, field in FIELDS.items()
        if isinstance(field.kind, Whole) and name not in ("id", "user_id")
    }
    values |= {
        name: "\U0001f389" * field.kind.max_length
        for name, field in FIELDS.items()
        if isinstance(field.kind, Text)
    }
    lead = insert(storage, -(2**63), **values)
    assert lead == lead | values
    assert leads_of(storage, -(2**63)) == [lead]


@pytest.mark.parametrize("text", ["", "'\"\\", "a\nb,\nc\r\n", "\u2028\x7f\x01", "Müller 来週 🎉"])
def test_any_text_comes_back_as_it_was(storage: Storage, text: str) -> None:
    lead = insert(storage, notes=text)
    insert(storage)
    assert storage.lead(ALICE, lead["id"]) == lead == new(notes=text) | {"id": lead["id"]}
    assert leads_of(storage)[1] == lead


def test_the_owner_of_a_lead_has_to_be_known_where_that_is_asked(storage: Storage) -> None:
    add_users(storage)
    with storage.writing():
        assert storage.insert_lead(new(BOB), of_known_user=True)["user_id"] == BOB
    with pytest.raises(UserGoneError), storage.writing():
        storage.insert_lead(new(HOSTS), of_known_user=True)
    assert storage.count(HOSTS, {}) == 0
    assert insert(storage, HOSTS)["user_id"] == HOSTS


@pytest.mark.parametrize("of_known_user", [True, False])
def test_a_lead_is_inserted_only_if_a_token_exists(storage: Storage, of_known_user: bool) -> None:
    add_users(storage)
    with storage.writing():
        storage.add_token(BOB, token(1))
    (known,) = storage.tokens()

    def insert_by(token_id: int, digest: str) -> dict[str, Any]:
        its = token_id, digest
        with storage.writing(is_single=True):
            return storage.insert_lead(new(BOB), of_known_user=of_known_user, token=its)

    its = known["id"], known["digest"]
    assert storage.has_token(its)
    assert insert_by(*its)["user_id"] == BOB
    others = [(its[0] + 1, its[1]), (its[0], "2" * 64), its]
    with storage.writing():
        storage.delete_token(its[0])
        storage.add_token(BOB, token(2))
    for other in others:
        assert not storage.has_token(other)
        with pytest.raises(TokenGoneError):
            insert_by(*other)
    assert storage.count(BOB, {}) == 1


def test_a_lead_is_its_owners_alone(storage: Storage) -> None:
    lead = insert(storage)
    assert storage.lead(BOB, lead["id"]) is None
    assert storage.lead(ALICE, lead["id"] + 1) is None
    assert storage.position(BOB, lead["id"]) is None
    assert storage.count(BOB, {}) == 0
    assert leads_of(storage, BOB) == []
    assert storage.count_by_status(BOB) == {}
    with storage.writing():
        storage.delete_lead(BOB, lead["id"])
        assert storage.forget_user(BOB) == 0
        assert storage.move_leads(BOB, HOSTS, {}, unchanged) == 0
    assert leads_of(storage) == [lead]


def test_an_update_sets_what_may_change_and_answers_what_is_stored(storage: Storage) -> None:
    lead, bystander = insert(storage), insert(storage)
    changes = {"status": "lost", "notes": "", "score": 99, "updated_at": day(9)}
    given = lead | changes | {"company_id": 12345, "created_at": day(2)}
    with storage.writing():
        answer = storage.update_lead(given)
    assert list(answer) == list(FIELDS)
    assert answer == storage.lead(ALICE, lead["id"]) == lead | changes
    assert storage.lead(ALICE, bystander["id"]) == bystander


def test_an_update_does_not_touch_another_users_lead(storage: Storage) -> None:
    lead = insert(storage)
    with suppress(Exception), storage.writing():  # the lead has to be there: nothing is promised
        storage.update_lead(lead | {"user_id": BOB, "status": "lost"})
    assert storage.lead(ALICE, lead["id"]) == lead


def test_a_deleted_lead_leaves_its_position(storage: Storage) -> None:
    lead, stays = insert(storage, created_at=day(3), updated_at=day(3)), insert(storage)
    position = Position(day(3), lead["id"])
    assert storage.position(ALICE, lead["id"]) == position
    with storage.writing():
        storage.delete_lead(ALICE, lead["id"])
    assert storage.lead(ALICE, lead["id"]) is None
    assert storage.position(ALICE, lead["id"]) == position
    assert storage.position(BOB, lead["id"]) is None
    assert leads_of(storage) == [stays]
    with storage.writing():
        storage.delete_lead(ALICE, lead["id"])  # again
    assert storage.position(ALICE, lead["id"]) == position


# Pages


def test_a_page_ends_at_its_limit_and_says_how_to_go_on(storage: Storage) -> None:
    leads = [insert(storage) for _ in range(5)][::-1]
    insert(storage, BOB)
    assert page_of(storage, HOSTS) == Page("[]", None, has_more=False)
    first = page_of(storage, limit=2)
    assert json.loads(first.data) == leads[:2]
    assert (first.next_cursor, first.has_more) == (leads[1]["id"], True)
    after = storage.position(ALICE, leads[1]["id"])
    last = page_of(storage, after=after, limit=3)
    assert json.loads(last.data) == leads[2:]
    assert (last.next_cursor, last.has_more) == (None, False)


def test_a_walk_goes_on_after_a_lead_that_was_deleted(storage: Storage) -> None:
    newest, middle, oldest = [insert(storage) for _ in range(3)][::-1]
    with storage.writing():
        storage.delete_lead(ALICE, middle["id"])
    after = storage.position(ALICE, middle["id"])
    assert json.loads(page_of(storage, after=after).data) == [oldest]
    assert leads_of(storage) == [newest, oldest]


def test_a_page_shows_the_fields_in_their_order(storage: Storage) -> None:
    insert(storage)
    assert [list(lead) for lead in leads_of(storage)] == [list(FIELDS)]


@pytest.mark.parametrize("notes", ["x" * 100, "🎉" * 25, '"\n' * 50], ids=["x", "emoji", "escaped"])
def test_a_page_takes_as_many_bytes_as_it_may_and_no_more(storage: Storage, notes: str) -> None:
    leads = [insert(storage, notes=notes) for _ in range(5)][::-1]
    alone = len(page_of(storage, limit=1).data.encode()) - len("[]")
    for max_bytes in (1, alone, 2 * alone, 2 * alone + 1, 2 * alone + 2, 4 * alone, 6 * alone):
        page = page_of(storage, max_bytes=max_bytes)
        found = json.loads(page.data)
        size = len(page.data.encode()) - len("[]")
        assert found == leads[: len(found)]
        assert size <= max_bytes or len(found) == 1
        # With one more, and what separates two, there would be too many.
        assert len(found) == len(leads) or size + alone >= max_bytes - 1
        assert page.has_more == (len(found) < len(leads))
        assert page.next_cursor == (found[-1]["id"] if page.has_more else None)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_nothing_is_between_the_ends_of_an_empty_range(
    storage: Storage, low: str, high: str
) -> None:
    ends = (date(2026, 1, 2), date(2026, 1, 1)) if FILTERS[low].is_day else (2, 1)
    leads = [insert(storage, score=n, created_at=day(n), updated_at=day(n)) for n in (1, 2)]
    filters = dict(zip((low, high), ends, strict=True))
    assert page_of(storage, ALICE, filters) == Page("[]", None, has_more=False)
    assert storage.count(ALICE, filters) == 0
    assert leads_of(storage) == leads[::-1]


# Against an oracle

PASSES: dict[str, Callable[[Lead, Any], bool]] = {
    "status": lambda lead, status: lead["status"] == status,
    "company_id": lambda lead, company: lead["company_id"] == company,
    "min_score": lambda lead, score: not lead["score"] < score,
    "max_score": lambda lead, score: not lead["score"] > score,
    "created_after": lambda lead, day: date.fromisoformat(lead["created_at"][:10]) >= day,
    "created_before": lambda lead, day: date.fromisoformat(lead["created_at"][:10]) <= day,
}
DAYS = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]
TIMES = [
    f"{day}T{time}Z"
    for day in DAYS
    for time in ("00:00:00.000000", "12:00:00.5", "23:59:59.999999")
]
TIMES = [time if len(time) == len(day(1)) else time.replace(".5", ".500000") for time in TIMES]


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Return few values of a kind, so that filters meet them, and the ends of its range."""
    match kind:
        case Whole(minimum, maximum):
            low, high = minimum or 0, MAX_INTEGER if maximum is None else maximum
            return st.sampled_from([low, low + 1, low + 2, high])
        case Text(max_length):
            characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
            return st.text(characters, max_size=min(3, max_length))
        case Choice(options):
            return st.sampled_from(options)
        case Moment():
            return st.sampled_from(TIMES)


def optional(name: str) -> st.SearchStrategy[Any]:
    field = FIELDS[name]
    return st.none() | values(field.kind) if field.nullable else values(field.kind)


SOME_LEADS = st.lists(
    st.fixed_dictionaries({name: optional(name) for name in FIELDS if name != "id"}).map(
        lambda lead: lead | {"updated_at": max(lead["updated_at"], lead["created_at"])}
    ),
    max_size=8,
)
SOME_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(DAYS) if declared.is_day else values(declared.kind)
        for name, declared in FILTERS.items()
    },
)
user_ids = count(1000, 2)  # each example has two users of its own, among those of all before


def expected(leads: list[Lead], filters: Mapping[str, Any]) -> list[Lead]:
    found = [lead for lead in leads if all(PASSES[name](lead, filters[name]) for name in filters)]
    return sorted(found, key=lambda lead: (lead["created_at"], lead["id"]), reverse=True)


def walk(storage: Storage, user_id: int, filters: Mapping[str, Any], limit: int) -> list[Lead]:
    leads: list[Lead] = []
    after = None
    for _ in range(storage.count(user_id, {}) + 1):
        page = page_of(storage, user_id, filters, after=after, limit=limit)
        found = json.loads(page.data)
        assert len(found) == limit or not page.has_more
        leads += found
        if not page.has_more:
            return leads
        assert page.next_cursor is not None
        after = storage.position(user_id, page.next_cursor)
    raise AssertionError("the walk does not end")


def test_each_filter_has_an_oracle() -> None:
    assert PASSES.keys() == FILTERS.keys(), "write here, in Python, what the new filter means"


@given(leads=SOME_LEADS, filters=SOME_FILTERS, limit=st.integers(1, 4))
def test_lists_counts_exports_and_moves_agree_with_an_oracle(
    storage: Storage, leads: list[Lead], filters: dict[str, Any], limit: int
) -> None:
    mine = next(user_ids)
    theirs = mine + 1
    with storage.writing():
        stored = [insert(storage, **lead | {"user_id": mine}) for lead in leads]
    ids = [lead["id"] for lead in stored]
    assert stored == [
        lead | {"id": lead_id, "user_id": mine} for lead, lead_id in zip(leads, ids, strict=True)
    ]
    matching = expected(stored, filters)
    for lead in stored:  # one that passes the filters, or another one
        after = storage.position(mine, lead["id"])
        assert after is not None
        older = [other for other in matching if (other["created_at"], other["id"]) < after]
        page = page_of(storage, mine, filters, after=after, limit=limit)
        assert json.loads(page.data) == older[:limit]
        assert page.has_more == (len(older) > limit)
    assert walk(storage, mine, filters, limit) == matching
    assert walk(storage, theirs, filters, limit) == []
    assert storage.count(mine, filters) == len(matching)
    exported = storage.export_leads(FIELDS, filters, user_id=mine)
    oldest_first = [(mine, None, *lead.values()) for lead in reversed(matching)]
    assert list(exported) == oldest_first
    everybodys = storage.export_leads(FIELDS, filters)
    assert [row for row in everybodys if row[0] == mine] == oldest_first
    with storage.writing():
        assert storage.move_leads(mine, theirs, filters, unchanged) == len(matching)
    assert walk(storage, theirs, {}, limit) == [
        lead | {"user_id": theirs} for lead in expected(matching, {})
    ]
    assert walk(storage, mine, {}, limit) == [
        lead for lead in expected(stored, {}) if lead not in matching
    ]
    for lead in stored:  # whoever has it now: walks go on after it
        assert storage.position(mine, lead["id"]) == (lead["created_at"], lead["id"])


# Many leads


def test_leads_are_counted_by_status(storage: Storage) -> None:
    assert storage.count_by_status() == {}
    for user_id, status in ((ALICE, "new"), (ALICE, "new"), (ALICE, "lost"), (BOB, "lost")):
        insert(storage, user_id, status=status)
    assert storage.count_by_status() == {"new": 2, "lost": 2}
    assert storage.count_by_status(ALICE) == {"new": 2, "lost": 1}


def test_an_import_stores_all_in_order_of_time(storage: Storage) -> None:
    before = insert(storage)
    owners: list[set[int]] = []
    leads = [
        new(user, created_at=day(n), updated_at=day(n)) for user, n in ((1, 3), (2, 1), (1, 2))
    ]
    assert storage.insert_leads(iter(leads), owners.append) == 3
    assert owners == [{1, 2}]
    stored = storage.leads_after(before["id"], 10)
    assert stored == [
        lead | {"id": lead_id}
        for lead, lead_id in zip(
            (leads[1], leads[2], leads[0]), [lead["id"] for lead in stored], strict=True
        )
    ]
    assert storage.insert_leads([], accept) == 0
    assert len(storage.leads_after(0, 10)) == 4


class InterruptionError(Exception):
    """Something that an import or a transaction meets."""


def interrupted(storage: Storage, *work: Callable[[Storage], Any]) -> None:
    """Do some work in a transaction that fails in the end."""
    with storage.writing():
        for step in work:
            step(storage)
        raise InterruptionError


def test_an_import_that_breaks_off_stores_nothing(storage: Storage) -> None:
    def rows() -> Iterator[Lead]:
        yield new()
        raise InterruptionError

    with pytest.raises(InterruptionError):
        storage.insert_leads(rows(), accept)
    assert storage.count_by_status() == {}
    assert storage.insert_leads([new()], accept) == 1, "the next one meets nothing of it"


def test_an_import_that_is_not_confirmed_stores_nothing(
    engine: Engine, storage: Storage, other: Storage
) -> None:
    def refuse(owners: set[int]) -> None:
        assert can_write(other) is not engine.takes_turns, "what is found here stays true"
        raise InterruptionError

    with pytest.raises(InterruptionError):
        storage.insert_leads([new()], refuse)
    assert storage.count(ALICE, {}) == 0
    assert can_write(other)


def can_write(storage: Storage) -> bool:
    try:
        insert(storage, HOSTS)
    except StorageUnavailableError:
        return False
    return True


def test_an_import_reads_its_leads_while_others_write(storage: Storage, other: Storage) -> None:
    def rows() -> Iterator[Lead]:
        yield new()
        assert can_write(other)
        yield new()

    assert storage.insert_leads(rows(), accept) == 2
    assert (storage.count(ALICE, {}), storage.count(HOSTS, {})) == (2, 1)


def test_an_import_can_be_a_part_of_a_transaction(storage: Storage) -> None:
    with pytest.raises(InterruptionError):
        interrupted(storage, lambda s: s.insert_leads([new()], accept))
    assert storage.count(ALICE, {}) == 0


def test_an_export_names_owners_and_keeps_each_ones_together(storage: Storage) -> None:
    add_users(storage)
    for user_id, number in ((HOSTS, 1), (BOB, 3), (ALICE, 2), (BOB, 1), (ALICE, 2)):
        insert(storage, user_id, created_at=day(number), updated_at=day(number))
    exported = list(storage.export_leads(["created_at", "id"], {}))
    assert exported == [
        (ALICE, "alice", day(2), 3),
        (ALICE, "alice", day(2), 5),
        (BOB, "bob", day(1), 4),
        (BOB, "bob", day(3), 2),
        (HOSTS, None, day(1), 1),
    ]
    assert list(storage.export_leads(["id"], {}, user_id=BOB)) == [(BOB, "bob", 4), (BOB, "bob", 2)]


def test_an_export_shows_leads_as_they_were_at_the_first(storage: Storage, other: Storage) -> None:
    leads = [insert(storage) for _ in range(3)]
    exported = storage.export_leads(["id", "status"], {})
    found = [next(exported)]
    with suppress(StorageUnavailableError), other.writing():  # an engine may let nobody write
        other.update_lead(leads[2] | {"status": "lost"})
        other.delete_lead(ALICE, leads[1]["id"])
    found += exported
    assert found == [(ALICE, None, lead["id"], "new") for lead in leads]


def test_everybodys_leads_come_in_the_order_of_their_ids(storage: Storage) -> None:
    leads = [insert(storage, user_id, created_at=day(1)) for user_id in (BOB, ALICE, HOSTS)]
    assert storage.leads_after(0, 10) == leads
    assert storage.leads_after(leads[0]["id"], 1) == leads[1:2]
    assert storage.leads_after(leads[2]["id"], 10) == []


def test_a_score_is_set_and_nothing_else(storage: Storage) -> None:
    lead, bystander = insert(storage), insert(storage)
    with storage.writing():
        storage.set_score(lead, 77)
    assert storage.leads_after(0, 10) == [lead | {"score": 77}, bystander]


def test_moved_leads_are_changed_and_leave_positions(storage: Storage) -> None:
    moves, stays, theirs = insert(storage, status="lost"), insert(storage), insert(storage, BOB)

    def change(lead: Lead) -> Lead:
        assert lead == moves
        return lead | {"score": 44, "updated_at": day(9)}

    with storage.writing():
        assert storage.move_leads(ALICE, BOB, {"status": "lost"}, change) == 1
    moved = moves | {"user_id": BOB, "score": 44, "updated_at": day(9)}
    assert leads_of(storage, ALICE) == [stays]
    assert leads_of(storage, BOB) == [theirs, moved]
    position = Position(moves["created_at"], moves["id"])
    assert storage.position(ALICE, moves["id"]) == storage.position(BOB, moves["id"]) == position


def test_leads_that_move_there_and_back_are_listed_once(storage: Storage) -> None:
    lead = insert(storage)
    for old, owner in ((ALICE, BOB), (BOB, ALICE), (ALICE, BOB)):
        with storage.writing():
            assert storage.move_leads(old, owner, {}, unchanged) == 1
        assert leads_of(storage, owner) == [lead | {"user_id": owner}]
        assert leads_of(storage, old) == []
    with storage.writing():
        assert storage.forget_user(BOB) == 1
    assert storage.position(BOB, lead["id"]) is None
    assert storage.position(ALICE, lead["id"]) == (lead["created_at"], lead["id"])


def test_a_move_that_fails_moves_nothing(storage: Storage) -> None:
    leads = [insert(storage), insert(storage)]

    def change(lead: Lead) -> Lead:
        if lead == leads[1]:
            raise InterruptionError
        return lead

    with pytest.raises(InterruptionError), storage.writing():
        storage.move_leads(ALICE, BOB, {}, change)
    assert storage.leads_after(0, 10) == leads


def change_status(storage: Storage, lead: Lead, status: str, number: int) -> Lead:
    """Give a lead another status on a day, and return it."""
    changed = lead | {"status": status, "updated_at": day(number)}
    with storage.writing():
        storage.update_lead(changed)
        storage.add_status_change(changed, lead["status"])
    return changed


def test_status_changes_are_those_of_one_lead(storage: Storage) -> None:
    lead, bystander, theirs = insert(storage), insert(storage), insert(storage, BOB)
    change_status(storage, bystander, "lost", 2)
    lead = change_status(storage, lead, "lost", 3)
    change_status(storage, lead, "new", 4)
    change_status(storage, theirs, "contacted", 2)
    assert storage.status_changes(ALICE, lead["id"]) == [
        (day(3), "new", "lost", False),
        (day(4), "lost", "new", False),
    ]
    assert storage.status_changes(ALICE, bystander["id"]) == [(day(2), "new", "lost", False)]
    assert storage.status_changes(ALICE, theirs["id"]) == []
    assert storage.status_changes(BOB, theirs["id"]) == [(day(2), "new", "contacted", False)]


def test_of_leads_from_a_file_the_present_status_is_known(storage: Storage) -> None:
    rows = [
        new(ALICE, created_at=day(1)) | {"status": "lost", "updated_at": day(5)},
        new(ALICE, created_at=day(2)),
        new(BOB, created_at=day(3)) | {"status": "converted"},
    ]
    insert(storage, status="contacted")  # there before
    assert storage.insert_leads(rows, accept) == 3
    changes = [
        (user_id, storage.status_changes(user_id, lead["id"]))
        for user_id in (ALICE, BOB)
        for lead in reversed(leads_of(storage, user_id))
        if lead["id"] > 1
    ]
    assert changes == [
        (ALICE, [(day(5), "new", "lost", True)]),
        (ALICE, []),
        (BOB, [(day(3), "new", "converted", True)]),
    ]


def test_a_lead_takes_its_status_changes_along(storage: Storage) -> None:
    lead, stays = insert(storage), insert(storage)
    change_status(storage, lead, "lost", 2)
    change_status(storage, stays, "contacted", 2)
    with storage.writing():
        assert storage.move_leads(ALICE, BOB, {"status": "lost"}, unchanged) == 1
    assert storage.status_changes(BOB, lead["id"]) == [(day(2), "new", "lost", False)]
    assert storage.status_changes(ALICE, lead["id"]) == []
    with storage.writing():
        storage.delete_lead(BOB, lead["id"])
        storage.forget_user(ALICE)
    assert list(storage.rows("leads_history")) == []


class Told(NamedTuple):
    """What a test's lead has gone through: the lead, and its changes as (day, from, to, length).

    The length is that of the stay before, in days, None if not known.
    """

    lead: Lead
    changes: list[tuple[int, str, str, int | None]]

    def reached(self) -> set[str]:
        statuses = {"new", *(to for _, _, to, _ in self.changes)}
        furthest = max(FUNNEL.index(status) for status in statuses if status in FUNNEL)
        return statuses | {*FUNNEL[: furthest + 1]}

    def counts(self, figure: Figure) -> list[int | str]:
        """Return how long the counted stays were, or when the lead was counted otherwise."""
        _, status, since, until, company_id = figure
        if company_id not in (None, self.lead["company_id"]):
            return []
        if figure.event == "reached":
            created_at = self.lead["created_at"]
            is_counted = since <= created_at < until and status in self.reached()
            return [created_at] if is_counted else []
        if figure.event == "became":
            times = [day(at) for at, _, to, _ in self.changes if to == status][:1]
            return [at for at in times if since <= at < until]
        return [
            days * 86_400
            for at, left, _, days in self.changes
            if left == status and days is not None and since <= day(at) < until
        ]


# The day on which a lead is created, its company, the status with which it is imported the day
# after, and what it goes through: a status, and after how many days.
SOME_LIVES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 2),
        st.none() | st.sampled_from(STATUSES[1:]),
        st.lists(st.tuples(st.sampled_from(STATUSES), st.integers(1, 2)), max_size=6),
    ),
    max_size=6,
)
COUNTED = [
    (event, status)
    for event in EVENTS
    for status in (STATUSES if event != "became" else ("converted", "lost"))
]


def live(storage: Storage, user_id: int, life: Any) -> Told:
    """Let a lead go through what one of ``SOME_LIVES`` has."""
    created, company_id, imported, steps = life
    lead = new(user_id, created_at=day(created), company_id=company_id, status=imported or "new")
    changes: list[tuple[int, str, str, int | None]] = []
    since: int | None = created
    now = created
    if imported:
        now += 1
        storage.insert_leads([lead | {"updated_at": day(now)}], accept)
        lead = max(leads_of(storage, user_id), key=lambda one: int(one["id"]))
        changes.append((now, "new", imported, None))
        since = None
    else:
        lead = insert(storage, **lead)
    for status, days in steps:
        now += days
        if status != lead["status"]:
            length = None if since is None else now - since
            changes.append((now, lead["status"], status, length))
            lead = change_status(storage, lead, status, now)
            since = now
    return Told(lead, changes)


def drill_down(storage: Storage, user_id: int, figure: Figure, limit: int) -> list[CountedLead]:
    """Return all that a figure counts, page by page."""
    found: list[CountedLead] = []
    after = None
    while page := storage.drill_down(user_id, figure, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1].place, page[-1].lead["id"]
    return found


@settings(max_examples=30)  # each has all figures
@given(
    lives=SOME_LIVES,
    days=st.tuples(st.integers(1, 3), st.integers(2, 12)),
    company_id=st.none() | st.just(1),
    limit=st.integers(1, 3),
)
def test_a_figure_and_its_list_agree_with_an_oracle(
    storage: Storage,
    lives: list[Any],
    days: tuple[int, int],
    company_id: int | None,
    limit: int,
) -> None:
    mine = next(user_ids)
    told = [live(storage, mine, life) for life in lives]
    live(storage, mine + 1, (1, 1, "lost", [("converted", 1)]))
    for event, status in COUNTED:
        figure = Figure(event, status, day(days[0]), day(days[1]), company_id)
        counted = [(one.lead, found) for one in told if (found := one.counts(figure))]
        expected = [(max(found), lead["id"], lead) for lead, found in counted]
        expected.sort(reverse=True, key=operator.itemgetter(0, 1))
        listed = drill_down(storage, mine, figure, limit)
        assert [(one.place, one.lead["id"], one.lead) for one in listed] == expected
        assert progress.count(storage, mine, figure) == sum(len(found) for _, found in counted)


def test_when_a_lead_was_counted(storage: Storage) -> None:
    lead = insert(storage)
    for number, status in enumerate(("lost", "new", "qualified", "new", "lost"), 2):
        lead = change_status(storage, lead, status, number)

    def counted_at(event: str, status: str) -> list[str]:
        figure = Figure(event, status, day(1), day(9))
        return [one.counted_at for one in drill_down(storage, ALICE, figure, 5)]

    assert counted_at("reached", "new") == [day(1)]
    assert counted_at("reached", "contacted") == [day(4)], "with the status after it"
    assert counted_at("reached", "lost") == counted_at("became", "lost") == [day(2)]
    assert counted_at("left", "new") == [day(6)], "the last of the longest"
    assert counted_at("left", "converted") == []


def test_moved_leads_bring_their_keys_unless_the_key_is_taken(storage: Storage) -> None:
    old = {}
    with storage.writing():
        for name, status in (("made", "new"), ("taken", "new"), ("kept", "lost")):
            old[name] = claim(storage, ALICE, name)
            lead = new(ALICE, id=old[name].lead_id, status=status)
            assert storage.insert_lead(lead, of_known_user=False) == lead
        own = claim(storage, BOB, "taken", "e" * 64)
        storage.insert_lead(new(BOB, id=own.lead_id), of_known_user=False)
        assert storage.move_leads(ALICE, BOB, {"status": "new"}, unchanged) == 2
    assert {name: storage.key(ALICE, name, day(1)) for name in old} == old
    assert storage.key(BOB, "made", day(1)) == old["made"]
    assert storage.key(BOB, "made", day(2)) is None, "it expires when the first user's does"
    assert storage.key(BOB, "taken", day(1)) == own
    assert storage.key(BOB, "kept", day(1)) is None


def test_a_user_who_is_forgotten_leaves_nothing(storage: Storage) -> None:
    leads = [insert(storage), insert(storage)]
    theirs = insert(storage, BOB)
    with storage.writing():
        storage.delete_lead(ALICE, leads[0]["id"])
        records = [claim(storage, user_id) for user_id in (ALICE, BOB)]
        assert storage.forget_user(ALICE, has_leads=False) == 0
        assert len(leads_of(storage)) == 1
        assert storage.forget_user(ALICE) == 1
    assert leads_of(storage) == []
    assert [storage.position(ALICE, lead["id"]) for lead in leads] == [None, None]
    assert storage.key(ALICE, "key", day(1)) is None
    assert leads_of(storage, BOB) == [theirs]
    assert storage.key(BOB, "key", day(1)) == records[1]


# Users and tokens


def test_users_are_found_by_id_and_name(storage: Storage) -> None:
    assert storage.users() == []
    add_users(storage)
    assert storage.users() == [
        {"id": ALICE, "name": "alice", "created_at": day(1)},
        {"id": BOB, "name": "bob", "created_at": day(2)},
    ]
    assert (storage.user_id("bob"), storage.user_id("BOB"), storage.user_id("")) == (
        BOB,
        None,
        None,
    )
    assert (storage.has_user(BOB), storage.has_user(HOSTS)) == (True, False)


def test_no_two_users_have_one_name(storage: Storage) -> None:
    add_users(storage)
    with pytest.raises(NameTakenError, match="alice"), storage.writing():
        storage.add_user("alice", day(3))
    with pytest.raises(NameTakenError, match="alice"), storage.writing():
        storage.rename_user(BOB, "alice")
    with storage.writing():
        storage.rename_user(BOB, "bob")
        storage.rename_user(ALICE, "carol")
    assert [user["name"] for user in storage.users()] == ["carol", "bob"]


def test_a_deleted_user_has_no_tokens_and_keeps_leads(storage: Storage) -> None:
    add_users(storage)
    lead = insert(storage, BOB)
    with storage.writing():
        storage.add_token(ALICE, token(1))
        storage.add_token(BOB, token(2))
        storage.delete_user(BOB)
    assert [user["id"] for user in storage.users()] == [ALICE]
    assert [known["digest"] for known in storage.tokens()] == ["1" * 64]
    assert storage.token("2" * 64) is None
    assert leads_of(storage, BOB) == [lead]
    with storage.writing():
        assert storage.add_user("bob", day(3)) > BOB, "an id is never given out again"


def test_tokens_are_listed_found_and_deleted(storage: Storage) -> None:
    add_users(storage)
    given = [token(1), token(2, read_only=True, label="Ä", expires_at=day(5))]
    with storage.writing():
        storage.add_token(BOB, given[0])
        storage.add_token(ALICE, given[1])
    first, second = storage.tokens()
    for known, values, name, user_id in (
        (first, given[0], "bob", BOB),
        (second, given[1], "alice", ALICE),
    ):
        assert known == known | values | {"user_name": name, "last_used_at": None}
        record = storage.token(values["digest"])
        assert record == (
            *(known["id"], user_id, values["read_only"], values["expires_at"]),
            *(None, None),
        )
    assert first["id"] < second["id"]
    assert storage.tokens(ALICE) == [second]
    assert storage.tokens(HOSTS) == []
    assert storage.token("3" * 64) is None
    with storage.writing():
        assert storage.delete_token(first["id"])
        assert not storage.delete_token(first["id"])
    assert storage.tokens() == [second]


def test_a_session_ends_with_the_token_that_it_came_from(storage: Storage) -> None:
    add_users(storage)
    with storage.writing():
        storage.add_token(BOB, token(1))
        storage.add_token(BOB, token(2))
        first, second = (known["id"] for known in storage.tokens())
        for number, parent in ((3, first), (4, first), (5, second)):
            session = token(number) | {"parent": parent, "last_used_at": day(number)}
            storage.add_token(BOB, session)
    record = storage.token(token(5)["digest"])
    assert record is not None
    assert (record.parent_id, record.last_used_at) == (second, day(5))
    with storage.writing():
        storage.delete_idle_sessions(ALICE, day(9))
        storage.delete_idle_sessions(BOB, day(3))
    assert [storage.token(token(number)["digest"]) is None for number in (3, 4, 5)] == [
        *(True, False, False)
    ]
    with storage.writing():
        assert storage.delete_token(first)
    assert [known["parent"] for known in storage.tokens()] == [None, second]


def test_when_a_status_last_changed(storage: Storage) -> None:
    fill(storage)
    (lead, *_) = [lead for lead in storage.leads_after(0, 10) if lead["user_id"] == ALICE]
    assert storage.last_status_changes(ALICE, [lead["id"]]) == {}
    for number, status in ((7, "contacted"), (8, "lost")):
        with storage.writing():
            changed = lead | {"status": status, "updated_at": day(number)}
            storage.add_status_change(changed, lead["status"])
    ids = [lead["id"], lead["id"] + 99]
    assert storage.last_status_changes(ALICE, ids) == {lead["id"]: day(8)}
    assert storage.last_status_changes(BOB, ids) == {}
    assert storage.last_status_changes(ALICE, []) == {}


def test_leads_that_pass_filters_are_counted_by_status(storage: Storage) -> None:
    fill(storage)
    everything = storage.count_by_status(ALICE)
    assert storage.count_by_status(ALICE, {"min_score": 0}) == everything != {}
    assert storage.count_by_status(ALICE, {"min_score": 100, "max_score": 1}) == {}


def test_the_use_of_a_token_is_noted(storage: Storage, other: Storage) -> None:
    fill(storage)
    (known,) = storage.tokens()
    storage.note_token_use(known["id"], day(7))
    storage.note_token_use(known["id"] + 1, day(8))  # it has just been revoked
    assert other.tokens() == [known | {"last_used_at": day(7)}]
    record = other.token(known["digest"])
    assert record is not None
    assert record.last_used_at == day(7)


# Idempotency keys


def test_a_key_is_its_users_and_ends(storage: Storage) -> None:
    with storage.writing():
        records = {user: claim(storage, user, digest=str(user) * 64) for user in (ALICE, BOB)}
    for user_id, record in records.items():
        assert storage.key(user_id, "key", day(1)) == record
        assert storage.key(user_id, "key", day(2)) is None
        assert storage.key(user_id, "KEY", day(1)) is None
    assert storage.key(HOSTS, "key", day(1)) is None


def test_a_key_that_has_ended_can_be_used_again(storage: Storage) -> None:
    with storage.writing():
        first = claim(storage, ALICE)
        storage.insert_lead(new(id=first.lead_id), of_known_user=False)
        assert storage.claim_key(ALICE, "key", "e" * 64, day(3), day(1)) is None, "it lives"
        assert storage.key(ALICE, "key", day(1)) == first
        again = claim(storage, ALICE, "key", "e" * 64, day(4), day(3))
    assert again.lead_id > first.lead_id
    assert storage.key(ALICE, "key", day(3)) == again


def test_keys_that_have_ended_are_swept_in_the_end(storage: Storage) -> None:
    old = [f"old {number}" for number in range(5)]
    with storage.writing():
        for name in old:
            claim(storage, ALICE, name)
        for number in range(3):
            claim(storage, ALICE, f"new {number}", now=day(9), since=day(8))
    assert not any(storage.key(ALICE, name, day(1)) for name in old)
    assert all(storage.key(ALICE, f"new {number}", day(8)) for number in range(3))


# Connections and transactions


def test_each_thread_has_a_connection_of_its_own(storage: Storage) -> None:
    lead = insert(storage)

    def read() -> tuple[bool, bool, list[Lead]]:
        opened = storage.connect(), storage.connect()
        leads = leads_of(storage)
        storage.close()
        return *opened, leads

    assert storage.connect() is False
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(read).result() == (True, False, [lead])
        storage.close()
        storage.close()
        assert pool.submit(read).result() == (True, False, [lead])
    assert storage.connect() is True


def test_opened_leaves_a_connection_as_it_found_it(storage: Storage) -> None:
    with storage.opened():
        assert storage.connect() is False
    assert storage.connect() is False
    storage.close()
    with storage.opened():
        assert storage.connect() is False
    assert storage.connect() is True
    storage.close()
    with pytest.raises(InterruptionError), storage.opened():
        raise InterruptionError
    assert storage.connect() is True


def test_what_is_disposed_of_can_be_used_again(storage: Storage) -> None:
    lead = insert(storage)
    storage.dispose()
    storage.dispose()
    assert storage.connect() is True
    assert leads_of(storage) == [lead]


def test_a_transaction_is_stored_at_its_end(
    engine: Engine, storage: Storage, other: Storage
) -> None:
    with storage.writing():
        lead = storage.insert_lead(new(), of_known_user=False)
        assert storage.lead(ALICE, lead["id"]) == lead
        assert other.lead(ALICE, lead["id"]) is None
        assert can_write(other) is not engine.takes_turns
    assert other.lead(ALICE, lead["id"]) == lead
    assert can_write(other)


def test_an_exception_rolls_a_transaction_back(storage: Storage, other: Storage) -> None:
    def inner(storage: Storage) -> None:
        with storage.writing():
            insert(storage)
        assert storage.count(ALICE, {}) == 2

    with pytest.raises(InterruptionError):
        interrupted(storage, insert, inner)
    assert storage.count(ALICE, {}) == 0
    assert can_write(other)


def test_an_inner_transaction_is_rolled_back_alone(
    engine: Engine, storage: Storage, other: Storage
) -> None:
    with storage.writing():
        kept = insert(storage)
        with pytest.raises(InterruptionError):
            interrupted(storage, insert)
        assert can_write(other) is not engine.takes_turns, "the outer one goes on"
        also_kept = insert(storage)
    assert leads_of(other) == [also_kept, kept]


# The schema


def test_migrate_makes_all_that_is_needed(open_another: Callable[[], Storage]) -> None:
    storage = open_another()
    assert not storage.exists()
    names = storage.migrate()
    assert names
    assert storage.connect() is True, "it was not open before"
    assert storage.exists()
    assert storage.pending_migrations() == []
    assert storage.migrate() == []
    assert storage.connect() is False, "it was open before"
    with open_another().opened():
        assert open_another().migrate() == []


def test_migrate_keeps_what_is_stored(storage: Storage) -> None:
    fill(storage)
    before = content(storage)
    assert storage.migrate() == []
    assert content(storage) == before


# A copy of everything


@pytest.fixture
def empty(engine: Engine, tmp_path: Path) -> Iterator[Storage]:
    """Another database of the engine's, without data."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with engine.migrated(folder):
        storage = engine.open(folder)
        with storage.opened():
            yield storage
        storage.dispose()


def test_a_snapshot_is_of_one_moment(storage: Storage, other: Storage) -> None:
    fill(storage)
    with storage.snapshot():
        before = list(storage.rows("leads_lead"))
        with suppress(StorageUnavailableError):  # it may wait for the reader
            insert(other)
        assert list(storage.rows("leads_lead")) == before
    lead = insert(other)
    assert tuple(lead.values()) in storage.rows("leads_lead")


def test_all_rows_come_in_order_and_go_in_as_they_are(storage: Storage, empty: Storage) -> None:
    fill(storage)
    with storage.writing():
        claim(storage, ALICE, "é")
        claim(storage, ALICE, "Z")
        claim(storage, -(2**63))
        storage.add_token(BOB, token(2, read_only=True, expires_at=day(9)))
    rows = {table: list(storage.rows(table)) for table in TABLES}
    assert all(rows.values()), "there is something in every table"
    keys = [row[:2] for row in rows["leads_idempotency"]]
    assert keys == [(-(2**63), "key"), (ALICE, "Z"), (ALICE, "key"), (ALICE, "é")]
    assert [row[0] for row in rows["leads_lead"]] == [1, 3, 4]
    with empty.writing():
        for table in TABLES:
            empty.insert_rows(table, rows[table])
    assert {table: list(empty.rows(table)) for table in TABLES} == rows
    assert content(empty) == content(storage)
    assert leads_of(empty, status=new()["status"]) == leads_of(storage)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_in_any_table_is_data(storage: Storage, empty: Storage, table: str) -> None:
    fill(storage)
    with empty.writing():
        assert empty.is_empty()
        if table == "leads_token":  # belongs to a user
            empty.insert_rows("leads_user", storage.rows("leads_user"))
        empty.insert_rows(table, storage.rows(table))
        assert not empty.is_empty()


def test_what_is_empty_stays_empty_in_a_transaction(storage: Storage, other: Storage) -> None:
    with storage.writing():
        assert storage.is_empty()
        with pytest.raises(StorageUnavailableError):
            insert(other)
    insert(other)


def test_a_table_that_is_missing_has_no_rows(storage: Storage) -> None:
    assert isinstance(storage, DatabaseStorage)
    for name in reversed(TABLES):
        execute(storage.database, f"DROP TABLE {name}")
        with storage.writing():
            assert storage.is_empty()


def test_ids_go_on_above_the_last_ones(storage: Storage, empty: Storage) -> None:
    assert set(storage.last_ids().values()) == {0}
    with empty.writing():
        empty.set_last_ids(storage.last_ids())
    assert insert(empty)["id"] == 1
    fill(storage)
    with storage.writing():
        last = storage.insert_lead(new(), of_known_user=True)["id"]
        storage.delete_lead(ALICE, last)
        storage.delete_user(BOB)
    ids = storage.last_ids()
    assert ids == {"leads_user": BOB, "leads_token": 1, "leads_lead": last}
    with empty.writing():
        empty.set_last_ids(ids)
    assert empty.last_ids() == ids
    assert insert(empty)["id"] > last
    with empty.writing():
        assert empty.add_user("carol", day(1)) > BOB


# Maintenance


def test_a_database_that_is_sound(storage: Storage) -> None:
    fill(storage)
    storage.check_health()
    assert storage.problems() == []
    said = dict(storage.status())
    assert said["schema"] == "up to date"
    assert all(said.values())
    assert storage.location


def test_a_health_check_leaves_no_connection(storage: Storage) -> None:
    storage.close()
    storage.check_health()
    assert storage.connect() is True


def test_a_database_that_is_not_there(open_another: Callable[[], Storage], tmp_path: Path) -> None:
    storage = open_another()
    with pytest.raises(StorageUnusableError, match="there is no"):
        storage.problems()
    with pytest.raises(StorageUnusableError):
        storage.back_up(tmp_path / "backup", replace=False)
    assert dict(storage.status())["schema"] == "pending everything"
    assert not storage.exists(), "to look is not to make one"


@pytest.fixture
def restoring(engine: Engine, storage: Storage) -> Storage:
    if "restore" in engine.lacks:
        pytest.skip("this engine has other means")
    return storage


def test_a_backup_brings_everything_back(restoring: Storage, tmp_path: Path) -> None:
    storage = restoring
    fill(storage)
    before, backup = content(storage), tmp_path / "backup"
    storage.back_up(backup, replace=False)
    insert(storage)
    storage.dispose()
    with pytest.raises(StorageUnusableError, match="has data"):
        storage.restore(backup, replace=False)
    assert len(storage.leads_after(0, 10)) == len(before["leads"]) + 1
    storage.dispose()
    aside = storage.restore(backup, replace=True)
    assert aside is not None
    assert aside.exists()
    assert content(storage) == before
    assert insert(storage)["id"] > before["leads"][-1]["id"]


def test_a_backup_is_restored_where_nothing_is(
    restoring: Storage, engine: Engine, tmp_path: Path
) -> None:
    fill(restoring)
    restoring.back_up(tmp_path / "backup", replace=False)
    (tmp_path / "elsewhere").mkdir()
    copy = engine.open(tmp_path / "elsewhere")
    assert copy.restore(tmp_path / "backup", replace=False) is None
    assert content(copy) == content(restoring)
    copy.dispose()


def test_a_backup_replaces_a_file_only_if_told_to(restoring: Storage, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.write_text("precious")
    with pytest.raises(StorageUnusableError, match="exists"):
        restoring.back_up(backup, replace=False)
    assert backup.read_text() == "precious"
    restoring.back_up(backup, replace=True)
    assert backup.read_bytes() != b"precious"


def test_what_is_no_backup_is_not_restored(restoring: Storage, tmp_path: Path) -> None:
    lead = insert(restoring)
    restoring.dispose()
    for path in (tmp_path / "missing", tmp_path / "text"):
        with pytest.raises(StorageUnusableError, match=path.name):
            restoring.restore(path, replace=True)
        (tmp_path / "text").write_text("no backup")
    assert leads_of(restoring) == [lead]


def test_nothing_is_restored_under_a_database_in_use(
    restoring: Storage, other: Storage, tmp_path: Path
) -> None:
    restoring.back_up(tmp_path / "backup", replace=False)
    restoring.dispose()
    with other.opened():
        other.check_health()
        with pytest.raises(StorageUnusableError, match="in use"):
            restoring.restore(tmp_path / "backup", replace=True)


def test_an_engine_with_other_means_says_so(
    engine: Engine, storage: Storage, tmp_path: Path
) -> None:
    fill(storage)
    before = content(storage)
    storage.dispose()
    with sqlite3.connect(tmp_path / "backup"):  # an empty one
        pass
    for method in engine.lacks:
        with pytest.raises(StorageUnusableError, match=re.escape(storage.location)):
            SAMPLES[method].call(storage, tmp_path / "backup")
    assert content(storage) == before


# What each method does where the storage fails it


class Sample(NamedTuple):
    """A call of a method, and the error that it raises where the storage fails; None for none."""

    call: Callable[[Storage, Path], Any]  # the path is of a file that is not there
    locked: type[StorageError] | None = None
    full: type[StorageError] | None = None
    unreachable: type[StorageError] | tuple[type[StorageError], ...] | None = (
        StorageUnavailableError
    )
    usual: type[StorageError] | None = None


def writes(call: Callable[[Storage], Any]) -> Sample:
    def in_transaction(storage: Storage, path: Path) -> None:
        with storage.writing():
            call(storage)

    unavailable = StorageUnavailableError
    return Sample(in_transaction, locked=unavailable, full=unavailable, unreachable=unavailable)


def reads(call: Callable[[Storage], Any], unreachable: Any = StorageUnavailableError) -> Sample:
    return Sample(lambda storage, _: call(storage), unreachable=unreachable)


def _read_opened(storage: Storage) -> None:
    with storage.opened():
        storage.check_health()


def _connect(storage: Storage) -> None:
    storage.connect()
    storage.check_health()  # an engine may find only then that nobody answers


def _read_snapshot(storage: Storage) -> None:
    with storage.opened(), storage.snapshot():
        storage.check_health()


def _set_last_ids(storage: Storage) -> None:
    storage.set_last_ids({"leads_user": 9999})
    insert(storage)  # an engine may set the ids without a lock


EITHER = (StorageUnavailableError, StorageUnusableError)
UNUSABLE = StorageUnusableError

SAMPLES = {
    "connect": reads(_connect),
    "close": reads(lambda s: s.close(), unreachable=None),
    "dispose": reads(lambda s: s.dispose(), unreachable=None),
    "opened": reads(_read_opened, unreachable=EITHER),
    "writing": writes(insert),
    "transact": Sample(
        lambda s, _: s.transact(lambda: insert(s)),
        locked=StorageUnavailableError,
        full=StorageUnavailableError,
        unreachable=StorageUnavailableError,
    ),
    "check_health": reads(lambda s: s.check_health()),
    "exists": reads(lambda s: s.exists() or refuse(), unreachable=UNUSABLE),
    "migrate": reads(lambda s: s.migrate(), unreachable=UNUSABLE),
    "pending_migrations": reads(lambda s: s.pending_migrations(), unreachable=UNUSABLE),
    "distribute": reads(
        lambda s: s.distribute(of_known_users=False) == [] or refuse(), unreachable=UNUSABLE
    ),
    "insert_lead": writes(lambda s: s.insert_lead(new(), of_known_user=True)),
    "lead": reads(lambda s: s.lead(ALICE, 1)),
    "update_lead": writes(lambda s: s.update_lead(new(id=1, status="lost"))),
    "add_status_change": writes(lambda s: s.add_status_change(new(id=1, status="lost"), "new")),
    "status_changes": reads(lambda s: s.status_changes(ALICE, 1)),
    "last_status_changes": reads(lambda s: s.last_status_changes(ALICE, [1])),
    "first_created": reads(lambda s: s.first_created(ALICE, 1)),
    "counts_between": reads(lambda s: s.counts_between(ALICE, [day(1), day(2), day(3)])),
    "reached": reads(lambda s: s.reached(ALICE, day(1), day(2))),
    "drill_down": reads(
        lambda s: s.drill_down(ALICE, Figure("left", "new", day(1), day(9)), after=None, limit=1)
    ),
    "stays": reads(lambda s: s.stays(ALICE, day(1), day(9))),
    "delete_lead": writes(lambda s: s.delete_lead(ALICE, 1)),
    "position": reads(lambda s: s.position(ALICE, 2)),
    "page": reads(page_of),
    "count": reads(lambda s: s.count(ALICE, {"min_score": 1})),
    "count_by_status": reads(lambda s: s.count_by_status()),
    "insert_leads": Sample(
        lambda s, _: s.insert_leads([new()], accept),
        *(StorageUnavailableError, StorageUnavailableError),
    ),
    "export_leads": reads(lambda s: list(s.export_leads(FIELDS, {}))),
    "leads_after": reads(lambda s: s.leads_after(0, 1000)),
    "set_score": writes(lambda s: s.set_score(s.leads_after(0, 1)[0], 99)),
    "move_leads": writes(lambda s: s.move_leads(ALICE, BOB, {}, unchanged)),
    "forget_user": writes(lambda s: s.forget_user(ALICE)),
    "add_user": writes(lambda s: s.add_user("carol", day(1))),
    "users": reads(lambda s: s.users()),
    "user_id": reads(lambda s: s.user_id("alice")),
    "has_user": reads(lambda s: s.has_user(ALICE)),
    "rename_user": writes(lambda s: s.rename_user(ALICE, "carol")),
    "delete_user": writes(lambda s: s.delete_user(ALICE)),
    "add_token": writes(lambda s: s.add_token(ALICE, token(2))),
    "tokens": reads(lambda s: s.tokens()),
    # There are none, so it writes nothing.
    "delete_idle_sessions": writes(lambda s: s.delete_idle_sessions(ALICE, day(9)))._replace(
        full=None
    ),
    "delete_token": writes(lambda s: s.delete_token(1)),
    "token": reads(lambda s: s.token("1" * 64)),
    "has_token": reads(lambda s: s.has_token((1, "1" * 64))),
    "note_token_use": reads(lambda s: s.note_token_use(1, day(9)), unreachable=None),
    "key": reads(lambda s: s.key(ALICE, "key", day(1))),
    "claim_key": writes(lambda s: claim(s, ALICE, "new")),
    "snapshot": reads(_read_snapshot, unreachable=EITHER),
    "rows": reads(lambda s: list(s.rows("leads_lead"))),
    "is_empty": writes(lambda s: s.is_empty())._replace(full=None),
    "insert_rows": writes(lambda s: s.insert_rows("leads_user", [(9999, "eve", day(1))])),
    "last_ids": reads(lambda s: s.last_ids()),
    "set_last_ids": writes(_set_last_ids),
    "status": reads(lambda s: dict(s.status())["schema"] == "up to date" or refuse(), UNUSABLE),
    "problems": reads(lambda s: s.problems() and refuse(), unreachable=UNUSABLE),
    "back_up": Sample(lambda s, path: s.back_up(path, replace=False), None, UNUSABLE, UNUSABLE),
    # There is no such file.
    "restore": Sample(
        lambda s, path: s.restore(path, replace=False), UNUSABLE, UNUSABLE, UNUSABLE, UNUSABLE
    ),
}


def refuse() -> NoReturn:
    """Raise what a method that only returns that the database is none would have raised."""
    raise StorageUnusableError("it says that it can't be used")


def assert_ours(error: StorageError) -> None:
    """Check that an error says something."""
    assert len(str(error)) > len("locked")
    assert "\n" not in str(error)


MANY = 150  # rows of a table, which then has many pages

each_method = pytest.mark.parametrize("method", SAMPLES)


def test_every_method_has_a_sample() -> None:
    methods = {name for name, it in vars(Storage).items() if isfunction(it) and name[0] != "_"}
    assert methods == SAMPLES.keys(), "say here how to call it, and what it raises"


def run(
    method: str, engine: Engine, storage: Storage, folder: Path, failure: str = "usual"
) -> None:
    """Call a method, and check that it raises what its sample says of this failure."""
    sample = SAMPLES[method]
    error = StorageUnusableError if method in engine.lacks else getattr(sample, failure)
    path = folder / "backup"
    if error is None:
        sample.call(storage, path)
        return
    with pytest.raises(error) as caught:
        sample.call(storage, path)
    assert_ours(caught.value)


@each_method
def test_where_nothing_fails(storage: Storage, engine: Engine, tmp_path: Path, method: str) -> None:
    fill(storage)
    run(method, engine, storage, tmp_path)


@each_method
def test_under_a_held_write_lock(
    storage: Storage, engine: Engine, folder: Path, tmp_path: Path, method: str
) -> None:
    fill(storage)
    before = content(storage)
    with engine.locked(folder):
        run(method, engine, storage, tmp_path, "locked")
    assert content(storage) == before
    insert(storage)


def engines_with(attribute: str) -> pytest.MarkDecorator:
    """Run a test on the engines that have this attribute."""
    names = [name for name, engine in ENGINES.items() if getattr(engine, attribute)]
    return pytest.mark.parametrize("engine", names, indirect=True)


@each_method
@engines_with("full")
def test_on_a_full_disk(
    storage: Storage, engine: Engine, folder: Path, tmp_path: Path, method: str
) -> None:
    fill(storage)
    before = content(storage)
    assert engine.full is not None
    with engine.full(folder):
        run(method, engine, storage, tmp_path, "full")
    assert content(storage) == before
    insert(storage)
    assert len(storage.leads_after(0, 10)) == len(before["leads"]) + 1
    assert storage.problems() == []


WAYS = [(name, way) for name, engine in ENGINES.items() for way in engine.unreachable]


@each_method
@pytest.mark.parametrize(("engine", "way"), WAYS, indirect=["engine"])
def test_out_of_reach(
    storage: Storage, engine: Engine, way: str, folder: Path, tmp_path: Path, method: str
) -> None:
    fill(storage)
    storage.dispose()
    engine.unreachable[way](folder)
    run(method, engine, storage, tmp_path, "unreachable")


@each_method
def test_without_a_connection(
    storage: Storage, engine: Engine, other: Storage, tmp_path: Path, method: str
) -> None:
    """A method that finds none connects by itself."""
    fill(storage)
    storage.dispose()
    run(method, engine, storage, tmp_path)
    assert other.problems() == []


@each_method
@engines_with("damaged")
def test_with_damage(
    storage: Storage, engine: Engine, folder: Path, tmp_path: Path, method: str
) -> None:
    """Which methods meet it is the engine's; those that do raise errors of ours."""
    fill(storage)
    with storage.writing():
        for number in range(MANY):
            storage.add_user(f"user {number} {'x' * 80}", day(1))
            storage.add_token(ALICE, token(1, digest=f"{number:064}", label="x" * 100))
            storage.insert_lead(new(notes="x" * 1000), of_known_user=True)
    storage.dispose()
    assert engine.damaged is not None
    engine.damaged(folder)
    try:
        SAMPLES[method].call(storage, tmp_path / "backup")
    except StorageError as error:
        assert_ours(error)
    with suppress(StorageError):
        storage.dispose()


def test_a_hosts_database_that_does_not_connect_by_itself(folder: Path) -> None:
    storage = open_storage(SqliteDatabase(str(folder / "leads.db"), autoconnect=False))
    storage.migrate()
    with pytest.raises(StorageUnavailableError, match="not opened"):
        storage.users()
    with storage.opened():
        assert storage.users() == []
