"""A strict JSON parser: RFC 8259 without Python's extensions, safe for untrusted input."""

import json
from typing import Any, NoReturn

MAX_INTEGER_DIGITS = 20  # one more than 2^63 - 1 has; longer ones are out of range anyway


def loads(text: str) -> Any:
    """Parse a JSON text.

    Integers of more than ``MAX_INTEGER_DIGITS`` digits become floats, which every field rejects:
    int() raises an error of its own for more than 4300 digits.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply.
    """
    try:
        return DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _parse_int(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(parse_int=_parse_int, parse_constant=_refuse_constant)
