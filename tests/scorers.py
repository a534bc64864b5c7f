"""Scorers for the tests, good and bad."""

from typing import Any

NO_FUNCTION = 100


def by_notes(*, user_id: int, company_id: int, status: str, notes: str) -> int:
    return min(100, len(notes))


def raises(**lead: object) -> int:
    raise RuntimeError("secret internals")


def raises_in_lines(**lead: object) -> int:
    raise ValueError("no \x1b[31m\nsecond \r line\nthird line")


def text(**lead: object) -> str:
    return "50"


def too_much(**lead: object) -> int:
    return 101


def a_bool(**lead: object) -> bool:
    return True


def raises_at_secrets(*, notes: str, **lead: object) -> int:
    if "fail" in notes:
        raise RuntimeError("this lead can't be scored")
    return 50


def by_company(*, company_id: int, **_: Any) -> int:
    return company_id % 101


def in_three_lines(*, company_id: int, **_: Any) -> int:
    if company_id == 3:
        raise ValueError("no\nthird\ncompany")
    return 7


def too_high(**_: Any) -> int:
    return 101


def a_float(**_: Any) -> float:
    return 7.0


def of_a_colour(*, colour: str) -> int:
    return len(colour)
