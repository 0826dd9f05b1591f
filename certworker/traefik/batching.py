"""
Gathers changes to the directory that Traefik watches into bursts.

After each event, Traefik reads every file in the directory again, which takes seconds for 50,000 files. So
under load a change waits until two seconds have passed since the last change. It is then made together with
all other waiting changes of all workers. Without load, a change is made immediately.

Each waiting change is a directory that Traefik does not watch, complete and fsynced. The first worker whose
wait ends makes the changes of all. The time of the last change is the modification time of the watched
directory.
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

#: The pause between two bursts of changes.
PAUSE_SECONDS = 2.0

#: The interval between two checks of whether another worker has made the waiting change, or the load has
#: ended.
POLL_INTERVAL_SECONDS = 0.05

#: The extension of directories with files that are ready to be moved into the watched one.
READY = ".ready"

_MODE = 0o644


class BatchedWriter:
    """
    Writes files into the watched *directory*.

    Args:
        staging: A directory that is not watched, on the same file system, for all workers.
        lock: Held while files are moved.
        is_outdated: Returns whether a content must not replace the file at a path.
        changed: Called after each burst of changes.
    """

    def __init__(
        self,
        directory: Path,
        staging: SharedDirectory,
        lock: WriteLock,
        is_outdated: Callable[[bytes, Path], bool],
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._directory = directory
        self._staging = staging
        self._lock = lock
        self._is_outdated = is_outdated
        self._changed = changed
        # Only one of the waiting threads polls. It makes the changes of all.
        self._leading = threading.Lock()
        #: Used in addition to the time of the directory, because the clock of a file server may differ.
        self._last_change = -PAUSE_SECONDS

    def publish(self, order: str, files: Mapping[str, bytes], slot: JobSlot = NO_SLOT) -> None:
        """
        Write *files*, contents by name, into the directory, and return when they are there.

        A file that is outdated when the change is made is skipped.

        Args:
            order: Of two waiting changes of the same file, the one with the later *order* wins.
            slot: The slot of the calling job, which is released early while the files wait.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        if not self._has_to_wait(slot):
            with self._lock.held():
                # Check again under the lock, when no other worker can write.
                if not self._has_to_wait(slot):
                    self._put(files)
                    return
        ready = self._staging.path / f"{order}-{secrets.token_hex(4)}{READY}"
        with self._staging.writing():
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
        Write *files* into the directory as one burst, together with all waiting changes.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        ready = self._staging.path / f"{secrets.token_hex(8)}{READY}"
        with self._staging.writing():
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
        Remove the waiting changes to the file *name*; the caller holds the lock.
        """
        for ready in self._staging.path.glob(f"*{READY}"):
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
        with self._staging.writing():
            durable.write_all(self._directory, wanted, _MODE, via=self._staging.path)
        self._move_all(None, changed=bool(wanted))

    def _wait_for(self, ready: Path, slot: JobSlot) -> None:
        # After a whole pause, either another worker has made this change, or this thread makes it.
        deadline = time.monotonic() + PAUSE_SECONDS
        while ready.exists():
            if time.monotonic() > deadline + self._lock.timeout_seconds:
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

    def _move_all(self, own: Path | None, *, changed: bool = False) -> None:
        """
        Make all waiting changes, in one burst with a change that was already made if *changed*.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The change *own* failed. Other changes raise no failure
                here.
        """
        moved: list[Path] = []
        fault: CertworkerError | None = None
        found = sorted(self._staging.path.glob(f"*{READY}"))
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
        if changed or moved:
            self._changed()
        if fault:
            raise fault

    def _move(self, ready: Path) -> None:
        """
        Move each file of *ready*. A file that cannot be moved does not stop the others.
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
