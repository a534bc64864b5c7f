"""The stub: made up, the same every time, obedient, and nothing that the service has in it."""

import re
import unicodedata
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from leads_service import create_app
from leads_service.cli.server import serve
from leads_service.lead import STATUSES
from leads_service.stub.server import listen
from tests.helpers import caller
from tests.stub.calls import CALLS, LEAD, Make, answers, ask, stub_of


def test_without_any_set_up(make: Make) -> None:
    client, path, sizes = make(), "/v1/leads", []
    while path:
        answer = ask(client, "GET", path)
        sizes.append(len(answer.get_json()["data"]))
        path = re.sub(r"^<http://stub(.*)>.*", r"\1", answer.headers.get("Link", ""))
    assert sizes == [50, 50, 50]
    leads = stub_of(client).leads("alice") + stub_of(client).leads("bob")
    assert [lead["user_id"] for lead in leads] == [1] * 150 + [2] * 50
    assert {lead["status"] for lead in leads} == set(STATUSES)
    times = [(lead["created_at"], lead["updated_at"]) for lead in leads]
    assert all("2025-11-02T09" <= first <= last < "2026-11-02T09" for first, last in times)
    letters = filter(str.isalpha, "".join(lead["notes"] for lead in leads))
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= {"LATIN", "CYRILLIC", "HEBREW", "ARABIC", "CJK", "HIRAGANA", "HANGUL"}


def test_what_has_become_of_the_leads(make: Make) -> None:
    client = make(leads=2000)
    ends = set()
    for lead in stub_of(client).leads("alice"):
        history = ask(client, "GET", f"/board/leads/{lead['id']}/history").get_json()["data"]
        steps = [(one["from_status"], one["to_status"]) for one in history]
        ends.add((lead["status"], *steps, history[0]["is_estimate"] if history else None))
        assert not history or history[-1]["changed_at"] == lead["updated_at"]
    all_steps = [("new", "contacted"), ("contacted", "qualified"), ("qualified", "converted")]
    assert ends == {
        ("new", None),
        *((STATUSES[number], *all_steps[:number], False) for number in (1, 2, 3)),
        ("lost", all_steps[0], ("contacted", "lost"), False),
        *((status, ("new", status), True) for status in STATUSES[1:]),  # of the oldest ones
    }
    stays = ask(client, "GET", "/board/figures?span=all").get_json()["stays"]
    assert [stay["median"] > 0 for stay in stays[:3]] == [True] * 3


def test_the_index(make: Make) -> None:
    client = make(leads=0)
    assert ask(client, "GET", "/").get_json()["leads"] == "/v1/leads"
    assert ask(client, "GET", "/", headers={"Accept": "text/html"}).headers["Location"] == "/board"


def test_the_same_every_time_and_after_a_reset(make: Make) -> None:
    one = make()
    first = answers(one)
    assert [status for status, _, _ in first] == [status for status, *_ in CALLS]
    assert answers(make()) == first != answers(make(seed=1))
    assert one.post("/stub/reset").status_code == 204
    assert answers(one) == first


def test_time_passes_with_writes_only(make: Make) -> None:
    client = make()
    key, asks = {"Idempotency-Key": "a"}, {"Access-Control-Request-Method": "DELETE"}
    for seconds, *call in (
        (1, "POST", "/v1/leads", LEAD, key),
        (0, "POST", "/v1/leads", LEAD, key),
        (1, "PATCH", "/v1/leads/201", '{"notes": "changed"}'),
        (0, "GET", "/v1/leads"),
        (0, "GET", "/v1/leads/201"),
        (0, "OPTIONS", "/v1/leads/201", "", asks),
        (0, "POST", "/v1/leads", "{}"),
        (1, "DELETE", "/v1/leads/201"),
        (0, "DELETE", "/v1/leads/201"),
        (0, "POST", "/v1/leads", LEAD, key),
    ):
        before = stub_of(client).now
        ask(client, *call)
        assert stub_of(client).now - before == timedelta(seconds=seconds), call
    made = ask(client, "POST", "/v1/leads", LEAD).get_json()
    assert made["created_at"] == "2026-11-02T09:00:03.000000Z"


def test_a_file_keeps_the_leads(make: Make, tmp_path: Path) -> None:
    first = make(file=tmp_path / "stub.db", leads=280)
    ask(first, "POST", "/v1/leads", LEAD)
    kept = stub_of(first).leads("alice")
    assert (len(kept), kept[0]["id"]) == (211, 281)
    stub_of(first).close()
    second = make(file=tmp_path / "stub.db", leads=9)
    assert stub_of(second).leads("alice") == kept
    assert ask(second, "POST", "/v1/leads", LEAD).get_json()["id"] == 282
    second.post("/stub/reset")
    assert stub_of(second).leads("alice") == kept


def test_it_listens_to_this_machine_alone(make: Make) -> None:
    server, _ = listen(stub_of(make(leads=0)))
    server.server_close()
    assert server.server_address == ("127.0.0.1", server.server_port)


def test_none_of_it_is_in_the_service(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {f"LEADS_STUB{name}": "1" for name in ("", "_DELAY", "_FAIL", "_FAIL_RATE", "_SEED")}
    for name in settings:
        monkeypatch.setenv(name, "1")
    app = create_app(settings | {"LEADS_DATABASE": url})
    headers = {"X-Stub-Fail": "503", "X-Stub-Delay": "5", "Origin": "https://ui.test"}
    answer = caller(app, "alice").client.get("/v1/leads", headers=headers)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert ask(app.test_client(), "GET", "/v1/leads").status_code == 401
    assert ask(app.test_client(), "POST", "/stub/reset").status_code == 404
    usage = CliRunner().invoke(serve, ["--help"]).stdout
    assert set(re.findall("workers|stub|delay|fail|seed", usage)) == {"workers"}
