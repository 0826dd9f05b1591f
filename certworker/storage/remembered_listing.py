"""
Remembers the entries of a directory until it changes.

A directory of the volume can have 100,000 entries, and a worker needs their number every few seconds. Listing
them takes 50 milliseconds of processor time, and checking whether the directory has changed takes two
microseconds.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from certworker.storage import durable

Found = TypeVar("Found")

#: A directory is listed again until it has been unchanged for this time. A file system records times in steps
#: of up to two seconds, so two changes may have the same time.
SETTLED_SECONDS = 3.0

#: After this time, a directory is listed again: some network file systems do not record each change.
LONGEST_SECONDS = 3600.0


class RememberedListing(Generic[Found]):
    """
    The result of *read*, which lists *directory*.

    Args:
        directory: The directory, which need not exist.
        read: Lists the directory, and returns the result.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, directory: Path, read: Callable[[], Found], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._read = read
        self._clock = clock
        #: The times of the directory, when they were first read, the result (None: it is not remembered), and
        #: when the result expires.
        self._known: tuple[object, float, Found | None, float] = (None, 0.0, None, -math.inf)

    def current(self) -> Found:
        """
        Return the result of *read*, or its last result if the directory has not changed since.
        """
        now, times = self._clock(), self._times()
        known, since, found, until = self._known
        if times is None or times != known:
            since = now
        elif found is not None and now < until:
            return found
        # The times are read before the entries, so a change between the two is found the next time.
        result, is_settled = self._read(), times is not None and now - since >= SETTLED_SECONDS
        self._known = (times, since, result if is_settled else None, now + LONGEST_SECONDS)
        return result

    def _times(self) -> object:
        try:
            found = os.stat(self._directory)  # noqa: PTH116 (with a Path it takes longer)
        except OSError:
            return None
        # A restored backup may have the old time of modification.
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def listed(directory: Path) -> list[str]:
    """
    Return the names of the entries of *directory*; none if it is missing.
    """
    with durable.translate_os_errors(directory):
        try:
            return os.listdir(directory)  # noqa: PTH208 (with Paths it takes ten times as long)
        except FileNotFoundError:
            return []
