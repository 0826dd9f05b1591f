"""
The links to certificates that are stored, but not yet known to be in service.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from certworker.storage import durable
from certworker.storage.metadata import GENERATIONS, META, CertificateMetadata, known_generations, token_of
from certworker.storage.remembered_listing import listed


class UnpublishedLinks:
    """
    The links to generations that are stored, but not yet known to be in service.

    `.certworker/unpublished/ID` is a link to the generation `ID`. The link is made before the generation. It
    is removed when the certificate is in the files of Traefik and in the domain records, or is no longer
    needed. So after a crash or a failure in between, a later attempt finds the stored certificate and needs
    no new order.

    Methods raise VolumeReadOnly or VolumeFault if the volume cannot be read.
    """

    def __init__(self, generations: Path) -> None:
        self._generations = generations
        self.directory = generations.parent / "unpublished"
        #: The metadata by identifier. Under load, many generations wait for Traefik, and each job needs the
        #: metadata of all of them.
        self._known: dict[str, CertificateMetadata] = {}

    def add(self, generation: Path) -> None:
        """
        Add the link to *generation*. The caller builds the generation next, and syncs :attr:`directory`.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The link cannot be made.
        """
        durable.make_directory(self.directory, once=True)
        target = f"../{GENERATIONS.name}/{generation.name}"
        durable.make_links(self.directory, {generation.name: target}, via=self._generations)

    def all(self) -> Iterator[tuple[Path, CertificateMetadata]]:
        """
        Yield the unpublished generations with valid metadata, and this metadata, the latest first.
        """
        for identifier, metadata in self._read():
            yield self._generations / identifier, metadata

    def find(self, names: Collection[str]) -> Iterator[Path]:
        """
        Yield the unpublished generations for exactly these *names*, the latest first.
        """
        wanted = set(names)
        for identifier, metadata in self._read():
            # A generation never changes, but it may disappear.
            if wanted == set(metadata.names) and os.path.lexists(f"{self._generations}/{identifier}/{META}"):
                yield self._generations / identifier

    def remove(self, generation: Path) -> None:
        """
        Remove the link to *generation*, which is in service or no longer needed.

        Raises:
            VolumeReadOnly, VolumeFault: The link cannot be removed.
        """
        link = self.directory / generation.name
        with durable.translate_os_errors(link):
            # A power cut may restore the link; the certificate is then put into service again.
            link.unlink(missing_ok=True)

    def forget(self, name: str, token: int) -> None:
        """
        Remove the links to the generations for *name*; with a *token*, only those up to this token.

        Raises:
            VolumeReadOnly, VolumeFault: A link cannot be removed.
        """
        for directory, metadata in self.all():
            if name in metadata.names and (not token or token_of(directory.name) <= token):
                self.remove(directory)

    def _read(self) -> Iterator[tuple[str, CertificateMetadata]]:
        identifiers = self.identifiers()
        for identifier in set(self._known) - identifiers:
            self._known.pop(identifier, None)
        for identifier in sorted(identifiers, reverse=True):
            known = self._known.get(identifier)
            for _, metadata in () if known else known_generations(self._generations, [identifier]):
                known = metadata
            if known:
                self._known[identifier] = known
                yield identifier, known

    def identifiers(self) -> set[str]:
        """
        Return the identifiers of the unpublished generations, complete, incomplete or missing.
        """
        return set(filter(token_of, listed(self.directory)))
