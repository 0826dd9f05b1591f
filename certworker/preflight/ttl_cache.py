"""
What was found a moment ago, so that it is not asked for again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from threading import Lock
from typing import Generic, TypeVar

#: More than that are not kept; the oldest go first.
MAX_ENTRIES = 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """
    Values by key, each for its own time; for all threads.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[Key, tuple[Value, float]] = {}
        #: When what ends; the number keeps keys from being compared.
        self._ends: list[tuple[float, int, Key]] = []
        self._numbers = count()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """
        Return the value of *key*; None if there is none, or none any longer.
        """
        with self._lock:
            self._forget_the_old()
            value, _ = self._values.get(key, (None, 0.0))
            return value

    def put(self, key: Key, value: Value, seconds: float) -> None:
        """
        Store *value* for so many *seconds*.
        """
        with self._lock:
            self._forget_the_old()
            self._values.pop(key, None)
            if len(self._values) >= MAX_ENTRIES:
                del self._values[next(iter(self._values))]
            until = self._clock() + seconds
            self._values[key] = value, until
            heappush(self._ends, (until, next(self._numbers), key))

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def _forget_the_old(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            until, _, key = heappop(self._ends)
            if self._values.get(key, (None, math.inf))[1] == until:
                del self._values[key]
