"""Calls of a stub, and how they are answered."""

from collections.abc import Callable
from typing import Any

from werkzeug.test import Client, TestResponse

from leads_service.stub import Stub

Make = Callable[..., Client]
ALICE = {"Authorization": "Bearer alice-token", "Content-Type": "application/json", "Host": "stub"}
BOB = {"Authorization": "Bearer bob-token"}
READER = {"Authorization": "Bearer alice-read-only"}
LEAD = '{"company_id": 42}'
CALLS: list[tuple[int, str, str, str, dict[str, str]]] = [
    (200, "GET", "/v1/leads?limit=3", "", {}),
    (201, "POST", "/v1/leads", LEAD, {}),
    (200, "PATCH", "/v1/leads/2", '{"notes": "changed"}', {}),
    (404, "PATCH", "/v1/leads/999", '{"notes": "changed"}', {}),
    (200, "GET", "/v1/leads/2", "", {}),
    (412, "PATCH", "/v1/leads/2", "{}", {"If-Match": '"2026-01-01T00:00:00.000000Z"'}),
    (204, "DELETE", "/v1/leads/3", "", {}),
    (404, "DELETE", "/v1/leads/3", "", {}),
    (403, "DELETE", "/v1/leads/2", "", READER),
    (405, "DELETE", "/v1/leads", "", {}),
    (401, "GET", "/v1/leads", "", {"Authorization": ""}),
    (200, "GET", "/v1/leads?limit=1", "", READER),
    (403, "POST", "/v1/leads", LEAD, READER),
    (422, "GET", "/v1/leads?limit=x&statsu=x&min_score=x", "", {"Origin": "https://ui.test"}),
    (503, "POST", "/v1/leads", LEAD, {"X-Stub-Fail": "503"}),
    (200, "OPTIONS", "/v1/leads/1", "", {"Access-Control-Request-Method": "PATCH"}),
    (201, "POST", "/v1/leads", LEAD, BOB),
]


def stub_of(client: Client) -> Stub:
    assert isinstance(client.application, Stub)
    return client.application


def ask(client: Client, method: str, path: str, body: str = "", headers: Any = ()) -> TestResponse:
    return client.open(path, method=method, data=body, headers=ALICE | dict(headers))


def answers(client: Client) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    found = [ask(client, *call[1:]) for call in CALLS]
    return [(answer.status_code, list(answer.headers), answer.data) for answer in found]
