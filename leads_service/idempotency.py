"""Idempotency keys: a create that is sent again finds the lead that it made."""

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
    """Return the id of the lead that a key created within its lifetime, None if there is none.

    Args:
        storage: Where the keys are; in a transaction that may write.
        user_id: Whose key it is.
        key: The key.
        body: What the lead is to be made of.
        now: The time.

    Raises:
        KeyReusedError: It created a lead of another body.

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
    """Remember the lead that a key has created; arguments as of ``created_with``."""
    record = KeyRecord(_digest(body), lead_id)
    storage.keep_key(user_id, key, record, timestamp(now), since=timestamp(now - LIFETIME))


def _digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a body says, whatever the order of its fields.

    A field that says nothing does not count: a release that adds one keeps the digests.
    """
    said = {name: value for name, value in body.items() if value is not None}
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
