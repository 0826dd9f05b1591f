"""
Follows the stream, and puts the certificates of other hosts into service on this host.

The position of the last applied entry is on the volume: the target of the link `.certworker/position`. The
link changes only after entries are applied. So if the process is killed, the next one reads them again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeReadOnly
from certworker.errors.replication import BundleTooLarge, ReplicationFailure
from certworker.replication.bundle import ACCOUNT, LARGEST_ENTRY, Fields, RemovedName, decode, opened_entry
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BEGINNING, ENTRIES_PER_READ, BundleStream, Entry, is_position
from certworker.storage import durable, replica
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.replica import Copy, Result
from certworker.supervision import Faults, Loop, beat
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: The pause while the stream has no new entry.
PAUSE_SECONDS = 0.5
#: The pause after a change, because Traefik reads all its files again. A waiting job ends it.
PAUSE_AFTER_CHANGE_SECONDS = 1.0

#: The longest pause while Traefik needs time between its reloads. The step checks again after it.
LONGEST_PAUSE_SECONDS = 5.0

#: The maximum number of certificates that are linked while the lock is held. Jobs wait for this lock.
COPIES_PER_LOCK = 16

#: The outcomes of a bundle that is not rejected.
STORED, REMOVED, OUTDATED = "stored", "removed", "outdated"


@dataclass(frozen=True)
class Volume:
    """
    The volume of this host, on which bundles change the certificates in service.
    """

    store: CertificateStore
    traefik: TraefikConfig
    keys: ReplicationKeys
    #: Called with the outcome of each bundle: one of the constants above, or the code of a failure.
    observe: Callable[[str], object]
    #: Called with the names of each new certificate that is now in service.
    published: Callable[[tuple[str, ...]], object]
    #: Called with each name that another host has removed, after it is no longer in service.
    removed: Callable[[str], object]
    #: The codes of failures that were logged since the last valid bundle.
    logged: set[str] = field(default_factory=set)
    #: The code of the last failure of each skipped name, which the next comparison tries again.
    skipped: dict[str, str] = field(default_factory=dict)
    #: Stores the account in the content of a bundle; None: this host needs no account.
    receive_account: Callable[[bytes, bytes], object] | None = None

    def apply(self, bundles: Iterable[Fields]) -> set[str]:
        """
        Put the certificates in *bundles* into service, remove the removed names, and store the accounts.

        Return the names whose state may have changed. An invalid bundle is logged and changes nothing. A name
        whose files cannot be written is logged and skipped, so that it does not delay the others.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The volume is not writable. The same
                bundles may be applied again.
        """
        copies, results, changed = list[Copy](), list[Result](), set[str]()
        for fields in bundles:
            beat()
            item = self._opened(fields)
            if isinstance(item, Copy):
                copies.append(item)
            if isinstance(item, RemovedName) or len(copies) >= COPIES_PER_LOCK:
                results += self._put_into_service(copies)
                copies.clear()
            if isinstance(item, RemovedName):
                # The entries take effect in their order.
                changed |= self._serve(results)
                with self._skipping(item.name):
                    self._remove(item)
                changed.add(item.name)
        results += self._put_into_service(copies)
        return changed | self._serve(results)

    def reject(self, failure: CertworkerError) -> None:
        """
        Count the *failure* of a bundle. Log each code only once until a bundle is valid.
        """
        self.observe(failure.code)
        if failure.code not in self.logged:
            self.logged.add(failure.code)
            logger.warning("%s", failure, extra={"code": failure.code})

    def _opened(self, fields: Fields) -> Copy | RemovedName | None:
        try:
            kind, content = opened_entry(fields, self.keys)
            if kind == ACCOUNT and self.receive_account:
                self.receive_account(content, fields.get("names", b""))
            item = decode(kind, content, fields)
        except ReplicationFailure as failure:
            self.reject(failure)
            return None
        self.logged.clear()
        return item

    def _put_into_service(self, copies: Sequence[Copy]) -> list[Result]:
        try:
            results = replica.put_into_service(self.store, copies)
        except (VolumeReadOnly, VolumeFault):
            return [result for copy in copies if (result := self._put_each(copy))]
        for result in results:
            for name in result.new:
                self.skipped.pop(name, None)
        return results

    def _put_each(self, copy: Copy) -> Result | None:
        """
        Put *copy* into service for each name separately; return None if no name succeeds.
        """
        results = list[Result]()
        for name in copy.serving:
            with self._skipping(name):
                results += replica.put_into_service(self.store, [copy], only=name)
        linked = {name: directory for each in results for name, directory in each.linked.items()}
        return Result(linked, tuple(name for each in results for name in each.new)) if results else None

    def _repair(self, served: Mapping[str, Path]) -> set[str]:
        """
        Write the files of Traefik for *served*; return the names whose file was written.
        """
        try:
            return set(self.traefik.repair(served)) if served else set()
        except (VolumeReadOnly, VolumeFault):
            written = set[str]()
            for name, directory in served.items():
                with self._skipping(name):
                    written |= set(self.traefik.repair({name: directory}))
            return written

    @contextmanager
    def _skipping(self, name: str) -> Iterator[None]:
        """
        Log and skip a failure of *name* within the block, unless the whole volume fails.
        """
        try:
            yield
        except (VolumeReadOnly, VolumeFault) as failure:
            self.store.check_writable()
            self.traefik.check_writable()
            self.observe(failure.code)
            if self.skipped.get(name) != failure.code:
                self.skipped[name] = failure.code
                text = "%s · certworker continues with the other names, and retries in the next comparison"
                logger.warning(text, failure, extra={"domain": name, "code": failure.code})
        else:
            self.skipped.pop(name, None)

    def _serve(self, results: list[Result]) -> set[str]:
        """
        Write the files of Traefik for *results*, report the new certificates, and clear the list.

        Return the names that are newly linked.
        """
        served = {name: directory for result in results for name, directory in result.linked.items()}
        written = self._repair(served)
        for result in results:
            self.observe(STORED if result.new else OUTDATED)
            # A later copy may have replaced this one. After a crash, only the file of Traefik may be missing.
            if (result.linked and result.new) or not written.isdisjoint(result.linked):
                names = tuple(result.linked)
                fields = {"domain": names[0], "event": "replicated"}
                logger.info("in service: received from another host", extra=fields)
                self.published(names)
        new = {name for result in results for name in result.new}
        results.clear()
        return new

    def _remove(self, removed: RemovedName) -> None:
        if removed.token < replica.token_in_service(self.store, removed.name):
            self.observe(OUTDATED)
            return
        self.traefik.remove(removed.name)
        is_new = replica.remove(self.store, removed.name, removed.token)
        if is_new:
            # A repair that read the volume earlier may have written the file in the meantime.
            self.traefik.remove(removed.name)
            logger.info(
                "taken out of service by another host", extra={"domain": removed.name, "event": "replicated"}
            )
        later = self.store.links.generation(removed.name)
        if later:
            # A job has linked a later certificate in the meantime, whose file may have been removed above.
            self.traefik.repair({removed.name: later})
        else:
            self.removed(removed.name)
        self.observe(REMOVED if is_new and not later else OUTDATED)


class Follower:
    """
    A thread that follows the stream.

    Args:
        on_gap: Called when entries may be missing, so that a comparison has to find what they contained.
        faults: Logs the failures of Redis and of the volume.

    Attributes:
        loop: The loop and its heartbeat.
        has_followed: Whether this volume had a position at the start.
        position: The position of the last entry that this host has applied.
        on_progress: Called after the position has changed.
    """

    def __init__(
        self, stream: BundleStream, volume: Volume, on_gap: Callable[[], object], faults: Faults
    ) -> None:
        self._stream = stream
        self._volume = volume
        self._on_gap = on_gap
        self.on_progress: Callable[[], object] = lambda: None
        self._link = volume.store.directory / ".certworker" / "position"
        self.has_followed = os.path.lexists(self._link)
        self.position = self._stored_position()
        self._is_hurried = False
        self.loop = Loop("replication", self.step, faults=faults)

    def step(self) -> float:
        """
        Put the next entries into service; return the seconds until the next step.

        With many certificates, the entries wait until Traefik has enough time between its reloads.
        """
        hurried, self._is_hurried = self._is_hurried, False
        if not hurried and (pause := self._volume.traefik.pause_left()):
            return min(pause, LONGEST_PAUSE_SECONDS)
        reading = self._stream.read(self.position)
        if reading.has_gap:
            self._on_gap()
        self._volume.apply(self._bundles(reading.entries))
        end = reading.entries[-1].position if reading.entries else reading.last
        if end != self.position:
            self._store_position(end)
            self.on_progress()
        if len(reading.entries) >= ENTRIES_PER_READ:
            # The rest belongs to the same burst.
            self._is_hurried = True
            return 0.0
        return PAUSE_AFTER_CHANGE_SECONDS if reading.entries else PAUSE_SECONDS

    def hurry(self) -> None:
        """
        Make the loop put the next entries into service immediately, because a job waits for them.
        """
        self._is_hurried = True
        self.loop.wake()

    def _bundles(self, entries: Sequence[Entry]) -> Iterable[Fields]:
        for entry in entries:
            if entry.fields:
                yield entry.fields
            else:
                self._volume.reject(BundleTooLarge(size=entry.size, limit=LARGEST_ENTRY))

    def _stored_position(self) -> str:
        with durable.translate_os_errors(self._link):
            try:
                text = os.readlink(self._link)  # noqa: PTH115 (the target is not a path)
            except FileNotFoundError:
                return BEGINNING
        return text if is_position(text) else BEGINNING

    def _store_position(self, position: str) -> None:
        durable.make_directory(self._link.parent)
        durable.link(self._link, position)
        self.position = position
