"""Files of leads: reading their rows, and telling at a glance which ones are valid."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from leads_service import strict_json
from leads_service.models import MAX_INTEGER, MAX_NOTES, STATUSES, timestamp

MAX_CELL = 10_000_000  # characters; the schema says of fewer that they are too many
COLUMNS = ("company_id", "status", "notes", "created_at", "updated_at")
OWNER = "user"  # the column that says whose lead it is, in files of more than one user
DELIMITERS = (",", ";", "\t")  # spreadsheets write the second where the comma is a decimal one


class Unreadable(NamedTuple):
    """A part of a file that is no row: what is wrong with it, and what stands there."""

    problem: str
    content: Any


Row = tuple[int, dict[str, Any] | Unreadable]  # with the line's number in its file, from 1

_statuses = frozenset(STATUSES)


def read_csv(
    lines: Iterable[str], *, has_owner: bool = False, ignore_extra: bool = False
) -> Iterator[Row]:
    """Yield the rows of a CSV file by the names in its header; raises ValueError for a bad header.

    The names may be in any case, with spaces around them. What separates the cells is what stands
    beside company_id in the header: a comma, a semicolon or a tab. An empty cell is a value that is
    not given. ``has_owner`` is whether there has to be the column user; columns that are not known
    are left out with ``ignore_extra``, and an error otherwise.
    """
    csv.field_size_limit(MAX_CELL)
    lines = iter(lines)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=_delimiter(first), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"line 1: {error}") from error
    names = _names(header, has_owner=has_owner, ignore_extra=ignore_extra)
    line = reader.line_num
    try:
        for cells in reader:
            line, begin = reader.line_num, line + 1
            if not any(cells):  # spreadsheets write such lines below the table
                continue
            if len(cells) == len(names):
                row: dict[str, Any] = {n: c for n, c in zip(names, cells, strict=True) if c and n}
                digits = row.get("company_id", "")
                if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_INTEGER)):
                    row["company_id"] = int(digits)
                yield begin, row
            else:
                problem = f"The first line has {len(names)} cells, this one {len(cells)}."
                yield begin, Unreadable(problem, cells)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def read_jsonl(
    lines: Iterable[str], *, has_owner: bool = False, ignore_extra: bool = False
) -> Iterator[Row]:
    """Yield the rows of a file with a JSON object on each line; the options are those of CSV."""
    known = _known(has_owner=has_owner)
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = strict_json.loads(line)
            except ValueError:
                yield number, Unreadable("Not valid JSON.", line)
                continue
            if not isinstance(row, dict):
                yield number, Unreadable("Not a JSON object.", row)
            elif row.keys() <= known:
                yield number, row
            elif ignore_extra:
                yield number, {name: row[name] for name in row.keys() & known}
            else:
                extra = [name for name in row if name not in known]
                yield number, Unreadable(f"It names {_unknown(extra)}.", row)


def _delimiter(line: str) -> str:
    """Return what separates company_id from its neighbours; a comma if it has none."""
    for delimiter in DELIMITERS:
        with suppress(csv.Error):  # quotes that are none with this one
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
            if "company_id" in map(_name, cells):
                return delimiter
    return DELIMITERS[0]


def _names(header: Sequence[str], *, has_owner: bool, ignore_extra: bool) -> list[str]:
    """Return the columns' names, empty for those that are left out; raises ValueError."""
    known = _known(has_owner=has_owner)
    names = [_name(cell) for cell in header]
    needed = ["company_id", OWNER] if has_owner else ["company_id"]
    if not {*needed} <= {*names}:
        others = f"{', '.join(COLUMNS[1:-1])} and {COLUMNS[-1]}"
        raise ValueError(f"the first line must name {' and '.join(needed)}, and may name {others}")
    for name in known:
        if names.count(name) > 1:
            raise ValueError(f"the first line names {name} twice")
    extra = [cell for cell, name in zip(header, names, strict=True) if name not in known]
    if extra and not ignore_extra:
        raise ValueError(f"the first line names {_unknown(extra)}")
    return [name if name in known else "" for name in names]


def _name(cell: str) -> str:
    return cell.strip().lower()


def _known(*, has_owner: bool) -> set[str]:
    return {OWNER, *COLUMNS} if has_owner else {*COLUMNS}


def _unknown(names: Sequence[str]) -> str:
    """Return the rest of a sentence about columns that are not known, with the remedy."""
    what = "a column" if len(names) == 1 else "columns"
    remedy = f"leave {'it' if len(names) == 1 else 'them'} out with --ignore-extra"
    if OWNER in map(_name, names):
        remedy = f"{remedy}, or let {OWNER} say whose each lead is with import --users-by"
    return f"{what} that no lead has: {', '.join(map(repr, names))}; {remedy}"


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
