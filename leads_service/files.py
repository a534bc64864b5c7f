"""Files of leads: reading their rows, and telling at a glance which ones are valid."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from leads_service import strict_json
from leads_service.models import MAX_INTEGER, MAX_NOTES, STATUSES, timestamp

MAX_CELL = 10_000_000  # characters; the schema says of fewer that they are too many
COLUMNS = ("company_id", "status", "notes", "created_at", "updated_at")

Row = tuple[int, Any]  # a line's number in its file, from 1, and what stands there

_statuses = frozenset(STATUSES)


def read_csv(lines: Iterable[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file by the names in its header; raises ValueError for a bad header.

    An empty cell is a value that is not given.
    """
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"line 1: {error}") from error
    if "company_id" not in header or len(set(header)) < len(header) or set(header) - {*COLUMNS}:
        raise ValueError(f"the first line must name company_id, and may name {COLUMNS[1:]}")
    line = reader.line_num
    try:
        for cells in reader:
            line, begin = reader.line_num, line + 1
            if len(cells) == len(header):
                row: dict[str, Any] = {n: c for n, c in zip(header, cells, strict=True) if c}
                digits = row.get("company_id", "")
                if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_INTEGER)):
                    row["company_id"] = int(digits)
                yield begin, row
            elif cells:
                yield begin, cells
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def read_jsonl(lines: Iterable[str]) -> Iterator[Row]:
    """Yield the rows of a file with a JSON object on each line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, strict_json.loads(line)
            except ValueError:
                yield number, line


def is_plainly_valid(row: Any) -> bool:
    """Say if a row is valid and stored as it is, without the schema, which takes ten times as long.

    False only means that the schema has to look.
    """
    if not isinstance(row, dict) or not row.keys() <= {*COLUMNS}:
        return False
    company_id = row.get("company_id")
    status = row.get("status", STATUSES[0])
    notes = row.get("notes", "")
    created_at: Any = row.get("created_at")
    updated_at: Any = row.get("updated_at", created_at)
    return (
        type(company_id) is int
        and 1 <= company_id <= MAX_INTEGER
        and isinstance(status, str)
        and status in _statuses
        and isinstance(notes, str)
        and len(notes) <= MAX_NOTES
        and notes.isprintable()
        and ("created_at" not in row or _is_stored_form(created_at))
        and (
            "updated_at" not in row
            or updated_at == created_at
            or ("created_at" in row and _is_stored_form(updated_at) and created_at < updated_at)
        )
    )


def _is_stored_form(text: Any) -> bool:
    try:
        return bool(timestamp(datetime.fromisoformat(text)) == text)
    except (TypeError, ValueError):
        return False
