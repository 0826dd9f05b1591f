"""
Changes of the directory that Traefik watches, gathered into bursts.

After each event there Traefik reads every file again, and with 50,000 of them that takes seconds. So under
load a change waits until two seconds have passed since the last one, and then goes with all the others that
wait, of all workers. While nothing else is under way, or after a pause, a change is made at once.

What waits stands in a directory of its own beside the watched one, complete and fsynced: whoever is the first
whose time has come makes the changes of all. The time of the last change is that of the directory itself.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.storage import durable
from certworker.storage.shared_directory import SharedDirectory, WriteLock

#: Between two bursts of changes.
PAUSE_SECONDS = 2.0

#: Who waits looks so often whether somebody else was quicker, or nobody else is left.
POLL_INTERVAL_SECONDS = 0.05

#: Directories with what is ready to be moved into the watched one.
READY = ".ready"

_MODE = 0o644


class BatchedWriter:
    """
    Puts files into the watched *directory*.

    Args:
        workshop: A directory beside them that is not watched, on the same file system, for all workers.
        lock: Held while files are moved.
        is_outdated: Whether the content of a file must not replace the one that is there.
    """

    def __init__(
        self,
        directory: Path,
        workshop: SharedDirectory,
        lock: WriteLock,
        is_outdated: Callable[[bytes, Path], bool],
    ) -> None:
        self._directory = directory
        self._workshop = workshop
        self._lock = lock
        self._is_outdated = is_outdated
        # Of the threads that wait one looks at the time, and acts for all.
        self._leading = threading.Lock()
        #: Beside the time of the directory, because the clock of a file server may be another one.
        self._last_change = -PAUSE_SECONDS

    def publish(self, order: str, files: Mapping[str, bytes], slot: JobSlot = NO_SLOT) -> None:
        """
        Put *files*, contents by name, into the directory; each that is outdated by then is left out.

        It returns when they are there. A job that has to wait for that gives its slot back.

        Args:
            order: Of two that have the same file, the one with the later *order* wins.
            slot: Of the job that calls; it is released while the files wait.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        if not self._has_to_wait(slot):
            with self._lock.held():
                # Again, since only here nobody else can come between.
                if not self._has_to_wait(slot):
                    self._put(files)
                    return
        ready = self._workshop.path / f"{order}-{secrets.token_hex(4)}{READY}"
        with self._workshop.writing():
            durable.write_directory(ready, {name: (content, _MODE) for name, content in files.items()})
        slot.release_early()
        try:
            self._wait_for(ready, slot)
        except BaseException:
            with suppress(CertworkerError):
                durable.remove(ready)
            raise

    def publish_at_once(self, files: Mapping[str, bytes]) -> None:
        """
        Put *files* into the directory as one burst, however many they are, with all others that wait.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        ready = self._workshop.path / f"{secrets.token_hex(8)}{READY}"
        with self._workshop.writing():
            durable.write_directory(ready, {name: (content, _MODE) for name, content in files.items()})
        try:
            with self._lock.held():
                self._move_all(ready)
        except BaseException:
            with suppress(CertworkerError):
                durable.remove(ready)
            raise

    def withdraw(self, name: str) -> None:
        """
        Forget what is ready for the file *name*; the lock is held.
        """
        for ready in self._workshop.path.glob(f"*{READY}"):
            durable.remove(ready / name)

    def _has_to_wait(self, slot: JobSlot) -> bool:
        return self._pause_left() > 0 and slot.has_contention()

    def _pause_left(self) -> float:
        with durable.translate_os_errors(self._directory):
            try:
                changed = self._directory.stat().st_mtime
            except FileNotFoundError:
                return 0
        since = min(time.time() - changed, time.monotonic() - self._last_change)
        return min(PAUSE_SECONDS - since, PAUSE_SECONDS)

    def _put(self, files: Mapping[str, bytes]) -> None:
        wanted = {
            name: content
            for name, content in files.items()
            if not self._is_outdated(content, self._directory / name)
        }
        with self._workshop.writing():
            durable.write_all(self._directory, wanted, _MODE, via=self._workshop.path)
        self._move_all(None)

    def _wait_for(self, ready: Path, slot: JobSlot) -> None:
        # After a whole pause either somebody has made our change, or nobody has made any.
        deadline = time.monotonic() + PAUSE_SECONDS
        while ready.exists():
            if time.monotonic() > deadline + self._lock.patience_seconds:
                raise self._lock.still_locked()
            if self._leading.acquire(timeout=5 * POLL_INTERVAL_SECONDS):
                try:
                    self._flush_as_leader(ready, deadline, slot)
                finally:
                    self._leading.release()

    def _flush_as_leader(self, ready: Path, deadline: float, slot: JobSlot) -> None:
        while ready.exists():
            if time.monotonic() < deadline and self._has_to_wait(slot):
                time.sleep(POLL_INTERVAL_SECONDS)
                continue
            with self._lock.held():
                if time.monotonic() >= deadline or not self._has_to_wait(slot):
                    self._move_all(ready)

    def _move_all(self, own: Path | None) -> None:
        """
        Make the changes of all that wait. What fails is told to its owner, not to others.
        """
        moved: list[Path] = []
        fault: CertworkerError | None = None
        found = sorted(self._workshop.path.glob(f"*{READY}"))
        for ready in found:
            try:
                with durable.translate_os_errors(ready):
                    self._move(ready)
                moved.append(ready)
            except CertworkerError as failure:
                fault = failure if ready == own else fault
        if found:
            durable.sync_directory(self._directory)
        for ready in moved:
            durable.remove(ready)
        self._last_change = time.monotonic()
        if fault:
            raise fault

    def _move(self, ready: Path) -> None:
        """
        Move each file of *ready*; one that cannot be moved does not stop the others.
        """
        fault: CertworkerError | None = None
        for file in sorted(ready.iterdir()):
            target = self._directory / file.name
            try:
                with durable.translate_os_errors(file):
                    content = file.read_bytes()
                if not self._is_outdated(content, target):
                    durable.move(file, target)
            except CertworkerError as failure:
                fault = failure
        if fault:
            raise fault
