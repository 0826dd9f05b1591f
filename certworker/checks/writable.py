"""
Whether a certificate could be stored once it is there; a CA is not asked for one that could not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

#: So long a good answer counts for all jobs.
GOOD_FOR = timedelta(minutes=1)


class Writable:
    """
    A check before an order; the names do not matter to it.

    Args:
        probes: Each raises why one directory cannot be written.
        clock: The time; for how long an answer is good.
    """

    def __init__(self, probes: Sequence[Callable[[], None]], clock: Callable[[], datetime]) -> None:
        self._probes = probes
        self._clock = clock
        self._good_until: datetime | None = None
        self._asking = Lock()

    def __call__(self, names: tuple[str, ...]) -> None:  # noqa: ARG002 (all checks get them)
        """
        Make sure that all directories can be written.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: One cannot.
        """
        with self._asking:
            now = self._clock()
            if self._good_until is None or not now < self._good_until <= now + GOOD_FOR:
                for probe in self._probes:
                    probe()
                self._good_until = now + GOOD_FOR
