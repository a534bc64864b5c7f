"""Idempotency keys: a retried create returns the lead that the first attempt created."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from leads_service.exceptions import KeyReusedError
from leads_service.lead import timestamp
from leads_service.storage.base import KeyRecord, Storage

LIFETIME = timedelta(hours=24)


def created_with(
    storage: Storage, user_id: int, key: str, body: Mapping[str, Any], now: datetime
) -> int | None:
    """Return the id of the lead that a key created within its lifetime; None if it created none.

    Args:
        storage: The storage of the keys, within a write transaction.
        user_id: The id of the user who sends the key.
        key: The key.
        body: The request's body, as loaded by its schema.
        now: The current time in UTC.

    Raises:
        KeyReusedError: The key created a lead from another body.
    """
    record = storage.key(user_id, key, since=timestamp(now - LIFETIME))
    if record is None:
        return None
    if record.digest != _digest(body):
        raise KeyReusedError(key)
    return record.lead_id


def remember(
    storage: Storage, user_id: int, key: str, body: Mapping[str, Any], lead_id: int, now: datetime
) -> None:
    """Store the id of the lead that a key has created; arguments as for ``created_with``."""
    record = KeyRecord(_digest(body), lead_id)
    storage.keep_key(user_id, key, record, timestamp(now), since=timestamp(now - LIFETIME))


def _digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a body, independent of the order of its fields.

    Fields that are None are left out, so that adding an optional field to leads does not change the
    digests of requests without it.
    """
    said = {name: value for name, value in body.items() if value is not None}
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
