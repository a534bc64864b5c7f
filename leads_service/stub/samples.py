"""Generated leads that look like real ones, and the users who own them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from leads_service import transfer
from leads_service.exceptions import StorageUnavailableError
from leads_service.lead import FUNNEL, STATUSES, timestamp
from leads_service.state import AppState
from leads_service.transfer import OnInvalid, Row, owned_by

Sample = tuple[int, dict[str, Any]]  # a ``Row`` that can be read

USERS = ("alice", "bob")
TOKENS = {"alice": "alice-token", "bob": "bob-token", "alice-read-only": "alice-read-only"}
WEIGHTS = {"new": 35, "contacted": 25, "qualified": 18, "converted": 12, "lost": 10}
# The statuses that a generated lead has had after the first one.
PATHS = {status: FUNNEL[1 : number + 1] for number, status in enumerate(FUNNEL)}
PATHS["lost"] = ("contacted", "lost")
MOVED = 1000  # a user's newest leads whose status changes are recorded: each takes 0.1 ms
COMPANIES = 60
NOTES = (
    "",
    "",
    "Met at the trade fair in Lyon, wants a demo in May.",
    "Budget approved for next quarter; procurement needs three offers.",
    "Asked for references from the same industry.",
    "Called twice, no answer. Try again after the holidays.",
    'Says "too expensive": offer the annual plan.',
    "Wants SSO & an SLA of 99.9 %.\nDecision: end of the month.",
    "Rückruf am Dienstag, Frau Müller-Lüdenscheidt ist zuständig.",
    "À rappeler après le salon : intéressé par l'offre annuelle.",
    "Pidió una demostración para el equipo de Málaga. ¿Descuento?",
    "来週の火曜日に見積もりを送る。担当は田中さん。",
    "对方希望先试用三十天。",
    "다음 주에 데모 예정, 예산 확인 필요.",
    "Просят прислать договор на русском языке.",
    "מעוניינים בהדגמה בשבוע הבא",
    "مهتمون بالباقة السنوية، يرجى الاتصال يوم الأحد",
    "Renewal likely 🎉, upsell the analytics module 📈",
)


def fill(
    state: AppState, shares: Iterable[Iterable[Row]], now: datetime, on_invalid: OnInvalid
) -> None:
    """Add the users with their tokens, and import their leads.

    Args:
        state: The application's state.
        shares: For each of ``USERS``, the rows of the user's leads.
        now: When a lead is created whose row does not say.
        on_invalid: Called with each invalid row; may raise.
    """
    for name, rows in zip(USERS, shares, strict=True):
        owner = owned_by(state.accounts.add_user(name))
        confirm = state.leads.confirm_users
        transfer.import_leads(state.storage, state.scorer, owner, rows, now, on_invalid, confirm)
    for name, token in TOKENS.items():
        user = name.removesuffix("-read-only")
        state.accounts.create_token(user, read_only=name != user, token=token)


def has_tokens(state: AppState) -> bool:
    """Return whether a database is a stub's: only those have the well-known tokens."""
    try:
        return state.accounts.has_token(TOKENS["alice"])
    except StorageUnavailableError:  # the table does not exist
        return False


def samples(count: int, random: Random, now: datetime) -> tuple[list[Sample], list[Sample]]:
    """Return generated rows for an import: three quarters for alice, the rest for bob.

    Args:
        count: How many in total.
        random: The random generator.
        now: The end of the year in which they were created.

    Returns:
        The rows of each, oldest first.
    """
    rows = list(_rows(count, random, now))
    share = count - count // 4
    return _oldest_first(rows[:share]), _oldest_first(rows[share:])


def _oldest_first(rows: list[Sample]) -> list[Sample]:
    return sorted(rows, key=lambda row: row[1]["created_at"])


def as_created(rows: list[Sample]) -> list[Sample]:
    """Return the rows with the newest ``MOVED`` leads as they were when they were created."""
    then = [
        (line, row | {"status": STATUSES[0], "updated_at": row["created_at"]})
        for line, row in rows[-MOVED:]
    ]
    return rows[:-MOVED] + then


def move(
    state: AppState, shares: Iterable[list[Sample]], set_clock: Callable[[datetime], None]
) -> None:
    """Give the leads that were stored by ``as_created`` their statuses, one after the other.

    Args:
        state: The application's state, whose leads are all from these rows.
        shares: For each of ``USERS``, the rows of ``samples``.
        set_clock: Called with the time of each change.
    """
    changes = []
    for name, rows in zip(USERS, shares, strict=True):
        user_id = state.user_id(name)
        ids = [lead_id for _, _, lead_id in state.storage.export_leads(["id"], {}, user_id=user_id)]
        for lead_id, (_, row) in zip(ids[-MOVED:], rows[-MOVED:], strict=True):
            changes += [(when, status, user_id, lead_id) for when, status in _changes(row)]
    for when, status, user_id, lead_id in sorted(changes):
        set_clock(when)
        state.leads.update(user_id, lead_id, {"status": status})


def _changes(row: dict[str, Any]) -> Iterator[tuple[datetime, str]]:
    """Yield when a lead got which status; the last one when it was changed."""
    created, changed = (datetime.fromisoformat(row[name]) for name in ("created_at", "updated_at"))
    path = PATHS[row["status"]]
    for number, status in enumerate(path, 1):
        yield created + (changed - created) * number / len(path), status


def _rows(count: int, random: Random, now: datetime) -> Iterator[Sample]:
    companies = [random.randrange(1000, 10_000) for _ in range(COMPANIES)]
    for line in range(count):
        created = now - timedelta(seconds=random.randrange(60, 365 * 86_400))
        (status,) = random.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))
        age = int((now - created).total_seconds())
        changed = created if status == "new" else created + timedelta(seconds=random.randrange(age))
        yield (
            line + 1,
            {
                "company_id": random.choice(companies),
                "status": status,
                "notes": random.choice(NOTES),
                "created_at": timestamp(created),
                "updated_at": timestamp(changed),
            },
        )
