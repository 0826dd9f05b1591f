"""
Directories in which several workers write at the same time, on one host or on twenty.

A writer holds a lock file together with all other writers. The kernel holds that lock as long as the process
lives, and frees it when the process is killed (flock(2)); a lease in Redis may end while its holder is
frozen. What a crash left behind is removed only by a worker that holds the lock alone, and only after a
while: so an older version without the lock, and a file system whose locks do not reach the other host, lose
nothing.

Every directory that a worker cleans is a :class:`SharedDirectory`: nothing else removes what others write.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from certworker.errors.fs import VolumeLocked
from certworker.storage import durable

logger = logging.getLogger(__name__)

#: A publication takes milliseconds; after this time the other writer hangs.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.01

#: Nothing that is younger is taken for left behind. A file is written within milliseconds.
LEAST_AGE_SECONDS = 60.0

#: A directory is cleaned again in the next round: it is not worth a longer wait for its writers.
PATIENCE_TO_CLEAN_SECONDS = 5.0

#: The names of temporary files; every other file with their ending is another program's.
_TEMPORARY = re.compile(r"[0-9a-f]{16}(\.probe)?" + re.escape(durable.TEMPORARY))


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
    def held(self, patience_seconds: float | None = None) -> Iterator[None]:
        """
        Hold it alone, for the length of a `with` block.

        Args:
            patience_seconds: How long to wait for other holders; by default as long as everybody.

        Raises:
            VolumeLocked: Another holder has had it for that long.
        """
        patience = self.patience_seconds if patience_seconds is None else patience_seconds
        deadline = time.monotonic() + patience
        if not self._threads.acquire(timeout=patience):
            raise self.still_locked(patience)
        try:
            with self._locked(fcntl.LOCK_EX, deadline, patience):
                yield
        finally:
            self._threads.release()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """
        Hold it together with others that share it; a worker that wants it alone waits for all of them.

        Raises:
            VolumeLocked: Another worker has held it alone for the whole patience.
        """
        patience = self.patience_seconds
        with self._locked(fcntl.LOCK_SH, time.monotonic() + patience, patience):
            yield

    def still_locked(self, patience_seconds: float | None = None) -> VolumeLocked:
        """
        Return the failure after waiting in vain.
        """
        waited = self.patience_seconds if patience_seconds is None else patience_seconds
        return VolumeLocked(path=self.path, seconds=f"{waited:g}")

    @contextmanager
    def _locked(self, kind: int, deadline: float, patience: float) -> Iterator[None]:
        descriptor = self.open()
        try:
            while not self._taken(descriptor, kind):
                if time.monotonic() > deadline:
                    raise self.still_locked(patience)
                time.sleep(PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def open(self) -> int:
        """
        Return a descriptor of the lock file, which is made if it is missing.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with durable.translate_os_errors(self.path):
            try:
                return os.open(self.path, flags, 0o644)
            except FileNotFoundError:
                durable.make_directory(self.path.parent)
                return os.open(self.path, flags, 0o644)

    def _taken(self, descriptor: int, kind: int) -> bool:
        with durable.translate_os_errors(self.path):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


def temporary(paths: Sequence[Path]) -> list[Path]:
    """
    Return those of *paths* whose names are those of files that :mod:`certworker.storage.durable` is writing.
    """
    return [path for path in paths if _TEMPORARY.fullmatch(path.name)]


class SharedDirectory:
    """
    The directory *path*, in which several workers write, and from which they remove what a crash left behind.

    Args:
        lock: The lock file of its writers; it may be elsewhere on the same file system.
        least_age_seconds: What is younger is never removed.
    """

    def __init__(
        self,
        path: Path,
        lock: Path,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.path = path
        self._lock = WriteLock(lock, patience_seconds)
        self._least_age_seconds = least_age_seconds

    @contextmanager
    def writing(self) -> Iterator[None]:
        """
        Write in the directory, for the length of a `with` block, beside other writers.

        Until the block ends no worker removes anything from it.

        Raises:
            VolumeLocked: Another worker has been cleaning the directory for the whole patience.
        """
        with self._lock.shared():
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """
        Have the directory without any writer, for the length of a `with` block; it should be short.

        Raises:
            VolumeLocked: A writer was at work all the time. It is no failure: the next round cleans.
        """
        with self._lock.held(min(PATIENCE_TO_CLEAN_SECONDS, self._lock.patience_seconds)):
            yield

    def remove_leftovers(self, which: Callable[[Sequence[Path]], Sequence[Path]] = temporary) -> int:
        """
        Remove what a crash left behind, unless a writer is at work: then the next round does.

        Args:
            which: Choose from all paths in the directory those that a crash left behind, if they are old
                enough. It is called again under the lock, since a writer may have come between.

        Returns:
            How many were removed.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read, or something cannot be removed.
        """
        if not self._leftovers(which):
            return 0
        try:
            with self.alone():
                found = self._leftovers(which)
                for path in found:
                    durable.remove(path)
                return len(found)
        except VolumeLocked as busy:
            logger.debug("%s is cleaned in the next round: %s", self.path, busy.message)
            return 0

    def _leftovers(self, which: Callable[[Sequence[Path]], Sequence[Path]]) -> list[Path]:
        with durable.translate_os_errors(self.path):
            try:
                with os.scandir(self.path) as entries:
                    paths = [Path(entry.path) for entry in entries]
            except FileNotFoundError:
                return []
            candidates = which([path for path in paths if path != self._lock.path]) if paths else ()
            if not candidates:
                return []
            now = self._now()
            return [path for path in candidates if self._is_old(path, now)]

    def _is_old(self, path: Path, now: float) -> bool:
        try:
            written = path.lstat().st_mtime
        except FileNotFoundError:
            return False
        # A clock that was put back is no reason to leave something for ever.
        return abs(now - written) >= self._least_age_seconds

    def _now(self) -> float:
        # The clock of a file server may differ from the clock of this host: the file system is asked.
        descriptor = self._lock.open()
        try:
            os.utime(descriptor)
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
