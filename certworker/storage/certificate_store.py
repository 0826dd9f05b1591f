"""
The certificates in service, on the volume.

Readers take no lock: every link points to a generation, which never changes. Writers take a lock, and the
fencing tokens stop a worker that was frozen and has lost its lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from certworker.errors.fs import Fenced, VolumeLocked
from certworker.storage import durable
from certworker.storage.covered_names import CoveredNames
from certworker.storage.keypair import StoredCertificate, fits, report_adopted, stored_in
from certworker.storage.links import Links
from certworker.storage.metadata import CertificateMetadata, build, known_generations, new_directory, token_of
from certworker.storage.shared_directory import (
    LEAST_AGE_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    SharedDirectory,
    WriteLock,
    for_each,
)
from certworker.storage.unpublished_links import UnpublishedLinks

if TYPE_CHECKING:
    from certworker.certificates import Certificate

KEPT_GENERATIONS = 3  # For each name.


class CertificateStore:
    """
    The certificates under *certificates_dir*, one directory per name.

    Methods raise VolumeReadOnly or VolumeFault if the volume cannot be read, and SchemaTooNew if a newer
    certworker wrote the metadata. Methods that change the volume may also raise VolumeLocked or VolumeFull.

    Args:
        keep: The number of the latest generations to retain for each name with a certificate.
        renewable: Returns whether certworker can renew a name of an adopted certificate.
        on_change: Called with the changed names after :meth:`adopt`, :meth:`mark_published` or
            :meth:`remove`. With it, the volume records removals for other hosts.
        timeout_seconds: How long to wait for other writers.
        least_age_seconds: The minimum age at which the leftovers of a crash are removed.
    """

    def __init__(
        self,
        certificates_dir: Path,
        *,
        keep: int = KEPT_GENERATIONS,
        renewable: Callable[[str], bool] = lambda _name: True,
        on_change: Callable[[Sequence[str]], object] | None = None,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.directory = certificates_dir.absolute()
        self.keep = keep
        self.renewable = renewable
        self.on_change = on_change or (lambda _names: None)
        self.links = Links(self.directory, records_removals=on_change is not None)
        self._generations = self.links.generations
        self.covered = CoveredNames(self.directory)
        self._unpublished = UnpublishedLinks(self._generations)
        own = self.directory / ".certworker"
        options = {"timeout_seconds": timeout_seconds, "least_age_seconds": least_age_seconds}
        #: The directories in which a crash may leave files: incomplete generations, and probe files.
        self._building, self._probes = (
            SharedDirectory(directory, own / "building.lock", **options)
            for directory in (self._generations, self.directory)
        )
        #: Held while links are checked and changed.
        self._linking = WriteLock(own / "lock", timeout_seconds)

    def current(self, name: str) -> StoredCertificate | None:
        """
        Return the certificate in service for *name*; None if it is missing or, with a warning, unusable.

        Files of other programs count until certworker stores a certificate for *name*.
        """
        (stored,) = self.current_many([name])
        return stored

    def current_many(self, names: Sequence[str]) -> list[StoredCertificate | None]:
        """
        Return the result of :meth:`current` for each of *names*; a shared certificate is read once.
        """
        read: dict[Path | None, StoredCertificate | None] = {None: None}
        directories = [self.links.target_of(name) for name in names]
        for name, directory in zip(names, directories, strict=True):
            if directory and directory not in read:
                read[directory] = stored_in(directory, name)
        return [read[directory] for directory in directories]

    def metadata(self, name: str) -> CertificateMetadata | None:
        """
        Return the metadata of the certificate in service for *name*; None if missing, unreadable or invalid.
        """
        directory = self.links.target_of(name)
        return CertificateMetadata.read(directory) if directory else None

    def serving(self, name: str) -> tuple[CertificateMetadata | None, str]:
        """
        Return the metadata of the certificate that serves *name*, if any, and the wildcard of *name*.

        The wildcard is empty for a name with its own certificate, and for a name that relies on no wildcard.
        """
        if own := self.metadata(name):
            return own, ""
        wildcard = self.covered.wildcard_of(name)
        return (self.metadata(wildcard), wildcard) if wildcard else (None, "")

    def names(self) -> Iterator[str]:
        """
        Yield the names whose `DOMAIN/` has a `fullchain.pem`, in alphabetical order.

        A name whose directory Appwrite has deleted is left out.
        """
        return self.links.names()

    def issued(self, authority: str) -> Iterator[tuple[tuple[str, ...], datetime]]:
        """
        Yield the names and `not_before` of each stored certificate from the CA with the label *authority*.

        A certificate need not be in service.
        """
        for _, metadata in known_generations(self._generations, self.links.identifiers()):
            if metadata and metadata.authority == authority:
                yield metadata.names, metadata.not_before

    def adopt(self, name: str) -> CertificateMetadata | None:
        """
        Adopt the files of another program in `DOMAIN/`. Readers find the same content as before.

        Link the other renewable names of the certificate to it as well, unless they have files of their own.

        Returns:
            The metadata; None: there are no such files, or, with a warning, they are unusable for *name*.
        """
        others = self.current(name) if self.links.is_foreign(name) else None
        if others is None or not fits(others, name):
            return None
        names = tuple(each for each in others.metadata.names if each == name or self.renewable(each))
        with self._building.writing():
            durable.make_directory(self._generations)
            with self._linking.held():
                self._adopt_files(name, names)
                self.links.create_links(name)
                generation = self.links.generation(name)
                for other in names:
                    if generation and self.links.target_of(other) is None:
                        self.links.create_links(other)
                        self.links.activate([other], generation)
        report_adopted(others, name, names)
        self.on_change(names)
        return self.metadata(name)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """
        Hold the locks for changing links, within a `with` block.

        Raises:
            VolumeLocked: Another thread or process held a lock for too long.
        """
        with self._building.writing(), self._linking.held():
            yield

    def last_metadata(self, name: str) -> CertificateMetadata | None:
        """
        Return the metadata of the last certificate of *name*, if any, even if `DOMAIN/` was deleted.
        """
        directory = self.links.generation(name)
        return CertificateMetadata.read(directory) if directory else None

    def store(
        self,
        certificate: Certificate,
        *,
        authority: str,
        kind: str,
        token: int,
        names: tuple[str, ...] = (),
    ) -> StoredCertificate:
        """
        Put *certificate* into service for *names*, by default for all its names, and return it as stored.

        Args:
            authority, kind: As in :class:`~certworker.storage.metadata.CertificateMetadata`.
            token: The fencing token of the lease on the names.

        Raises:
            Fenced: One of the names has a certificate of a later lease; no link is changed.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each name has its old certificate or the
                new one. If the new one is stored, :meth:`unpublished` finds it.
        """
        metadata = CertificateMetadata.of(certificate, authority=authority, kind=kind, generation=token)
        metadata = replace(metadata, names=names or metadata.names)
        for name in metadata.names:
            self.links.domain_dir(name)
        with self._building.writing():
            self._reject_if_newer(metadata.names, token)
            durable.make_directory(self._generations, once=True)
            stored = self._stored_before(metadata)
            if stored is None or stored.certificate.fullchain_pem != certificate.fullchain_pem:
                generation = new_directory(self._generations, token)
                self._unpublished.add(generation)
                build(generation, certificate, metadata, also=[self._unpublished.directory])
                stored = StoredCertificate(certificate, metadata, generation)
            self.link(stored)
        return stored

    def link(self, stored: StoredCertificate) -> None:
        """
        Link the names of *stored* to its generation.

        Raises:
            Fenced: One of the names has a certificate of a later lease; no link is changed, and
                :meth:`unpublished` no longer returns *stored*.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: As for :meth:`store`.
        """
        names = stored.metadata.names
        with self.changing():
            try:
                # Under the lock, no other worker can link a generation between this check and the links.
                self._reject_if_newer(names, token_of(stored.directory.name))
            except Fenced:
                self._unpublished.remove(stored.directory)
                raise
            for name in names:
                self._adopt_files(name)
            self.links.link(names, stored.directory)

    def unpublished(self, names: tuple[str, ...]) -> StoredCertificate | None:
        """
        Return the certificate for exactly *names* that is stored but not yet marked as published.

        None: no such certificate exists, a newer one is linked, or, with a warning, it is unusable. If a
        newer one is linked, the certificate no longer counts as unpublished.
        """
        directory = next(self._unpublished.find(names), None)
        if directory is None:
            return None
        if self.links.newer(names, token_of(directory.name)):
            self._unpublished.remove(directory)
            return None
        return stored_in(directory, names[0])

    def unpublished_sets(self) -> list[tuple[str, ...]]:
        """
        Return the names of each certificate that is stored but not yet marked as published.
        """
        return [metadata.names for _, metadata in self._unpublished.all()]

    def mark_published(self, stored: StoredCertificate) -> None:
        """
        Record that *stored* is in service and in the domain records, so that it need not be published again.

        Raises:
            VolumeReadOnly, VolumeFault: The recording failed; *stored* will be put into service again.
        """
        for directory in self._unpublished.find(stored.metadata.names):
            if directory.name <= stored.directory.name:
                self._unpublished.remove(directory)
        self.on_change(stored.metadata.names)

    def remove(self, name: str, token: int = 0) -> None:
        """
        Remove `DOMAIN/` and the links of *name*. With replication, other hosts remove *name* as well.

        Later, :meth:`prune` removes unneeded generations.

        Args:
            token: The fencing token of the removal; 0: that of the removed certificate. Certificates of later
                leases stay on other hosts.
        """
        with self._linking.held():
            self._unpublished.forget(name, token)
            self.links.remove(name, token)
        self.on_change((name,))

    def prune(self, served: Collection[str]) -> None:
        """
        Remove old generations, unless another writer holds the lock. The next call then removes the rest.

        Linked and unpublished generations stay, as do the last few generations of each linked name.

        Args:
            served: The identifiers of the generations in Traefik's files, which also stay.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read, or a generation cannot be removed.
        """
        with suppress(VolumeLocked):
            self._forget_superseded()
            for_each(self._superfluous({*served, *self.links.targets()}), self._remove_unlinked)

    def remove_leftovers(self) -> None:
        """
        Remove the leftovers of a crash: incomplete generations, which may contain keys, and probe files.

        Raises:
            VolumeReadOnly, VolumeFault: A directory cannot be read, or a leftover cannot be removed.
        """
        for_each((self._building, self._probes), SharedDirectory.remove_leftovers)

    def check_writable(self) -> None:
        """
        Check that files can be written, and that there is enough space.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Files cannot be stored, so place no order.
        """
        durable.make_directory(self._generations)
        with self._building.writing():
            durable.check_writable(self._generations)
            durable.check_writable(self.directory)

    def _reject_if_newer(self, names: tuple[str, ...], token: int) -> None:
        if name := self.links.newer(names, token):
            raise Fenced(name=name)

    def _stored_before(self, metadata: CertificateMetadata) -> StoredCertificate | None:
        """
        Return the stored, usable copy of the certificate that *metadata* identifies; None: there is none.

        A resumed order yields the certificate that an earlier attempt stored. Other programs may store the
        same certificate in two directories.
        """
        linked = map(self.links.generation, metadata.names)
        unpublished = next(self._unpublished.find(metadata.names), None)
        for directory in dict.fromkeys(filter(None, (unpublished, *linked))):
            known = CertificateMetadata.read(directory)
            if (
                known
                and (known.certificate, known.kind) == (metadata.certificate, metadata.kind)
                and (stored := stored_in(directory, metadata.names[0]))
            ):
                return stored
        return None

    def _forget_superseded(self) -> None:
        """
        Remove the links to unpublished generations that are missing, or were replaced for all their names.
        """
        for directory, metadata in known_generations(self._generations, self._unpublished.identifiers()):
            with self._building.alone():
                if not directory.exists() or (metadata and self._is_superseded(metadata, directory.name)):
                    self._unpublished.remove(directory)

    def _is_superseded(self, metadata: CertificateMetadata, identifier: str) -> bool:
        return all(self.links.newer((name,), token_of(identifier)) for name in metadata.names)

    def _adopt_files(self, name: str, names: tuple[str, ...] = ()) -> None:
        # The files become a generation before links replace them one by one, so the files always match.
        if self.links.is_foreign(name) and (others := self.current(name)):
            metadata = replace(others.metadata, names=names or others.metadata.names)
            if stored := self._stored_before(metadata):
                generation = stored.directory
            else:
                generation = new_directory(self._generations, metadata.generation)
                build(generation, others.certificate, metadata)
            self.links.activate([name], generation)

    def _superfluous(self, needed: Collection[str]) -> Iterator[Path]:
        needed, seen = {*needed, *self._unpublished.identifiers()}, Counter[str]()
        identifiers = sorted(self.links.identifiers(), reverse=True)
        if not set(identifiers).difference(needed):
            return  # reading the metadata of all generations would take long
        for directory, metadata in known_generations(self._generations, identifiers):
            names = [name for name in metadata.names if self.links.generation(name)] if metadata else []
            wanted = any(seen[name] < self.keep for name in names)
            seen.update(names)
            if not (wanted or directory.name in needed or self._is_linked(directory)):
                yield directory

    def _remove_unlinked(self, directory: Path) -> None:
        with self._building.alone():
            # Check again under the lock: the generation may have been linked in the meantime.
            if not self._is_linked(directory):
                durable.remove(directory)

    def _is_linked(self, directory: Path) -> bool:
        metadata, unpublished = CertificateMetadata.read(directory), self._unpublished.identifiers()
        is_served = metadata is not None and directory in map(self.links.generation, metadata.names)
        return is_served or directory.name in unpublished
