"""
Heartbeats, by which loops show their progress.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

#: The default for the longest expected time between two beats of a loop, in seconds.
BEAT_SECONDS = 30.0

_current = threading.local()


class Heartbeat:
    """
    The heartbeat of one loop.

    Attributes:
        name: The name of the loop in messages and metrics.
        seconds: The longest expected time between two beats.
    """

    def __init__(
        self, name: str, seconds: float = BEAT_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._clock = clock
        self._last: float | None = None
        self._failing_since: float | None = None
        self._thread: int | None = None

    def beat(self) -> None:
        """
        Record progress in the calling thread. The first beat starts the supervision.
        """
        self._last = self._clock()
        self._thread = threading.get_ident()

    def fail(self) -> None:
        """
        Record a beat, and a failure that lasts until :meth:`succeed`.
        """
        self.beat()
        if self._failing_since is None:
            self._failing_since = self._clock()

    def succeed(self) -> None:
        """
        Record a beat, and the end of a failure.
        """
        self.beat()
        self._failing_since = None

    def end(self) -> None:
        """
        End the supervision: until the next beat, no beat is expected.
        """
        self._last = self._failing_since = None

    def silence(self) -> float | None:
        """
        Return the seconds since the last beat, or None while no beat is expected.
        """
        last = self._last
        return None if last is None else max(0.0, self._clock() - last)

    def is_stalled(self) -> bool:
        """
        Return whether two beats are missing, or failures have lasted for as long.
        """
        since = self._failing_since
        failing = 0.0 if since is None else self._clock() - since
        return max(failing, self.silence() or 0.0) > 2 * self.seconds

    def stack(self) -> list[str]:
        """
        Return the calls that the thread of the last beat is executing, the outermost first.

        The list is empty if the thread has ended.
        """
        frame = sys._current_frames().get(self._thread or 0)
        steps = traceback.extract_stack(frame) if frame else []
        return [f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in steps]


class Heartbeats:
    """
    The heartbeats of a worker.
    """

    def __init__(self) -> None:
        self._all: dict[str, Heartbeat] = {}

    def add(self, *heartbeats: Heartbeat) -> None:
        """
        Add *heartbeats*; a later one replaces an earlier one of the same name.
        """
        self._all = {**self._all, **{each.name: each for each in heartbeats}}

    def expected(self) -> Iterator[tuple[Heartbeat, float]]:
        """
        Yield each heartbeat that is expected, with the seconds since its last beat.
        """
        for each in self._all.values():
            if (silence := each.silence()) is not None:
                yield each, silence

    def stalled(self) -> list[Heartbeat]:
        """
        Return the heartbeats of the stalled loops.
        """
        return [each for each in self._all.values() if each.is_stalled()]


def beat() -> None:
    """
    Record progress of the loop that is running in this thread; do nothing in a thread without a loop.
    """
    if heartbeat := getattr(_current, "heartbeat", None):
        heartbeat.beat()


def record_beats_for(heartbeat: Heartbeat | None) -> None:
    """
    Make :func:`beat` in this thread record progress of *heartbeat*; for None, make it do nothing.
    """
    _current.heartbeat = heartbeat
