"""
What the volume has for each name, and the repair of links that lead nowhere.

Files get lost: by a restored backup, by a hand, by a disk. As long as an older generation is there, readers
find it again. Nothing of this asks a CA.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import stored_in
from certworker.storage.metadata import CertificateMetadata
from certworker.storage.shared_directory import LEAST_AGE_SECONDS
from certworker.supervision import beat

#: Links are made for so many names under one lock; jobs wait for it.
NAMES_A_LOCK = 20


@dataclass
class Inventory:
    """
    What is in service, and what was repaired for that.
    """

    #: For each name the generation that its readers find; those with files of other programs are left out.
    served: dict[str, Path] = field(default_factory=dict)
    #: Names that led nowhere, and lead to the newest generation that is left.
    relinked: list[str] = field(default_factory=list)
    #: Names of which nothing is left that could be served.
    lost: list[str] = field(default_factory=list)
    #: Names with a certificate whose `DOMAIN/` lacks links.
    incomplete: list[str] = field(default_factory=list)


def take_inventory(volume: CertificateStore, now: datetime) -> Inventory:
    """
    Return what *volume* has for each name, and repair links that lead to a generation which is gone.

    A fault with one name costs the others nothing: that name is left out.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFault: The volume cannot be read, or no link can be made.
    """
    found, complete, broken = Inventory(), dict[Path, bool](), list[str]()
    for name in sorted({*volume.links.live(), *volume.names()}):
        beat()
        try:
            directory = _generation(volume, name, found)
        except CertworkerError:
            continue  # its own job reports it
        if directory is None:
            continue
        if directory not in complete:
            complete[directory] = _is_complete(directory)
        if complete[directory]:
            found.served[name] = directory
        else:
            broken.append(name)
    if broken:
        _relink(volume, set(broken), now, found)
    return found


def complete_links(volume: CertificateStore, names: Iterable[str]) -> None:
    """
    Make the links that `DOMAIN/` lacks for each of *names*.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: It is not possible.
    """
    iterator = iter(names)
    while some := list(islice(iterator, NAMES_A_LOCK)):
        beat()
        with volume.changing():
            for name in some:
                # Under the lock once more: the name may have been removed since.
                if not volume.links.is_orphaned(name) and volume.links.generation(name):
                    volume.links.create_links(name)


def _generation(volume: CertificateStore, name: str, found: Inventory) -> Path | None:
    """
    Return the generation of *name*, complete or not; None: it has none of ours.
    """
    links = volume.links
    if links.is_orphaned(name) or links.target_of(name) == links.domain_dir(name):
        return None
    if not links.is_laid(name):
        if not _is_settled(links.domain_dir(name)):
            return None
        found.incomplete.append(name)
    return links.generation(name) or _nowhere(volume)


def _is_settled(place: Path) -> bool:
    # The core unlinks the files one by one before it removes the directory; a person copies them one by one.
    try:
        return abs(time.time() - place.stat().st_mtime) >= LEAST_AGE_SECONDS
    except OSError:
        return False


def _is_complete(directory: Path) -> bool:
    try:
        return all((directory / file).stat().st_size for file in ("fullchain.pem", "privkey.pem"))
    except OSError:
        return False


def _relink(volume: CertificateStore, missing: set[str], now: datetime, found: Inventory) -> None:
    for directory, metadata in _newest_first(volume):
        wanted = missing.intersection(metadata.names)
        if not wanted or metadata.not_after <= now or stored_in(directory, min(wanted)) is None:
            continue
        with volume.changing():
            # Under the lock once more: a job may have stored a new certificate since.
            for name in wanted:
                if not _is_complete(volume.links.generation(name) or _nowhere(volume)):
                    volume.links.create_links(name)
                    volume.links.activate([name], directory)
                    found.relinked.append(name)
        found.served |= {name: volume.links.generation(name) or _nowhere(volume) for name in wanted}
        missing = missing - wanted
    found.lost.extend(sorted(missing))


def _newest_first(volume: CertificateStore) -> Iterator[tuple[Path, CertificateMetadata]]:
    for directory in sorted(volume.generations(), reverse=True):
        beat()
        try:
            metadata = CertificateMetadata.read(directory)
        except CertworkerError:
            continue  # a newer version wrote it
        if metadata:
            yield directory, metadata


def _nowhere(volume: CertificateStore) -> Path:
    return volume.directory / ".certworker" / "nowhere"
