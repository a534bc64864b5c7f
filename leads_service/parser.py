"""Reading requests strictly: what webargs would let pass or guess is an error here."""

import json
from typing import Any, NoReturn

from flask import Request
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser, abort
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import RequestEntityTooLarge

MAX_BODY = 256 * 1024  # bytes; the longest notes take 120,000, every character escaped
MAX_INTEGER_DIGITS = 20  # one more than 2^63 - 1 has; longer ones can only be out of range


class StrictParser(FlaskParser):
    """Takes JSON of one media type, in UTF-8, as RFC 8259 has it, and each query parameter once."""

    def _raw_load_json(self, req: Request) -> Any:
        if req.mimetype != "application/json":
            abort(415, message="Send the body as Content-Type: application/json.")
        req.max_content_length = MAX_BODY
        try:
            return json.loads(
                req.get_data().decode(), parse_int=_parse_int, parse_constant=_refuse_constant
            )
        except RequestEntityTooLarge:
            abort(413, message=f"The body is larger than {MAX_BODY // 1024} KiB.")
        except (ValueError, RecursionError):
            abort(400, message="The body is not valid JSON in UTF-8.")

    def load_querystring(self, req: Request, schema: Schema) -> MultiDictProxy:
        """Return the query's parameters; raises ValidationError for one that is given twice."""
        for name, values in req.args.lists():
            if len(values) > 1:
                raise ValidationError({name: ["Must not be given more than once."]})
        return super().load_querystring(req, schema)  # type: ignore[no-any-return]


def _parse_int(digits: str) -> float:
    """Return the number; one that no field takes as a float, for int() refuses 4,300 digits."""
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
