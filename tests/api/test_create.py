"""POST /v1/leads."""

import pytest

from leads_service.lead import FIELDS
from tests.helpers import NOW, Caller, Clock, alone_and_embedded

pytestmark = alone_and_embedded


def test_create(alice: Caller, clock: Clock) -> None:
    answer = alice.client.post("/v1/leads", json={"company_id": 42, "notes": "Met at the fair"})
    assert answer.status_code == 201
    assert list(answer.get_json()) == list(FIELDS)
    assert answer.get_json() == answer.get_json() | {
        "id": 1,
        "user_id": alice.id,
        "company_id": 42,
        "status": "new",
        "notes": "Met at the fair",
        "score": 10,
        "created_at": NOW,
        "updated_at": NOW,
    }
    assert answer.headers["Location"] == "http://localhost/v1/leads/1"
    assert alice.client.get("/v1/leads").get_json()["data"] == [answer.get_json()]


@pytest.mark.parametrize("body", [{"company_id": 1}, {"company_id": 1, "notes": None}])
def test_no_notes_are_an_empty_text(alice: Caller, body: dict[str, object]) -> None:
    assert alice.client.post("/v1/leads", json=body).get_json()["notes"] == ""


@pytest.mark.parametrize(
    "notes",
    ["", " ", "x" * 10_000, "😀" * 10_000, "Grüße, 東京, שלום\r\n\t", "\x01\x7f\u2028\ufeff"],
)
def test_notes_come_back_as_they_were_sent(alice: Caller, notes: str) -> None:
    alice.client.post("/v1/leads", json={"company_id": 2**63 - 1, "notes": notes})
    (lead,) = alice.client.get("/v1/leads").get_json()["data"]
    assert lead["notes"] == notes
    assert lead["company_id"] == 2**63 - 1


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ("{}", {"company_id": ["Missing data for required field."]}),
        ('{"company_id": null}', {"company_id": ["Field may not be null."]}),
        ('{"company_id": "12"}', {"company_id": ["Not a valid integer."]}),
        ('{"company_id": true}', {"company_id": ["Not a valid integer."]}),
        ('{"company_id": 1.5}', {"company_id": ["Not a valid integer."]}),
        ('{"company_id": 1.0}', {"company_id": ["Not a valid integer."]}),
        ('{"company_id": 1e400}', {"company_id": ["Not a valid integer."]}),
        (f'{{"company_id": {"9" * 5000}}}', {"company_id": ["Not a valid integer."]}),
        (f'{{"company_id": {2**63}}}', {"company_id": [f"Must be from 1 to {2**63 - 1}."]}),
        ('{"company_id": 0}', {"company_id": [f"Must be from 1 to {2**63 - 1}."]}),
        ('{"company_id": -1}', {"company_id": [f"Must be from 1 to {2**63 - 1}."]}),
        ('{"company_id": 1, "notes": 5}', {"notes": ["Not a valid string."]}),
        (
            f'{{"company_id": 1, "notes": "{"x" * 10_001}"}}',
            {"notes": ["Longer than maximum length 10000."]},
        ),
        (
            '{"company_id": 1, "notes": "a\\u0000b"}',
            {"notes": ["Must not contain the character NUL (U+0000)."]},
        ),
        (
            '{"company_id": 1, "notes": "\\udc00"}',
            {"notes": ["Must not contain lone surrogates (U+D800 to U+DFFF)."]},
        ),
        ('{"company_id": 1, "status": "new"}', {"status": ["Unknown field."]}),
        ('{"company_id": 1, "score": 1}', {"score": ["Unknown field."]}),
        ('{"company_id": 1, "user_id": 1}', {"user_id": ["Unknown field."]}),
        ("[]", {"_schema": ["Invalid input type."]}),
        ("null", {"_schema": ["Invalid input type."]}),
        ('"company_id"', {"_schema": ["Invalid input type."]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_fields(alice: Caller, body: str, errors: dict[str, list[str]]) -> None:
    answer = alice.client.post("/v1/leads", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json == {
        "code": 422,
        "status": "Unprocessable Entity",
        "message": "The request is not valid; see errors.",
        "errors": {"json": errors},
    }
    assert alice.client.get("/v1/leads").get_json()["data"] == []
