"""The service for import and export: reading CSV and JSON Lines, validation, storing, export."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from marshmallow import ValidationError, validates_schema

from leads_service import strict_json
from leads_service.exceptions import AccountError
from leads_service.lead import (
    FIELDS,
    IN_FILES,
    MAX_INTEGER,
    Choice,
    Kind,
    Moment,
    Text,
    Whole,
    new_lead,
    timestamp,
)
from leads_service.scoring import Scorer, scoring
from leads_service.storage.base import Storage
from leads_service.validation import StrictSchema, request_field

MAX_CELL = 10_000_000  # characters; far more than the schema allows, whose message is better
REQUIRED = tuple(name for name in IN_FILES if FIELDS[name].required)
OPTIONAL = tuple(name for name in IN_FILES if not FIELDS[name].required)
NUMBERS = tuple(name for name in IN_FILES if isinstance(FIELDS[name].kind, Whole))
MAX_DIGITS = len(str(MAX_INTEGER))
OWNER = "user"  # the column with the owner's name or id, in files with several users' leads
DELIMITERS = (",", ";", "\t")  # spreadsheets write ; in locales with a decimal comma


class Unreadable(NamedTuple):
    """A row that can't be parsed: the problem, and the row's content."""

    problem: str
    content: Any


Row = tuple[int, dict[str, Any] | Unreadable]  # the line in the file, from 1, and its values


def read_csv(
    lines: Iterable[str], *, has_owner: bool = False, ignore_extra: bool = False
) -> Iterator[Row]:
    """Yield the rows of a CSV file as dicts, by the names in its header.

    Names are case-insensitive, and spaces around them are ignored. The delimiter is the one next to
    company_id in the header: a comma, a semicolon or a tab. Empty cells are left out.

    Args:
        lines: The lines of the file, with their line ends.
        has_owner: Whether the column ``user`` is required; otherwise it is unknown.
        ignore_extra: Whether to leave out unknown columns instead of raising an error.

    Yields:
        Each row with the number of its first line.

    Raises:
        ValueError: The header is not valid, or the file is not CSV; the message names the line.
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
            if not any(cells):  # spreadsheets write empty rows below the table
                continue
            if len(cells) == len(names):
                row: dict[str, Any] = {n: c for n, c in zip(names, cells, strict=True) if c and n}
                for name in NUMBERS:
                    digits = row.get(name, "")
                    if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS:
                        row[name] = int(digits)
                yield begin, row
            else:
                problem = f"The first line has {len(names)} cells, this one {len(cells)}."
                yield begin, Unreadable(problem, cells)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def read_jsonl(
    lines: Iterable[str], *, has_owner: bool = False, ignore_extra: bool = False
) -> Iterator[Row]:
    """Yield the rows of a file with a JSON object on each line.

    Args:
        lines: As for ``read_csv``.
        has_owner: As for ``read_csv``.
        ignore_extra: As for ``read_csv``; without it, a row with an unknown name is unreadable.

    Yields:
        Each row with the number of its line.
    """
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
    """Return the delimiter with which a header has the column company_id; a comma by default."""
    for delimiter in DELIMITERS:
        with suppress(csv.Error):  # the quoting is not valid with this delimiter
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
            if REQUIRED[0] in map(_name, cells):
                return delimiter
    return DELIMITERS[0]


def _names(header: Sequence[str], *, has_owner: bool, ignore_extra: bool) -> list[str]:
    """Return the names of the columns; an empty name for a column to leave out.

    Raises:
        ValueError: A required column is missing, or one is given twice or unknown.
    """
    known = _known(has_owner=has_owner)
    names = [_name(cell) for cell in header]
    needed = [*REQUIRED, OWNER] if has_owner else REQUIRED
    if not {*needed} <= {*names}:
        raise ValueError(
            f"the first line must name {listed(needed)}, and may name {listed(OPTIONAL)}"
        )
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
    return {OWNER, *IN_FILES} if has_owner else {*IN_FILES}


def _unknown(names: Sequence[str]) -> str:
    """Return the end of a message about unknown columns, with the remedy."""
    what = "a column" if len(names) == 1 else "columns"
    remedy = f"leave {'it' if len(names) == 1 else 'them'} out with --ignore-extra"
    if OWNER in map(_name, names):
        remedy = f"{remedy}, or let {OWNER} say whose each lead is with import --users-by"
    return f"{what} that no lead has: {', '.join(map(repr, names))}; {remedy}"


