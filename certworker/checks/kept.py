"""
What was found a moment ago, so that it is not asked for again.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Generic, TypeVar

#: More than that are not kept; the oldest go first.
MOST = 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """
    Values by key, each for its own time; for all threads.
    """

    def __init__(self) -> None:
        self._values: dict[Key, tuple[Value, float]] = {}
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """
        The value of *key*; None if there is none, or none any longer.
        """
        with self._lock:
            value, until = self._values.get(key, (None, 0.0))
            return value if time.monotonic() < until else None

    def put(self, key: Key, value: Value, seconds: float) -> None:
        """
        Keep *value* for so many *seconds*.
        """
        with self._lock:
            self._values.pop(key, None)
            if len(self._values) >= MOST:
                del self._values[next(iter(self._values))]
            self._values[key] = value, time.monotonic() + seconds
