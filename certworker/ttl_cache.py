"""
A thread-safe cache with a separate lifetime for each value.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from threading import Lock
from typing import Generic, TypeVar

#: The maximum number of values. A full cache drops its oldest value.
MAX_ENTRIES = 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """
    A cache of values by key, each for a limited time; thread-safe.

    Args:
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[Key, tuple[Value, float]] = {}
        #: The expiry of each value. The sequence number ensures that the heap never compares keys.
        self._expiries: list[tuple[float, int, Key]] = []
        self._numbers = count()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """
        Return the value of *key*, or None if it is missing or expired.
        """
        with self._lock:
            self._drop_expired()
            value, _ = self._values.get(key, (None, 0.0))
            return value

    def put(self, key: Key, value: Value, seconds: float) -> None:
        """
        Store *value* for *seconds*.
        """
        with self._lock:
            self._drop_expired()
            self._values.pop(key, None)
            if len(self._values) >= MAX_ENTRIES:
                del self._values[next(iter(self._values))]
            until = self._clock() + seconds
            self._values[key] = value, until
            heappush(self._expiries, (until, next(self._numbers), key))

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            until, _, key = heappop(self._expiries)
            if self._values.get(key, (None, math.inf))[1] == until:
                del self._values[key]
