"""
One writer at a time, among the threads of a worker and among the workers of all hosts.

A lease in Redis may end while its holder is frozen; the lock on the volume is held by the kernel as long
as the process lives, and given back when it is killed (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certworker import durable
from certworker.errors.machine import VolumeLocked

#: A publication takes milliseconds; who waits longer than this waits for somebody who hangs.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.01


class WriteLock:
    """
    The lock file *path*; readers never need it.
    """

    def __init__(self, path: Path, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.path = path
        self.patience_seconds = patience_seconds
        # The threads of this process queue here, so that only one of them polls the file.
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Hold it alone, for the length of a `with` block.

        Raises:
            VolumeLocked: Somebody else has held it for as long as we wait.
        """
        deadline = time.monotonic() + self.patience_seconds
        if not self._threads.acquire(timeout=self.patience_seconds):
            raise self.still_locked()
        try:
            with self._locked(fcntl.LOCK_EX, deadline):
                yield
        finally:
            self._threads.release()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """
        Hold it together with others that share it; whoever wants it alone waits for all of them.

        Raises:
            VolumeLocked: Somebody has held it alone for as long as we wait.
        """
        with self._locked(fcntl.LOCK_SH, time.monotonic() + self.patience_seconds):
            yield

    def still_locked(self) -> VolumeLocked:
        """
        What to tell after waiting in vain.
        """
        return VolumeLocked(path=self.path, seconds=f"{self.patience_seconds:g}")

    @contextmanager
    def _locked(self, kind: int, deadline: float) -> Iterator[None]:
        durable.make_directory(self.path.parent)
        with durable.told(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not self._taken(descriptor, kind):
                if time.monotonic() > deadline:
                    raise self.still_locked()
                time.sleep(PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _taken(self, descriptor: int, kind: int) -> bool:
        with durable.told(self.path):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
