"""Safe retries: what a create with a key has made, remembered for a day."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
from peewee import SqliteDatabase

from leads_service.models import Idempotency, timestamp
from leads_service.statements import Statement, parameter

LIFETIME = timedelta(hours=24)
SWEEP = 100  # keys of the past that a create removes at most


class KeyReusedError(ValueError):
    """The user has sent the key with another body, not a day ago."""


class Keys:
    """The keys in one database."""

    def __init__(self, database: SqliteDatabase):
        mine = (Idempotency.user_id == parameter("user_id")) & (Idempotency.key == parameter("key"))
        past = Idempotency.created_at <= parameter("horizon")
        oldest = Idempotency.select(Idempotency.id).where(past).order_by(Idempotency.created_at)
        names = ("user_id", "key", "digest", "lead_id", "created_at")
        self._find = Statement(
            database,
            Idempotency.select(Idempotency.digest, Idempotency.lead_id).where(
                mine & (Idempotency.created_at > parameter("horizon"))
            ),
        )
        self._sweep = Statement(
            database,
            Idempotency.delete().where(mine | Idempotency.id.in_(oldest.limit(parameter("limit")))),
        )
        self._keep = Statement(
            database, Idempotency.insert({name: parameter(name) for name in names})
        )

    def find(self, user_id: int, key: str, body: Mapping[str, Any], now: datetime) -> int | None:
        """Return the id of the lead that the key made; None if it is new or over a day old.

        Raises KeyReusedError if it made one from another body.
        """
        horizon = timestamp(now - LIFETIME)
        rows = self._find.rows({"user_id": user_id, "key": key, "horizon": horizon})
        if not rows:
            return None
        ((digest, lead_id),) = rows
        if digest != _digest(body):
            raise KeyReusedError(key)
        return int(lead_id)

    def keep(
        self, user_id: int, key: str, body: Mapping[str, Any], lead_id: int, now: datetime
    ) -> None:
        """Remember what the key has made, and forget some of the keys whose day is over."""
        ids = {"user_id": user_id, "key": key}
        self._sweep.rows(ids | {"horizon": timestamp(now - LIFETIME), "limit": SWEEP})
        made = {"digest": _digest(body), "lead_id": lead_id, "created_at": timestamp(now)}
        self._keep.rows(ids | made)


def _digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a body says, whatever its spaces and the order of its fields."""
    return sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
