"""
Gathers changes to the directory that Traefik watches into bursts.

After each event, Traefik reads every file in the directory again, which takes seconds for thousands of files.
So under load, the change of a job waits until two seconds have passed since the last change. It is then made
together with all other waiting changes of all workers. Without load, a change is made immediately.

With many certificates, the change of each job waits for the pause of
:mod:`certworker.traefik.reload_interval`. After a quiet time, a change is made immediately. The changes of
commands and loops do not wait.

Each waiting change is a directory that Traefik does not watch, complete and fsynced. The first worker whose
wait ends makes all waiting changes. The time of the last change is the modification time of the watched
directory.
"""

from __future__ import annotations

import math
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
from certworker.traefik.layout import Layout, Purpose
from certworker.traefik.reload_interval import LEAST_SECONDS, ReloadInterval
from certworker.traefik.shards import EXTENSION, FILE_MODE

#: The interval between two checks of whether another worker has made the waiting change, or the load has
#: ended.
POLL_INTERVAL_SECONDS = 0.05
#: The interval of these checks during a long pause.
LONG_POLL_SECONDS = 1.0

#: The extension of directories with files that are ready to be moved into the watched directory.
READY = ".ready"
#: The extension of these files. Traefik watches no subdirectory, but reads all of them, and one file that a
#: power cut has damaged would stop it from reading any. It reads no file with this extension.
STAGED = ".new"


