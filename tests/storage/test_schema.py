"""What the tables take and what they refuse."""

import sqlite3
from typing import Any

import pytest

from leads_service.state import AppState
from tests.helpers import NOW, Caller, insert

LATER = "2026-11-22T22:03:11.123457Z"


GRIN = "\N{GRINNING FACE}"


pytestmark = pytest.mark.usefixtures("alice")  # user 1

ROWS: dict[str, dict[str, Any]] = {
    "leads_user": {"name": "carol", "created_at": NOW},
    "leads_token": {
        "user_id": 1,
        "digest": "0" * 64,
        "prefix": "leads_abcdef",
        "label": "",
        "read_only": 0,
        "created_at": NOW,
        "expires_at": None,
        "last_used_at": None,
        "parent_id": None,
    },
    "leads_lead": {
        "user_id": 1,
        "company_id": 42,
        "status": "new",
        "notes": "",
        "score": 10,
        "created_at": NOW,
        "updated_at": NOW,
    },
}


def test_the_tables_are_strict(raw: sqlite3.Connection) -> None:
    query = "SELECT name, strict FROM pragma_table_list WHERE name LIKE 'leads%' ORDER BY name"
    assert dict(raw.execute(query).fetchall()) == {
        "leads_deleted": 1,
        "leads_history": 1,
        "leads_idempotency": 1,
        "leads_lead": 1,
        "leads_migration": 0,  # Peewee's
        "leads_token": 1,
        "leads_user": 1,
    }


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("leads_user", {}),
        ("leads_user", {"name": GRIN * 100}),
        ("leads_token", {}),
        ("leads_token", {"read_only": 1, "expires_at": NOW, "last_used_at": NOW}),
        ("leads_lead", {}),
        ("leads_lead", {"user_id": 42}),  # in a host application the users are elsewhere
        ("leads_lead", {"company_id": 1}),
        ("leads_lead", {"company_id": 2**63 - 1}),
        ("leads_lead", {"status": "contacted"}),
        ("leads_lead", {"status": "qualified"}),
        ("leads_lead", {"status": "converted"}),
        ("leads_lead", {"status": "lost"}),
        ("leads_lead", {"notes": "x" * 10_000}),
        ("leads_lead", {"notes": GRIN * 10_000}),
        ("leads_lead", {"score": 0}),
        ("leads_lead", {"score": 100}),
        ("leads_lead", {"updated_at": LATER}),
    ],
)
def test_what_the_schema_takes(raw: sqlite3.Connection, table: str, change: dict[str, Any]) -> None:
    row_id = insert(raw, table, ROWS[table] | change)
    names = ", ".join(ROWS[table])
    stored = raw.execute(f"SELECT {names} FROM {table} WHERE id = ?", (row_id,))  # noqa: S608  # ours
    assert stored.fetchone() == tuple((ROWS[table] | change).values())


TIMESTAMPS = [
    "",
    "2026-11-22",
    "2026-11-22T22:03:11Z",
    "2026-11-22T22:03:11.123Z",
    "2026-11-22T22:03:11.123456",
    "2026-11-22T22:03:11.123456z",
    "2026-11-22T22:03:11.123456+00:00",
    "2026-11-22 22:03:11.123456Z",
    "2026-11-22T22:03:11.1234567Z",
    "12026-11-22T22:03:11.123456Z",
    "2026-11-22T22:03:11.123456Z\n",
    " 2026-11-22T22:03:11.123456Z",
    "2026-11-22T22:03:11.12345٩Z",
    "now",
    1795384991,
    b"2026-11-22T22:03:11.123456Z",
]


FORBIDDEN: dict[str, dict[str, list[Any]]] = {
    "leads_user": {
        "name": ["", "x" * 101, None, b"carol", "alice"],
        "created_at": [*TIMESTAMPS, None],
    },
    "leads_token": {
        "user_id": [2, None, "alice"],
        "digest": ["", "0" * 63, "0" * 65, None],
        "prefix": [None],
        "label": [None],
        "read_only": [2, -1, None, "yes", 0.5],
        "created_at": [*TIMESTAMPS, None],
        "expires_at": TIMESTAMPS,
        "last_used_at": TIMESTAMPS,
        "parent_id": [99],
    },
    "leads_lead": {
        "user_id": [None, "alice", 1.5],
        "company_id": [0, -1, None, "acme", "", 1.5, 2.0**63, b"42"],
        "status": ["", "bad", "NEW", "new ", None, 0],
        "notes": ["x" * 10_001, GRIN * 10_001, "\0", "a\0b", "x" * 9_999 + "\0", None, b"notes"],
        "score": [-1, 101, None, "high", "", 10.5, b"10"],
        "created_at": [*TIMESTAMPS, LATER, None],
        "updated_at": [*TIMESTAMPS, "2026-11-22T22:03:11.123455Z", None],
    },
}


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table, columns in FORBIDDEN.items() for column in columns],
)
def test_what_the_schema_refuses(raw: sqlite3.Connection, table: str, column: str) -> None:
    before = list(raw.iterdump())
    for value in FORBIDDEN[table][column]:
        with pytest.raises(sqlite3.IntegrityError):
            insert(raw, table, ROWS[table] | {column: value})
    assert list(raw.iterdump()) == before


def test_every_column_has_something_to_refuse(raw: sqlite3.Connection) -> None:
    for table, columns in FORBIDDEN.items():
        query = f"SELECT name FROM pragma_table_info('{table}') WHERE name <> 'id'"  # noqa: S608  # ours
        assert [name for (name,) in raw.execute(query)] == list(columns) == list(ROWS[table])


def test_a_digest_is_there_once(raw: sqlite3.Connection) -> None:
    insert(raw, "leads_token", ROWS["leads_token"])
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(raw, "leads_token", ROWS["leads_token"])


def test_a_users_tokens_go_with_the_user(raw: sqlite3.Connection) -> None:
    raw.execute("DELETE FROM leads_user WHERE id = 1")
    assert raw.execute("SELECT count(*) FROM leads_token").fetchone() == (0,)


def test_ids_are_never_used_again(
    service: AppState, alice: Caller, bob: Caller, raw: sqlite3.Connection
) -> None:
    for _ in range(3):
        service.leads.create(alice.id, {"company_id": 42})
    raw.execute("DELETE FROM leads_lead WHERE id = 3")
    assert service.leads.create(alice.id, {"company_id": 42})["id"] == 4
    raw.execute("DELETE FROM leads_lead")
    assert service.leads.create(alice.id, {"company_id": 42})["id"] == 5
    service.accounts.revoke_token(2)
    service.accounts.create_token("bob")
    assert [token["id"] for token in service.accounts.tokens()] == [1, 3]
    raw.execute("DELETE FROM leads_user WHERE id = 2")
    assert service.accounts.add_user("carol") == 3
