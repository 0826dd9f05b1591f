"""
Counts the round trips to Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis


@contextmanager
def counted() -> Iterator[list[bytes]]:
    """
    Yield a list to which each write of this process to a Redis server is added, of all its threads.

    A pipeline, a transaction and a script are one write each.
    """
    kind: Any = redis.connection.AbstractConnection
    send, written = kind.send_packed_command, list[bytes]()

    def counting(self: object, command: bytes | list[bytes], *arguments: Any, **options: Any) -> Any:
        written.append(b"".join([command] if isinstance(command, bytes) else command))
        return send(self, command, *arguments, **options)

    kind.send_packed_command = counting
    try:
        yield written
    finally:
        kind.send_packed_command = send
