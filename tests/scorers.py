"""Scorers for the tests, good and bad."""


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