class BatchedWriter:
    """
    Writes files into the watched *directory*.

    Args:
        staging: A directory that is not watched, on the same file system, for all workers.
        lock: Held while files are written or moved.
        layout: Where the files of names are.
        interval: The pause between two changes.
        changed: Called after each burst of changes.
    """

    def __init__(
        self,
        directory: Path,
        staging: SharedDirectory,
        lock: WriteLock,
        layout: Layout,
        interval: ReloadInterval,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._directory = directory
        self._staging = staging
        self._lock = lock
        self._layout = layout
        self._interval = interval
        self._changed = changed
        #: Returns whether waiting changes are made immediately, because the worker is stopping.
        self.is_stopping: Callable[[], bool] = lambda: False
        # Only one of the waiting threads polls, and makes the changes of all of them.
        self._leading = threading.Lock()
        #: When this object last changed the directory, in monotonic seconds. It is used in addition to the
        #: time of the directory, because the clock of a file server may differ.
        self._last_change = -math.inf

    def publish(self, order: str, files: Mapping[str, bytes], slot: JobSlot = NO_SLOT) -> None:
        """
        Write *files*, contents by name, into the directory, and return when they are in it.

        A file that is outdated when the change is made is skipped.

        Args:
            order: Of two waiting changes to the same file, the one with the higher *order* wins.
            slot: The slot of the calling job, which is released early while the files wait.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        if not self._has_to_wait(slot):
            with self._lock.held():
                # Check again under the lock, when no other worker can write.
                if not self._has_to_wait(slot):
                    self._change(None, files)
                    return
        ready = self._staging.path / f"{order}-{secrets.token_hex(4)}{READY}"
        self._stage(ready, files)
        slot.release_early()
        try:
            self._wait_for(ready, slot)
        except BaseException:
            with suppress(CertworkerError):
                durable.remove(ready)
            raise

    def publish_at_once(self, files: Mapping[str, bytes], purpose: Purpose = "change") -> None:
        """
        Write *files* into the directory as one burst, together with all waiting changes.

        Args:
            purpose: Why they are written.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
        """
        if purpose != "scatter" and self._layout.is_sharded(files.keys()):
            # Few files are written, so they need no preparation before the lock.
            with self._lock.held():
                self._change(None, files, purpose)
            return
        ready = self._staging.path / f"{secrets.token_hex(8)}{READY}"
        self._stage(ready, files)
        try:
            with self._lock.held():
                self._change(ready, purpose=purpose)
        except BaseException:
            with suppress(CertworkerError):
                durable.remove(ready)
            raise

    def withdraw(self, name: str) -> None:
        """
        Remove the waiting changes to the file *name*; the caller holds the lock.
        """
        for ready in self._staging.path.glob(f"*{READY}"):
            durable.remove(ready / _staged(name))

    def _has_to_wait(self, slot: JobSlot) -> bool:
        """
        Return whether a change of the job in *slot* has to wait.
        """
        if slot is NO_SLOT or self.is_stopping() or self.pause_left() <= 0:
            return False
        return self._interval.seconds() > LEAST_SECONDS or slot.has_contention()

    def pause_left(self) -> float:
        """
        Return the seconds until the next change may be made; 0 or less: now.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        with durable.translate_os_errors(self._directory):
            try:
                changed = self._directory.stat().st_mtime
            except FileNotFoundError:
                return 0
        since = min(time.time() - changed, time.monotonic() - self._last_change)
        pause = self._interval.seconds()
        return min(pause - since, pause)

    def _stage(self, ready: Path, files: Mapping[str, bytes]) -> None:
        with self._staging.writing():
            staged = {_staged(name): (content, FILE_MODE) for name, content in files.items()}
            durable.write_directory(ready, staged)

    def _wait_for(self, ready: Path, slot: JobSlot) -> None:
        # After a whole pause, either another worker has made this change, or this thread makes it.
        deadline = time.monotonic() + self._interval.seconds()
        while ready.exists():
            if time.monotonic() > deadline + self._lock.timeout_seconds:
                raise self._lock.still_locked()
            if self._leading.acquire(timeout=5 * self._poll_seconds()):
                try:
                    self._flush_as_leader(ready, deadline, slot)
                finally:
                    self._leading.release()

    def _flush_as_leader(self, ready: Path, deadline: float, slot: JobSlot) -> None:
        while ready.exists():
            if time.monotonic() < deadline and self._has_to_wait(slot):
                time.sleep(self._poll_seconds())
                continue
            with self._lock.held():
                # In the meantime, another worker may have made this change, or may have removed a file, after
                # which the next pause has begun.
                if ready.exists() and (time.monotonic() >= deadline or not self._has_to_wait(slot)):
                    self._change(ready)

    def _poll_seconds(self) -> float:
        return POLL_INTERVAL_SECONDS if self._interval.seconds() <= LEAST_SECONDS else LONG_POLL_SECONDS

    def _change(
        self, own: Path | None, files: Mapping[str, bytes] | None = None, purpose: Purpose = "change"
    ) -> None:
        """
        Write *files*, and make all waiting changes.

        Args:
            own: The waiting change of the caller; None: it has none.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The change *own*, or one of *files*, failed. The failures
                of other changes are not raised here.
        """
        burst = _Burst(self._layout)
        found = sorted(self._staging.path.glob(f"*{READY}"))
        failures = {ready: failure for ready in found if (failure := burst.add_ready(ready))}
        burst.add(files or {})
        with self._staging.writing():
            failed = self._layout.put(burst.contents, burst.staged, purpose)
        for file_name, failure in failed.items():
            failures.update(dict.fromkeys(burst.sources.get(file_name, ()), failure))
        with durable.syncing_together():
            for ready in found:
                if ready not in failures:
                    durable.remove(ready)
        self._last_change = time.monotonic()
        if burst.contents:
            self._changed()
        own_failures = (
            [failures[own]] if own in failures else [failed[each] for each in files or {} if each in failed]
        )
        if own_failures:
            raise own_failures[0]


class _Burst:
    """
    The changes that are made together. Of two changes to one file, the later certificate counts.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.contents = dict[str, bytes]()
        #: The staged file that already has the content, by file name.
        self.staged = dict[str, Path]()
        #: The waiting changes that contain the file, by file name.
        self.sources = dict[str, list[Path]]()

    def add_ready(self, ready: Path) -> CertworkerError | None:
        """
        Add the waiting change *ready*. Return the failure if it cannot be read, else None.
        """
        try:
            with durable.translate_os_errors(ready):
                found = sorted(file for file in ready.iterdir() if file.suffix == STAGED)
                staged = {f"{file.stem}{EXTENSION}": file for file in found}
                contents = {name: file.read_bytes() for name, file in staged.items()}
            for name in self.add(contents):
                self.staged[name] = staged[name]
        except CertworkerError as failure:
            return failure
        for name in staged:
            self.sources.setdefault(name, []).append(ready)
        return None

    def add(self, contents: Mapping[str, bytes]) -> list[str]:
        """
        Add those of *contents*, by file name, that are not outdated; return their file names.
        """
        added = []
        for name, present in list(self._layout.read_many(contents)):
            known, content = self.contents.get(name, present), contents[name]
            if content == known or not self._layout.is_outdated(content, known):
                self.contents[name] = content
                self.staged.pop(name, None)
                added.append(name)
        return added


def _staged(file_name: str) -> str:
    return file_name.removesuffix(EXTENSION) + STAGED
