"""
The configuration that a worker was last started with.
"""

from __future__ import annotations

from typing import Any

from redis import Redis

from certworker.redis.codec import decode_text

CONFIGURATION = "certworker:configuration"


def has_changed(connection: Redis, fingerprint: str) -> bool:
    """
    Store *fingerprint* of the settings, and return whether another one was stored before.

    A Redis that was emptied does not know: then nothing has changed.
    """
    before: Any = connection.set(CONFIGURATION, fingerprint, get=True)
    return before is not None and decode_text(before) != fingerprint
