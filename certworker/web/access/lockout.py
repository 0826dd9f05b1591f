"""
The lockout of addresses that send wrong tokens.

No guess finds a token of 256 random bits, but the file with the tokens may also have the hash of a password.
So the lockout slows guesses down, and the log reports each lockout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from certworker.web.access.clients import network_of

logger = logging.getLogger(__name__)

#: The number of wrong tokens that starts the first lockout. A user may paste the wrong text a few times.
FREE_FAILURES = 5
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 3600.0
#: Failures are forgotten after this time without another failure.
MEMORY_SECONDS = 2 * LONGEST_SECONDS

MAX_ADDRESSES = 10_000


@dataclass
class _Record:
    failures: int
    last: float
    until: float


class Lockout:
    """
    Counts the wrong tokens from each address, and locks an address out for a growing time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: Returns monotonic seconds.
        """
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_left(self, address: str) -> float:
        """
        Return the seconds until *address* may send a token again; 0 if it may.
        """
        with self._lock:
            record = self._records.get(network_of(address))
            return max(0.0, record.until - self._clock()) if record else 0.0

    def record_failure(self, address: str) -> None:
        """
        Count a wrong token from *address*. After several, lock the address out.
        """
        with self._lock:
            now, key = self._clock(), network_of(address)
            record = self._records.pop(key, None)
            if record is None or now - record.last > MEMORY_SECONDS:
                record = _Record(0, now, now)
            record.failures += 1
            record.last = now
            surplus = record.failures - FREE_FAILURES
            if surplus >= 0:
                pause = min(FIRST_SECONDS * 2 ** min(surplus, 20), LONGEST_SECONDS)
                record.until = now + pause
                logger.warning(
                    "wrong tokens: %d; %s is locked out for %.0f s",
                    record.failures,
                    key,
                    pause,
                    extra={"event": "audit", "fields": {"address": address}},
                )
            self._records[key] = record
            while len(self._records) > MAX_ADDRESSES:
                self._records.popitem(last=False)

    def record_success(self, address: str) -> None:
        """
        Forget the wrong tokens from *address*.
        """
        with self._lock:
            self._records.pop(network_of(address), None)
