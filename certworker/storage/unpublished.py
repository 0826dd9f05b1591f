"""
Certificates that are stored, and not yet known to be in service: what a later attempt puts into service.

`.certworker/unpublished/ID` is a link to the generation `ID`. It is made before the generation, and removed
when the proxy has the certificate and the records have it. So a worker may die, and a disk or Redis may fail,
at any moment in between, and the order that brought the certificate is not needed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from certworker.storage import durable
from certworker.storage.metadata import GENERATIONS, CertificateMetadata, token_of


class Unpublished:
    """
    The generations below *generations* that no attempt has put into service completely.
    """

    def __init__(self, generations: Path) -> None:
        self._generations = generations
        self._directory = generations.parent / "unpublished"

    def add(self, generation: Path) -> None:
        """
        Remember *generation*, which is about to be built.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It is not possible.
        """
        durable.make_directory(self._directory)
        target = f"../{GENERATIONS.name}/{generation.name}"
        durable.link(self._directory / generation.name, target, via=self._generations)

    def all(self) -> Iterator[tuple[Path, CertificateMetadata]]:
        """
        Return the generations that are complete, the latest first, each with what is known of it.
        """
        for identifier in sorted(self.identifiers(), reverse=True):
            directory = self._generations / identifier
            if facts := CertificateMetadata.read(directory):
                yield directory, facts

    def find(self, names: tuple[str, ...]) -> Path | None:
        """
        Return the latest generation for exactly these *names*; None if there is none.
        """
        return next((found for found, facts in self.all() if set(facts.names) == set(names)), None)

    def remove(self, generation: Path) -> None:
        """
        Forget *generation*: it is in service, or is not wanted any more.

        Raises:
            VolumeReadOnly, VolumeFault: It is not possible.
        """
        link = self._directory / generation.name
        with durable.translate_os_errors(link):
            # A power cut may bring it back; then the certificate is put into service once more.
            link.unlink(missing_ok=True)

    def identifiers(self) -> set[str]:
        """
        Return the names of the generations, be they complete or not.
        """
        with durable.translate_os_errors(self._directory):
            try:
                with os.scandir(self._directory) as entries:
                    return {entry.name for entry in entries if token_of(entry.name)}
            except FileNotFoundError:
                return set()
