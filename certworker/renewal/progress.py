"""
The log lines of long work over many names: how much is done, the rate, the time left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from certworker.renewal.policy import in_words

logger = logging.getLogger(__name__)

#: Between two lines. Work that ends earlier has none.
EVERY = timedelta(seconds=10)


class Progress:
    """
    Logs the progress of the comparison of the volume with the agenda.

    Args:
        total: How many names there are.
        clock: The time in UTC.
    """

    def __init__(self, total: int, clock: Callable[[], datetime]) -> None:
        self._total = total
        self._clock = clock
        self._began = self._logged = clock()
        self._done = 0
        #: Certificates of other programs that were adopted.
        self.adopted = 0

    def add(self, done: int, *, adopted: int) -> None:
        """
        Count *done* more names, of which *adopted* belonged to other programs; log at most every ten seconds.
        """
        self._done += done
        self.adopted += adopted
        now = self._clock()
        if now - self._logged < EVERY:
            return
        self._logged = now
        spent = now - self._began
        left = spent / self._done * max(0, self._total - self._done)
        logger.info(
            "comparing the volume with the agenda: %d of %d names done, %d adopted, %.0f/s, %s left",
            self._done,
            self._total,
            self.adopted,
            self._done / spent.total_seconds(),
            in_words(left),
            extra={"event": "progress"},
        )
