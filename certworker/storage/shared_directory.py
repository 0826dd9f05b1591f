"""
Directories in which several workers write at the same time, on one host or on several.

All writers share a lock file. The kernel releases the lock when the process ends (flock(2)), whereas a lease
in Redis could end while its holder is frozen. The leftovers of a crash are removed only under the exclusive
lock, and only after a minimum age. So no file is lost even on a file system without locks between hosts.

Every directory that a worker cleans is a :class:`SharedDirectory`: no other code removes temporary files of
other workers.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeLocked, VolumeReadOnly
from certworker.storage import durable
from certworker.storage.remembered_listing import RememberedListing, listed

logger = logging.getLogger(__name__)

Member = TypeVar("Member")

#: How long to wait for other writers. A writer needs milliseconds; after this time, it counts as hung.
LOCK_TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 0.01

#: The minimum age of a leftover. A file is written within milliseconds.
LEAST_AGE_SECONDS = 60.0

#: How long cleaning waits for writers. After that, the next pass cleans.
CLEANING_TIMEOUT_SECONDS = 5.0

#: The names of temporary files; other files with the same extension belong to other programs.
_TEMPORARY = re.compile(r"[0-9a-f]{16}(\.probe)?" + re.escape(durable.TEMPORARY))


class WriteLock:
    """
    The lock file *path*, which readers never need.

    Methods raise VolumeReadOnly, VolumeFull or VolumeFault if the file cannot be made, opened or locked.

    Args:
        timeout_seconds: How long to wait for other holders.
    """

    def __init__(self, path: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = path
        self.timeout_seconds = timeout_seconds
        # The threads of this process wait here, so that only one of them polls the file.
        self._threads = threading.Lock()

    @contextmanager
    def held(self, timeout_seconds: float | None = None) -> Iterator[None]:
        """
        Hold the exclusive lock within a `with` block.

        Args:
            timeout_seconds: How long to wait for other holders. The default is the timeout of the lock.

        Raises:
            VolumeLocked: Another thread or process held the lock for that long.
        """
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + timeout
        if not self._threads.acquire(timeout=timeout):
            raise self.still_locked(timeout)
        try:
            with self._locked(fcntl.LOCK_EX, deadline, timeout):
                yield
        finally:
            self._threads.release()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """
        Hold the shared lock within a `with` block; the exclusive lock waits until no holder is left.

        Raises:
            VolumeLocked: Another thread or process held the exclusive lock for too long.
        """
        timeout = self.timeout_seconds
        with self._locked(fcntl.LOCK_SH, time.monotonic() + timeout, timeout):
            yield

    def still_locked(self, timeout_seconds: float | None = None) -> VolumeLocked:
        """
        Return the failure for a timeout, by default for that of the lock.
        """
        waited = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        return VolumeLocked(path=self.path, seconds=f"{waited:g}")

    @contextmanager
    def _locked(self, kind: int, deadline: float, timeout: float) -> Iterator[None]:
        descriptor = self.open()
        try:
            while not self._taken(descriptor, kind):
                if time.monotonic() > deadline:
                    raise self.still_locked(timeout)
                time.sleep(PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def open(self) -> int:
        """
        Return a descriptor of the lock file, which the caller closes. Make the file if it is missing.
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
    Return those of *paths* that are temporary files of :mod:`certworker.storage.durable`.
    """
    return [path for path in paths if _TEMPORARY.fullmatch(path.name)]


class SharedDirectory:
    """
    The directory *path*, in which several workers write, and which they clean after a crash.

    Methods raise VolumeReadOnly, VolumeFull or VolumeFault if the lock file cannot be made, opened or locked.

    Args:
        lock: The lock file of its writers; it may be in another directory of the same file system.
        timeout_seconds: How long to wait for other writers.
        least_age_seconds: The minimum age of the files that are removed.
    """

    def __init__(
        self,
        path: Path,
        lock: Path,
        *,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.path = path
        self._lock = WriteLock(lock, timeout_seconds)
        self._least_age_seconds = least_age_seconds
        self._temporary_names = RememberedListing(
            path, lambda: [name for name in listed(self.path) if name.endswith(durable.TEMPORARY)]
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """
        Hold the lock for writing within a `with` block, together with other writers.

        Until the block ends, no worker removes leftovers from the directory.

        Raises:
            VolumeLocked: Another thread or process was cleaning the directory for too long.
        """
        with self._lock.shared():
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """
        Hold the lock exclusively, without any writer, within a short `with` block.

        Raises:
            VolumeLocked: A writer held the lock until the timeout. The next pass cleans.
        """
        with self._lock.held(min(CLEANING_TIMEOUT_SECONDS, self._lock.timeout_seconds)):
            yield

    def remove_leftovers(self, which: Callable[[Sequence[Path]], Sequence[Path]] = temporary) -> int:
        """
        Remove the leftovers of a crash. If a writer holds the lock, the next pass removes them.

        Args:
            which: Returns the leftovers among the paths in the directory, regardless of their age. It is
                called again under the lock, because a writer may have changed the directory.

        Returns:
            The number of removed paths.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read, or a leftover cannot be removed.
        """
        if not self._leftovers(which):
            return 0
        try:
            with self.alone():
                found = self._leftovers(which)
                for_each(found, durable.remove)
                return len(found)
        except VolumeLocked as busy:
            logger.debug("could not clean %s, so the next pass cleans it: %s", self.path, busy.message)
            return 0

    def _leftovers(self, which: Callable[[Sequence[Path]], Sequence[Path]]) -> list[Path]:
        with durable.translate_os_errors(self.path):
            # A volume may have 100,000 directories, and making a Path takes longer than listing its name.
            names = self._temporary_names.current() if which is temporary else listed(self.path)
            paths = [self.path / name for name in names]
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
        # A file from the future counts as old, too: the clock may have been set back.
        return abs(now - written) >= self._least_age_seconds

    def _now(self) -> float:
        # The clock of a file server may differ from the clock of this host, so the server's time is used.
        descriptor = self._lock.open()
        try:
            os.utime(descriptor)
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)


def for_each(members: Iterable[Member], step: Callable[[Member], object]) -> None:
    """
    Call *step* with each of *members*, even after VolumeReadOnly or VolumeFault for one of them.

    Any other exception ends the loop.

    Raises:
        VolumeReadOnly, VolumeFault: The first failure, after the last member.
    """
    first: CertworkerError | None = None
    for member in members:
        try:
            step(member)
        except (VolumeReadOnly, VolumeFault) as failure:
            first = first or failure
    if first:
        raise first
