"""JSON as RFC 8259 has it, read so that no input can break the reader."""

import json
from typing import Any, NoReturn

MAX_INTEGER_DIGITS = 20  # one more than 2^63 - 1 has; longer ones can only be out of range


def loads(text: str) -> Any:
    """Return what the JSON text says; raises ValueError for one that is none, or nested too deep.

    An integer that no field takes becomes a float: int() refuses those of 4,300 digits.
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
