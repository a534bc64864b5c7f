"""The commands about tokens."""

import shlex
import sqlite3

import pytest
from flask.testing import FlaskClient

from tests.cli.expected import TOKEN, TOKENS
from tests.helpers import NOW, Clock, Run, assert_misused, assert_refused, lines


def bearing(client: FlaskClient, token: str) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token.strip()}"
    return client


def test_token_create(invoke: Run, client: FlaskClient, raw: sqlite3.Connection) -> None:
    invoke("user", "add", "alice")
    code, token, notice = invoke("token", "create", "alice")
    assert code == 0
    assert TOKEN.fullmatch(token)
    assert notice == "Keep it: only its SHA-256 is stored.\n"
    assert bearing(client, token).post("/v1/leads", json={"company_id": 42}).status_code == 201
    assert token.strip() not in "\n".join(raw.iterdump())


def test_every_token_is_another(invoke: Run) -> None:
    invoke("user", "add", "alice")
    assert len({invoke("token", "create", "alice").stdout for _ in range(5)}) == 5


def test_read_only(invoke: Run, client: FlaskClient) -> None:
    invoke("user", "add", "alice")
    bearing(client, invoke("token", "create", "alice", "--read-only").stdout)
    assert client.get("/v1/leads").status_code == 200
    assert client.post("/v1/leads", json={"company_id": 42}).status_code == 403


def test_expires(invoke: Run, client: FlaskClient, clock: Clock) -> None:
    invoke("user", "add", "alice")
    bearing(client, invoke("token", "create", "alice", "--expires", "30m").stdout)
    assert lines(invoke("token", "list").stdout)[1][6] == "2026-11-22T22:33:11.123456Z"
    clock.move(minutes=30, seconds=-1)
    assert client.get("/v1/leads").status_code == 200
    clock.move(seconds=1)
    assert client.get("/v1/leads").status_code == 401


def test_a_duration_that_is_none(invoke: Run) -> None:
    invoke("user", "add", "alice")
    answer = invoke("token", "create", "alice", "--expires=36501d")
    assert_misused(answer, "--expires", "30m, 12h, 90d or 8w", "36500d")
    assert invoke("token", "list") == (0, TOKENS, "")


def test_token_list(invoke: Run, client: FlaskClient, clock: Clock) -> None:
    assert invoke("token", "list") == (0, TOKENS, "")
    for name in ("alice", "bob"):
        invoke("user", "add", name)
    tokens = [
        invoke("token", "create", "alice", "--label", "the CRM's export", "--read-only").stdout,
        invoke("token", "create", "bob", "--expires", "30m").stdout,
        invoke("token", "create", "alice").stdout,
    ]
    clock.move(minutes=1)
    assert bearing(client, tokens[1]).get("/v1/leads").status_code == 200
    seen = [f"{token[:12]}..." for token in tokens]
    head = f"""\
ID  USER   TOKEN            LABEL             READ-ONLY  CREATED                      EXPIRES                      LAST USED
1   alice  {seen[0]}  the CRM's export  yes        {NOW}  never                        never
2   bob    {seen[1]}  -                 no         {NOW}  2026-11-22T22:33:11.123456Z  2026-11-22T22:04:11.123456Z
3   alice  {seen[2]}  -                 no         {NOW}  never                        never
"""  # noqa: E501  # a table
    assert invoke("token", "list") == (0, head, "")
    assert [row[0] for row in lines(invoke("token", "list", "alice").stdout)] == ["ID", "1", "3"]
    assert [row[0] for row in lines(invoke("token", "list", "bob").stdout)] == ["ID", "2"]


@pytest.mark.parametrize("label", ["x" * 100, "Zoë's laptop", ""])
def test_labels(invoke: Run, label: str) -> None:
    invoke("user", "add", "alice")
    assert invoke("token", "create", "alice", "--label", label).code == 0
    assert lines(invoke("token", "list").stdout)[1][3] == label or "-"


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31m", "a\0b", "\udcff"])
def test_labels_that_would_break_the_list(invoke: Run, label: str) -> None:
    invoke("user", "add", "alice")
    assert_refused(invoke("token", "create", "alice", "--label", label), "label", repr(label))
    assert invoke("token", "list") == (0, TOKENS, "")


OF_A_USER = [("token", "create"), ("token", "list"), ("pipeline", "--user")]


@pytest.mark.parametrize("name", ["bob", "Bob O'Neil"])
@pytest.mark.parametrize("words", OF_A_USER, ids=" ".join)
def test_a_user_who_does_not_exist(invoke: Run, words: tuple[str, ...], name: str) -> None:
    invoke("user", "add", "alice")
    remedy = f"leads-service user add {shlex.quote(name)}"
    assert_refused(invoke(*words, name), f"there is no user {name!r}", remedy)
    assert invoke("token", "list") == (0, TOKENS, "")


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff"])
@pytest.mark.parametrize("words", OF_A_USER, ids=" ".join)
def test_a_user_who_cannot_exist(invoke: Run, words: tuple[str, ...], name: str) -> None:
    assert_refused(invoke(*words, name), f"{name!r} is no name", "1 to 100 printable characters")


def test_token_revoke(invoke: Run, client: FlaskClient) -> None:
    invoke("user", "add", "alice")
    kept, revoked = (invoke("token", "create", "alice").stdout for _ in range(2))
    assert bearing(client, revoked).get("/v1/leads").status_code == 200
    assert invoke("token", "revoke", "2") == (0, "", "Token 2 is revoked.\n")
    answer = client.get("/v1/leads")
    assert answer.status_code == 401
    assert answer.get_json()["message"] == "The token is unknown, expired or revoked."
    assert bearing(client, kept).get("/v1/leads").status_code == 200
    assert_refused(
        invoke("token", "revoke", "2"), "there is no token 2", "leads-service token list"
    )
    invoke("token", "create", "alice")
    assert [row[0] for row in lines(invoke("token", "list").stdout)] == ["ID", "1", "3"]


@pytest.mark.parametrize("token_id", ["1", str(2**63 - 1)])
def test_a_token_that_does_not_exist(invoke: Run, token_id: str) -> None:
    assert_refused(invoke("token", "revoke", token_id), f"no token {token_id};", "token list")


@pytest.mark.parametrize("token_id", ["0", "-1", "x", "1.0", "", str(2**63)])
def test_ids_that_are_none(invoke: Run, token_id: str) -> None:
    assert_misused(invoke("token", "revoke", "--", token_id), "'ID'")
