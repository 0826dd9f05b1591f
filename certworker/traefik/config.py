"""
The files of Traefik's file provider: one YAML file per name, which an atomic rename replaces.

The file of `*.example.com` is `_.example.com.yml`. With many names, one file may have the certificates of
many names (see :mod:`certworker.traefik.layout`).

Traefik watches the directory, and reads every file in it after each event. So no temporary file appears
there, and a file that is up to date is not written. Traefik does not watch the PEM files, so the files name
generations, whose content never changes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from certworker.domains import is_address
from certworker.errors import CertworkerError
from certworker.errors.fs import Fenced
from certworker.errors.proxy import ManyCertificates, ProxyYamlBroken
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.storage import durable
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import CertificateMetadata, token_of
from certworker.storage.shared_directory import (
    LEAST_AGE_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    SharedDirectory,
    WriteLock,
)
from certworker.traefik.batching import BatchedWriter
from certworker.traefik.file_format import (
    Damage,
    configuration,
    damage_of,
    file_name_of,
    generations_in,
    is_outdated,
    missing_in,
    pair_in,
    reason_to_fail,
)
from certworker.traefik.layout import Layout, LayoutChoice
from certworker.traefik.load import ProxyLoad
from certworker.traefik.reload_interval import (
    LEAST_SECONDS,
    MANY_CERTIFICATES,
    ReloadInterval,
    Size,
    reload_seconds,
)
from certworker.traefik.shards import content_of

logger = logging.getLogger(__name__)

#: The extensions that the provider loads.
_LOADED = (".yml", ".yaml", ".toml")


class TraefikConfig:
    """
    The proxy's configuration in *config_dir*.

    Its files contain paths as this process sees them: Traefik has to find the certificates at the same paths.
    Methods raise VolumeReadOnly or VolumeFault if the directory cannot be read.

    Args:
        layout: Where new certificates go: to files of their own, or to shards.
        timeout_seconds: How long to wait for other writers.
        least_age_seconds: The minimum age at which the leftovers of a crash are removed.
        observe: Called after each publication with its outcome (`written`, `unchanged` or `failed`), and its
            duration in seconds.

    Attributes:
        load: The reloads of Traefik that this object caused, and how fast Traefik served new certificates.
    """

    def __init__(
        self,
        config_dir: Path,
        *,
        layout: LayoutChoice = "auto",
        observe: Callable[[str, float], object] = lambda _outcome, _seconds: None,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.directory = config_dir.absolute()
        self._observe = observe
        private = self.directory / ".certworker"
        self._lock = WriteLock(private / "lock", timeout_seconds)
        self._staging = SharedDirectory(
            private,
            private / "writing.lock",
            timeout_seconds=timeout_seconds,
            least_age_seconds=least_age_seconds,
        )
        self.load = ProxyLoad()
        self._layout = Layout(self.directory, private, layout, is_outdated)
        self._interval = ReloadInterval(self._layout.size, self.load.mean_seconds)
        self._writer = BatchedWriter(
            self.directory, self._staging, self._lock, self._layout, self._interval, self.load.changed
        )

    def publish(self, stored: StoredCertificate, *, again: bool = False, slot: JobSlot = NO_SLOT) -> bool:
        """
        Write the file of each name of *stored*, so that Traefik serves *stored*.

        Args:
            again: Whether to write files that are up to date as well, because Traefik seems to have missed
                them.
            slot: The slot of the calling job, which is released early while the files wait.

        Returns:
            Whether a file was changed.

        Raises:
            Fenced: The file of a name refers to a later generation, or the generation of *stored* is missing.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
            ValueError: The path of the volume contains a Go template, which Traefik would render.
        """
        began, outcome = time.monotonic(), "failed"
        try:
            changed = self._publish(stored, again, slot)
            outcome = "written" if changed else "unchanged"
            return changed
        finally:
            self._observe(outcome, time.monotonic() - began)

    def _publish(self, stored: StoredCertificate, again: bool, slot: JobSlot) -> bool:
        kinds = {name: is_address(name) for name in stored.metadata.names}
        written = {kind: configuration(stored.directory, address=kind) for kind in set(kinds.values())}
        contents = {name: written[kind] for name, kind in kinds.items()}
        changed = [name for name in contents if again or self._content(name) != contents[name]]
        if changed:
            self._writer.publish(
                stored.directory.name, {file_name_of(name): contents[name] for name in changed}, slot
            )
        for name in changed:
            if self._content(name) != contents[name]:
                raise Fenced(name=name)
        return bool(changed)

    def repair(self, directories: Mapping[str, Path], *, complete: bool = False) -> dict[str, Damage]:
        """
        Write the file of each name of *directories* whose content is wrong, all files in one burst.

        A file that refers to a later generation stays. A file that cannot be written does not stop the
        others.

        Args:
            complete: Whether *directories* has all names. Then the layout changes if necessary, and a shard
                that another program has changed is written again.

        Returns:
            The damage of each file that was written, by name.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The layout could not be changed, or no file
                could be written.
            ValueError: The path of the volume contains a Go template, which Traefik would render.
        """
        if complete:
            self._arrange()
        wrong, wanted = dict[str, Damage](), dict[str, bytes]()
        names = {file_name_of(name): name for name in directories}
        for file, found in self._layout.read_many(names):
            name = names[file]
            content = configuration(directories[name], address=is_address(name))
            if found != content and not is_outdated(content, found):
                wrong[file], wanted[file] = damage_of(found, content), content
        if not wanted:
            return {}
        failure: CertworkerError | None = None
        try:
            self._writer.publish_at_once(wanted, "rebuild" if complete else "change")
        except CertworkerError as fault:
            failure = fault
        found_again = self._layout.read_many(wanted)
        written = {names[file]: wrong[file] for file, found in found_again if found == wanted[file]}
        if failure and not written:
            raise failure
        if failure:
            logger.warning("%s", failure, extra={"code": failure.code})
        return written

    def _arrange(self) -> None:
        if contents := self._layout.to_scatter():
            self._writer.publish_at_once(contents, "scatter")
        with self._lock.held(), self._staging.writing():
            self._layout.gather()

    def serves(self, name: str, metadata: CertificateMetadata) -> bool:
        """
        Return whether the file of *name* refers only to a generation with the fencing token of *metadata*.
        """
        named = generations_in(self._content(name))
        return {metadata.generation} == {token_of(identifier) for identifier in named}

    def files(self, name: str) -> tuple[Path, Path] | None:
        """
        Return the paths of the chain and the key in the file of *name*; None: it is missing or has none.
        """
        return pair_in(self._content(name))

    def remove(self, name: str) -> None:
        """
        Remove the file of *name*.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: *name* may still be in service.
        """
        with self._lock.held():
            self._writer.withdraw(file_name_of(name))
            with self._staging.writing():
                self._layout.remove(file_name_of(name))
        self.load.changed()

    def served_generations(self) -> set[str]:
        """
        Return the identifiers of all generations to which the files in the directory refer.
        """
        return {identifier for file in self._loaded() for identifier in generations_in(content_of(file))}

    def broken(self) -> list[ProxyYamlBroken]:
        """
        Return a failure with the reason for each file that stops Traefik from reading the directory.

        Files with a Go template are not checked, because only Traefik can render them.
        """
        return [
            ProxyYamlBroken(path=file, reason=reason)
            for file in self._loaded()
            if (reason := reason_to_fail(file, content_of(file)))
        ]

    def dangling(self) -> list[tuple[str, Path]]:
        """
        Return the names in the files of certworker whose certificate is missing, with their files.

        Traefik cannot serve these names.
        """
        return [(name, file) for file in self._loaded() for name in missing_in(file)]

    def size(self) -> Size:
        """
        Return the numbers of certificates and `.yml` files in the directory.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        return self._layout.size()

    def many_certificates(self) -> ManyCertificates | None:
        """
        Return the warning about too many certificates; None: there are fewer than :data:`MANY_CERTIFICATES`.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        size = self.size()
        if size.certificates < MANY_CERTIFICATES:
            return None
        seconds = reload_seconds(size, self.load.mean_seconds())
        return ManyCertificates(directory=self.directory, count=size.certificates, seconds=f"{seconds:.0f}")

    def reload_seconds(self) -> float:
        """
        Return the processor seconds that Traefik needs for the reloads after one change.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        return self._interval.reload_seconds()

    def may_change(self) -> bool:
        """
        Return whether a change now leaves Traefik enough time between its reloads.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        return self._writer.pause_left() <= 0

    def pause_left(self) -> float:
        """
        Return the seconds until a change leaves Traefik enough time between its reloads; 0: now.

        With few certificates, a change need not wait.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        return max(0.0, self._writer.pause_left()) if self._interval.seconds() > LEAST_SECONDS else 0.0

    def write_at_once_when(self, is_stopping: Callable[[], bool]) -> None:
        """
        Make waiting changes immediately while *is_stopping* returns True.
        """
        self._writer.is_stopping = is_stopping

    def is_sharded(self) -> bool:
        """
        Return whether new certificates go to shards, which have the certificates of many names each.
        """
        return self._layout.is_sharded()

    def remove_leftovers(self) -> None:
        """
        Remove the leftovers of a crash, which are outside the watched directory.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read, or a leftover cannot be removed.
        """
        self._staging.remove_leftovers()

    def check_writable(self) -> None:
        """
        Check that files can be written, without an event for Traefik.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Files cannot be written, so place no order.
        """
        with self._staging.writing():
            durable.check_writable(self._staging.path)
        durable.check_permitted(self.directory)

    def _loaded(self) -> list[Path]:
        with durable.translate_os_errors(self.directory):
            try:
                with os.scandir(self.directory) as entries:
                    files = [Path(entry.path) for entry in entries]
            except FileNotFoundError:
                return []
        return sorted(file for file in files if file.suffix in _LOADED)

    def _content(self, name: str) -> bytes:
        return self._layout.read(file_name_of(name))
