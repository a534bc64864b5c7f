"""Idempotency keys: a retried create returns the lead that the first attempt created."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from leads_service.exceptions import KeyReusedError
from leads_service.lead import timestamp
from leads_service.storage.base import Storage

LIFETIME = timedelta(hours=24)


def claim(
    storage: Storage, user_id: int, key: str, body: Mapping[str, Any], now: datetime
) -> tuple[int, bool]:
    """Store a user's key for a lead to insert, unless it has created one within its lifetime.

    Args:
        storage: The storage of the keys, within a write transaction.
        user_id: The id of the user who sends the key.
        key: The key.
        body: The request's body, as loaded by its schema.
        now: The current time in UTC.

    Returns:
        The id of the lead, and whether it is still to be inserted.

    Raises:
        KeyReusedError: The key created a lead from another body.
    """
    digest = _digest(body)
    since = timestamp(now - LIFETIME)
    while True:
        lead_id = storage.claim_key(user_id, key, digest, timestamp(now), since)
        if lead_id is not None:
            return lead_id, True
        # None if the user's keys were deleted between the two statements.
        if (record := storage.key(user_id, key, since)) is not None:
            if record.digest != digest:
                raise KeyReusedError(key)
            return record.lead_id, False


def _digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a body, independent of the order of its fields.

    Fields that are None are left out, so that adding an optional field to leads does not change the
    digests of requests without it.
    """
    said = {name: value for name, value in body.items() if value is not None}
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
