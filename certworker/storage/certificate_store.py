"""
The volume with the certificates in service.

Readers take no lock: whatever they follow leads to a generation, which never changes. Writers take one,
and a worker that was frozen for an hour finds that it came too late.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from certworker.errors.fs import Fenced, VolumeLocked
from certworker.storage import durable
from certworker.storage.keypair import StoredCertificate, fits, report_left_out, stored_in
from certworker.storage.links import Links, UnpublishedLinks
from certworker.storage.metadata import CertificateMetadata, build, is_generation, new_directory, token_of
from certworker.storage.shared_directory import (
    LEAST_AGE_SECONDS,
    PATIENCE_SECONDS,
    SharedDirectory,
    WriteLock,
)

if TYPE_CHECKING:
    from certworker.certificates import Certificate


class CertificateStore:
    """
    The certificates under *certificates_dir*, one directory per name.

    Args:
        renewable: Whether certworker could renew a certificate for a name that another program put there.
        least_age_seconds: What is younger was not left behind by a crash.
    """

    def __init__(
        self,
        certificates_dir: Path,
        *,
        keep: int = 3,
        renewable: Callable[[str], bool] = lambda _name: True,
        patience_seconds: float = PATIENCE_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.directory = certificates_dir.absolute()
        self.keep = keep
        self._renewable = renewable
        self.links = Links(self.directory)
        self._generations = self.links.generations
        self._unpublished = UnpublishedLinks(self._generations)
        # A link to it, so that each lock that is taken in Redis costs no scan of all generations.
        self._highest = self._generations.parent / "highest"
        own = self.directory / ".certworker"
        #: Where generations are built, and where trials of the directory of the names leave something behind.
        patience = {"patience_seconds": patience_seconds, "least_age_seconds": least_age_seconds}
        self._building, self._trials = (
            SharedDirectory(directory, own / "building.lock", **patience)
            for directory in (self._generations, self.directory)
        )
        #: Held from the look at what is linked to the last new link.
        self._linking = WriteLock(own / "lock", patience_seconds)

    def current(self, name: str) -> StoredCertificate | None:
        """
        The certificate in service for *name*, with its key; None, and a warning, if they are unusable.

        Files that others put there count, too: theirs is the truth until we store a certificate.

        Raises:
            VolumeReadOnly, VolumeFault: The files are there, but cannot be read.
        """
        (stored,) = self.current_many([name])
        return stored

    def current_many(self, names: Sequence[str]) -> list[StoredCertificate | None]:
        """
        What is in service for each of *names*, as :meth:`current` has it; what they share is read once.
        """
        read: dict[Path | None, StoredCertificate | None] = {None: None}
        directories = [self.links.target_of(name) for name in names]
        for name, directory in zip(names, directories, strict=True):
            if directory and directory not in read:
                read[directory] = stored_in(directory, name)
        return [read[directory] for directory in directories]

    def metadata(self, name: str) -> CertificateMetadata | None:
        """
        What is known of the certificate in service for *name*; None if there is none, or if it is not ours.
        """
        directory = self.links.target_of(name)
        return CertificateMetadata.read(directory) if directory else None

    def names(self) -> Iterator[str]:
        """
        Return the names that have a certificate, in alphabetical order.

        A directory that the core has deleted is not among them, though its generation is still there.
        """
        return self.links.names()

    def issued(self, authority: str) -> Iterator[tuple[tuple[str, ...], datetime]]:
        """
        The certificates of *authority* (its label) that are still here, in service or not: their names, and
        the moment from which they are valid.
        """
        for identifier in self._identifiers():
            metadata = CertificateMetadata.read(self._generations / identifier)
            if metadata and metadata.authority == authority:
                yield metadata.names, metadata.not_before

    def adopt(self, name: str) -> CertificateMetadata | None:
        """
        Make the files that others put into `DOMAIN/` ours; whoever reads them finds the same ones as before.

        The other names of the certificate lead to it as well, where they have none.

        Returns:
            The facts; None if there are no such files, or if they are of no use, which a warning tells.
        """
        others = self.current(name) if self.links.target_of(name) == self.links.domain_dir(name) else None
        if others is None or not fits(others, name):
            return None
        names = tuple(each for each in others.metadata.names if each == name or self._renewable(each))
        report_left_out(others, name, names)
        with self._building.writing():
            durable.make_directory(self._generations)
            with self._linking.held():
                self._adopt(name, names)
                generation = self.links.generation(name)
                for other in names:
                    if generation and self.links.target_of(other) is None:
                        self.links.create_links(other)
                        self.links.activate([other], generation)
        return self.metadata(name)

    def generations(self) -> list[Path]:
        """
        Return the directories of all generations, be they linked or not.
        """
        return [
            self._generations / identifier for identifier in self._identifiers() if is_generation(identifier)
        ]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """
        Change links, for the length of a `with` block, while no other worker changes or removes anything.

        Raises:
            VolumeLocked: Another worker has been at it for the whole patience.
        """
        with self._building.writing(), self._linking.held():
            yield

    def last_metadata(self, name: str) -> CertificateMetadata | None:
        """
        What is known of the certificate that :meth:`store` linked last for *name*, deserted or not.
        """
        directory = self.links.generation(name)
        return CertificateMetadata.read(directory) if directory else None

    def highest_token(self) -> int:
        """
        The highest fencing token that was ever used here; 0 on a new volume.
        """
        with durable.translate_os_errors(self._highest):
            try:
                return token_of(self._highest.readlink().name)
            except FileNotFoundError:
                return 0

    def store(self, certificate: Certificate, *, authority: str, kind: str, token: int) -> StoredCertificate:
        """
        Put *certificate* into service for all its names.

        Args:
            authority: The label of the CA.
            kind: Its kind, which says whether another CA's certificate may replace it.
            token: The fencing token of the lease under which it was ordered.

        Raises:
            Fenced: One of the names has a certificate of a later lease; nothing is changed.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each name has its old certificate or
                the new one. If it is stored, :meth:`unpublished` finds it.
        """
        metadata = CertificateMetadata.of(certificate, authority=authority, kind=kind, generation=token)
        for name in metadata.names:
            self.links.domain_dir(name)
        with self._building.writing():
            self._refuse_if_newer(metadata.names, token)
            durable.make_directory(self._generations)
            stored = self._stored_before(metadata)
            if stored is None:
                generation = new_directory(self._generations, token)
                self._unpublished.add(generation)
                build(generation, certificate, metadata)
                stored = StoredCertificate(certificate, metadata, generation)
            self.link(stored)
        return stored

    def link(self, stored: StoredCertificate) -> None:
        """
        Lead the readers of each name of *stored*, a generation, to it.

        Raises:
            Fenced: One of the names has a certificate of a later lease; nothing is changed, and *stored* is
                no longer :meth:`unpublished`.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: As for :meth:`store`.
        """
        names = stored.metadata.names
        with self.changing():
            try:
                # Only here no other worker can come between the check and the link.
                self._refuse_if_newer(names, token_of(stored.directory.name))
            except Fenced:
                self._unpublished.remove(stored.directory)
                raise
            self._link(names, stored.directory)

    def unpublished(self, names: tuple[str, ...]) -> StoredCertificate | None:
        """
        Return the certificate for exactly *names* that is stored, and was not :meth:`mark_published`.

        There is none if a newer one is linked.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        directory = self._unpublished.find(names)
        if directory is None:
            return None
        if self._has_newer(names, token_of(directory.name)):
            self._unpublished.remove(directory)
            return None
        return stored_in(directory, names[0])

    def unpublished_sets(self) -> list[tuple[str, ...]]:
        """
        Return the names of each certificate that :meth:`unpublished` finds, as it raises.
        """
        return [metadata.names for _, metadata in self._unpublished.all()]

    def mark_published(self, stored: StoredCertificate) -> None:
        """
        Remember that *stored* is in service, and that the records have it.

        Raises:
            VolumeReadOnly, VolumeFault: It is not possible; then it is put into service once more.
        """
        for directory, metadata in self._unpublished.all():
            if set(metadata.names) == set(stored.metadata.names) and directory.name <= stored.directory.name:
                self._unpublished.remove(directory)

    def remove(self, name: str) -> None:
        """
        Take *name* out of service. Its generations go with the next :meth:`prune`.
        """
        with self._linking.held():
            for directory, metadata in self._unpublished.all():
                if name in metadata.names:
                    self._unpublished.remove(directory)
            self.links.remove(name)

    def prune(self, served: Collection[str]) -> None:
        """
        Remove old generations.

        The last few of each name in service stay, and so does whatever a link or one of *served* (the
        identifiers in Traefik's files) leads to, and what waits for its publication.
        """
        with suppress(VolumeLocked):
            self._forget_superseded()
            for directory in self._superfluous({*served, *self.links.targets()}):
                with self._building.alone():
                    # Under the lock once more: it may have been linked since.
                    if not self._is_linked(directory):
                        durable.remove(directory)

    def remove_leftovers(self) -> None:
        """
        Remove what a crash left behind: half-built generations, which hold keys, and the files of trials.

        Raises:
            VolumeReadOnly, VolumeFault: It is not possible.
        """
        for place in (self._building, self._trials):
            place.remove_leftovers()

    def check_writable(self) -> None:
        """
        Write, rename and remove a file, and see that there is room for more.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It is not possible; nothing should be ordered.
        """
        durable.make_directory(self._generations)
        with self._building.writing():
            durable.check_writable(self._generations)
            durable.check_writable(self.directory)

    def _refuse_if_newer(self, names: tuple[str, ...], token: int) -> None:
        if name := self._has_newer(names, token):
            raise Fenced(name=name)

    def _has_newer(self, names: tuple[str, ...], token: int) -> str | None:
        """
        Return the first of *names* that has a certificate of a later lease than *token*.
        """
        for name in names:
            linked = self.links.generation(name)
            if linked and token_of(linked.name) > token:
                return name
        return None

    def _stored_before(self, metadata: CertificateMetadata) -> StoredCertificate | None:
        """
        Return the very certificate of which *metadata* are known, if it is stored and complete.

        A resumed order brings what an earlier attempt stored, and two directories may hold the same files.
        """
        linked = map(self.links.generation, metadata.names)
        for directory in dict.fromkeys(filter(None, (self._unpublished.find(metadata.names), *linked))):
            known = CertificateMetadata.read(directory)
            if (
                known
                and known.certificate == metadata.certificate
                and (stored := stored_in(directory, metadata.names[0]))
            ):
                return stored
        return None

    def _forget_superseded(self) -> None:
        """
        Forget what was never completed, and what a later certificate of all its names has replaced.
        """
        for identifier in self._unpublished.identifiers():
            directory = self._generations / identifier
            metadata = CertificateMetadata.read(directory)
            with self._building.alone():
                if not directory.exists() or (metadata and self._is_superseded(metadata, identifier)):
                    self._unpublished.remove(directory)

    def _is_superseded(self, metadata: CertificateMetadata, identifier: str) -> bool:
        return all(self._has_newer((name,), token_of(identifier)) for name in metadata.names)

    def _link(self, names: tuple[str, ...], generation: Path) -> None:
        if token_of(generation.name) > self.highest_token():
            target = f"{self._generations.name}/{generation.name}"
            durable.link(self._highest, target, via=self._generations)
        for name in names:
            self._adopt(name)
        self.links.activate(names, generation)

    def _adopt(self, name: str, names: tuple[str, ...] = ()) -> None:
        # The files of others become a generation of their own before links replace them, one after the
        # other: so there is no moment at which the four do not fit each other.
        if self.links.target_of(name) == self.links.domain_dir(name) and (others := self.current(name)):
            metadata = replace(others.metadata, names=names or others.metadata.names)
            if stored := self._stored_before(metadata):
                generation = stored.directory
            else:
                generation = new_directory(self._generations, metadata.generation)
                build(generation, others.certificate, metadata)
            self.links.activate([name], generation)
        self.links.create_links(name)

    def _superfluous(self, needed: Collection[str]) -> Iterator[Path]:
        needed = {*needed, *self._unpublished.identifiers()}
        seen: Counter[str] = Counter()
        for identifier in sorted(self._identifiers(), reverse=True):
            directory = self._generations / identifier
            metadata = CertificateMetadata.read(directory)
            names = [name for name in metadata.names if self.links.generation(name)] if metadata else []
            wanted = any(seen[name] < self.keep for name in names)
            seen.update(names)
            if not (wanted or identifier in needed or self._is_linked(directory)):
                yield directory

    def _is_linked(self, directory: Path) -> bool:
        metadata = CertificateMetadata.read(directory)
        if directory.name in self._unpublished.identifiers():
            return True
        return metadata is not None and directory in map(self.links.generation, metadata.names)

    def _identifiers(self) -> list[str]:
        with durable.translate_os_errors(self._generations):
            try:
                with os.scandir(self._generations) as entries:
                    return [entry.name for entry in entries]
            except FileNotFoundError:
                return []