class _ImportSchema(StrictSchema):
    """Base schema of a lead in a file, which has a status and times besides what the API takes."""

    @validates_schema
    def times_are_in_order(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check that ``updated_at`` is not before ``created_at``.

        Raises:
            ValidationError: It is.
        """
        if data.get("updated_at", "~") < data.get("created_at", ""):
            raise ValidationError("Must not be before created_at.", "updated_at")


LeadImportSchema = _ImportSchema.from_dict(
    {name: request_field(FIELDS[name], "", required=FIELDS[name].required) for name in IN_FILES},
    name="LeadImportSchema",
)
SCHEMA = LeadImportSchema()


def _is_stored_form(text: Any) -> bool:
    try:
        return bool(timestamp(datetime.fromisoformat(text)) == text)
    except (TypeError, ValueError):
        return False


def _plain_check(kind: Kind) -> Callable[[Any], bool]:
    """Return a fast check of a value.

    It accepts only values that the schema accepts and does not convert; it may reject others.
    """
    match kind:
        case Whole(low, high):
            least, most = (
                -MAX_INTEGER if low is None else low,
                MAX_INTEGER if high is None else high,
            )
            return lambda value: type(value) is int and least <= value <= most
        case Text(max_length):
            return lambda value: (
                type(value) is str and len(value) <= max_length and value.isprintable()
            )
        case Choice(options):
            return lambda value: type(value) is str and value in options
        case Moment():
            return _is_stored_form


PLAIN_CHECKS = {name: _plain_check(FIELDS[name].kind) for name in IN_FILES}


def is_plainly_valid(row: Mapping[str, Any]) -> bool:
    """Return whether a row is certainly valid and needs no conversion.

    If not, the schema has to decide, which takes longer: "is_plainly_valid" in
    ``benchmarks/pieces.py``.
    """
    for name in REQUIRED:
        if name not in row:
            return False
    for name, value in row.items():
        check = PLAIN_CHECKS.get(name)
        if check is None or not check(value):
            return False
    return bool(row.get("created_at", "") <= row.get("updated_at", "~"))


OnInvalid = Callable[[int, dict[str, Any], Any], None]  # line, errors by field, row

# Returns the owner's id of a row, and the row without the column ``user``; raises ValidationError
# if the owner is missing or unknown.
Owner = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


def owned_by(user_id: int) -> Owner:
    """Return an ``Owner`` for a file whose leads all belong to one user."""
    return lambda row: (user_id, row)


def owned_by_column(find: Callable[[str], int]) -> Owner:
    """Return an ``Owner`` for a file with a column ``user``.

    Args:
        find: Returns the user's id for a text in the column; raises AccountError if there is none.
    """

    def owner(row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        fields = dict(row)
        named = fields.pop(OWNER, None)
        if named is None:
            raise ValidationError({OWNER: ["Missing: whose lead is it?"]})
        try:
            return find(str(named)), fields
        except AccountError as error:
            raise ValidationError({OWNER: [str(error)]}) from error

    return owner


def import_leads(
    storage: Storage,
    scorer: Scorer,
    owner: Owner,
    rows: Iterable[Row],
    now: datetime,
    on_invalid: OnInvalid,
    confirm: Callable[[Iterable[int]], None],
) -> int:
    """Store the valid rows as leads, all or none, and return how many.

    Args:
        storage: The storage.
        scorer: Scores the leads.
        owner: Finds the owner of each row.
        rows: The rows of a file.
        now: The ``created_at`` of rows without one.
        on_invalid: Called with each invalid row; raises to cancel the import.
        confirm: Called with the owners' ids before anything is stored; raises to cancel the import.

    Raises:
        ConfigError: The scorer can't be called with facts about a lead.
        ScorerError: The scorer failed.
        StorageUnavailableError: The database can't be used; nothing is stored.
        CommitOutcomeUnknownError: It is not known whether the leads are durable.
    """
    leads = _leads(scoring(scorer), owner, rows, timestamp(now), on_invalid)
    return storage.insert_leads(leads, confirm)


def _leads(
    score: Callable[[Mapping[str, Any]], int],
    owner: Owner,
    rows: Iterable[Row],
    now: str,
    on_invalid: OnInvalid,
) -> Iterator[dict[str, Any]]:
    for line, row in rows:
        if isinstance(row, Unreadable):
            on_invalid(line, {"_schema": [row.problem]}, row.content)
            continue
        try:
            user_id, fields = owner(row)
            values = fields if is_plainly_valid(fields) else SCHEMA.load(fields)
        except ValidationError as error:
            on_invalid(line, error.messages_dict, row)
            continue
        created_at = values.get("created_at", now)
        updated_at = values.get("updated_at", created_at)
        if updated_at < created_at:  # created_at is missing, and updated_at is in the past
            on_invalid(line, {"created_at": ["Needed with updated_at."]}, row)
            continue
        lead = {
            **new_lead(values),
            "user_id": user_id,
            "created_at": created_at,
            "updated_at": updated_at,
        }
        lead["score"] = score(lead)
        yield lead


def export(
    storage: Storage, filters: Mapping[str, Any], *, user_id: int | None = None, by_name: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield a snapshot of the leads that pass all filters, by owner and oldest first.

    Args:
        storage: The storage.
        filters: The values of some of ``lead.FILTERS`` by name.
        user_id: Whose leads; None for everybody's.
        by_name: Whether to yield the owner's name rather than id.

    Yields:
        For each lead a tuple: the owner, and the fields in the order of ``lead.IN_FILES``.
    """
    for owner_id, name, *values in storage.export_leads(IN_FILES, filters, user_id=user_id):
        yield (name if by_name else owner_id, *values)


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
