"""
Lists the certificate of each name on the volume, and repairs dangling links.

A restored backup, a user or a disk error may remove files. A name whose generation is missing or incomplete
is linked to its newest usable generation. No request is sent to a CA.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeReadOnly
from certworker.errors.worker import SchemaTooNew
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import stored_in
from certworker.storage.metadata import CertificateMetadata, known_generations
from certworker.storage.shared_directory import LEAST_AGE_SECONDS, for_each
from certworker.supervision import beat, optional

logger = logging.getLogger(__name__)

#: The maximum number of names whose links are made while the lock is held. Jobs wait for this lock.
NAMES_PER_LOCK = 20


@dataclass
class Inventory:
    """
    The certificates in service, and the names whose links or files were damaged.
    """

    #: The generation that readers find, by name. Names with files of other programs are left out.
    served: dict[str, Path] = field(default_factory=dict)
    #: Names whose generation was missing or incomplete. Their links now point to their newest usable one.
    relinked: list[str] = field(default_factory=list)
    #: Names whose generation is missing or incomplete, and that have no usable one.
    lost: list[str] = field(default_factory=list)
    #: Names that have a certificate, but whose `DOMAIN/` lacks links.
    incomplete: list[str] = field(default_factory=list)


def take_inventory(store: CertificateStore, now: datetime) -> Inventory:
    """
    Return the certificates of *store* by name, and repair links to a missing or incomplete generation.

    A name whose files cannot be read is left out.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The volume cannot be read or written.
    """
    found, complete, broken = Inventory(), dict[Path, bool](), list[str]()
    for name in sorted({*store.links.live(), *store.names()}):
        beat()
        try:
            directory = _generation(store, name, found)
        except CertworkerError:
            continue  # the job of the name reports the failure
        if directory is None:
            continue
        if directory not in complete:
            complete[directory] = is_complete(directory)
        if complete[directory]:
            found.served[name] = directory
        else:
            broken.append(name)
    if broken:
        _relink(store, set(broken), now, found)
    return found


def names_served(store: CertificateStore, metadata: CertificateMetadata) -> tuple[str, ...]:
    """
    Return the names that the certificate with this *metadata* serves; all its names if it serves none.

    A name that has received another certificate since, for example an imported one, does not count.

    Raises:
        VolumeReadOnly, VolumeFault: The volume cannot be read.
    """
    return tuple(name for name in metadata.names if serves(store, name, metadata)) or metadata.names


def serves(store: CertificateStore, name: str, metadata: CertificateMetadata) -> bool:
    """
    Return whether the certificate with this *metadata* is in service for *name*.

    Raises:
        VolumeReadOnly, VolumeFault: The volume cannot be read.
    """
    with suppress(SchemaTooNew):  # a newer version of certworker stored another certificate
        return store.metadata(name) == metadata
    return False


def complete_links(store: CertificateStore, names: Iterable[str]) -> None:
    """
    Make the links that `DOMAIN/` lacks for each of *names*.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: A link cannot be made. After VolumeReadOnly or
            VolumeFault, which may concern only one name, the links of the other names are made.
    """
    links, iterator = store.links, iter(names)

    def complete(name: str) -> None:
        # Check again under the lock: the name may have been removed in the meantime.
        if not links.is_orphaned(name) and links.generation(name):
            links.create_links(name)

    def complete_all(batch: Sequence[str]) -> None:
        beat()
        with store.changing():
            for_each(batch, complete)

    for_each(iter(lambda: list(islice(iterator, NAMES_PER_LOCK)), []), complete_all)


def _generation(store: CertificateStore, name: str, found: Inventory) -> Path | None:
    """
    Return the generation of *name*, complete or not. If its link is missing, return a path that never exists.

    None: certworker stored no certificate, or `DOMAIN/` was deleted, or it lacks links and has just changed.
    """
    links = store.links
    if links.has_all_links(name):  # nearly all names
        return links.generation(name) or _missing_generation(store)
    if links.is_orphaned(name) or links.is_foreign(name):
        return None
    if not _is_settled(links.domain_dir(name)):
        return None
    found.incomplete.append(name)
    return links.generation(name) or _missing_generation(store)


def _is_settled(directory: Path) -> bool:
    # Appwrite removes the files one by one before the directory; a user may copy them one by one.
    try:
        return abs(time.time() - directory.stat().st_mtime) >= LEAST_AGE_SECONDS
    except OSError:
        return False


def is_complete(directory: Path) -> bool:
    """
    Return whether the generation in *directory* has its chain and its key.
    """
    try:
        # With a Path for each file it takes twice as long.
        return all(os.stat(f"{directory}/{file}").st_size for file in ("fullchain.pem", "privkey.pem"))  # noqa: PTH116
    except OSError:
        return False


def _relink(store: CertificateStore, missing: set[str], now: datetime, found: Inventory) -> None:
    for directory, metadata in _newest_first(store):
        wanted = missing.intersection(metadata.names)
        if not wanted or metadata.not_after <= now or not _is_usable(directory, min(wanted)):
            continue
        with store.changing():
            for name in sorted(wanted):
                try:
                    _relink_one(store, name, directory, found)
                except (VolumeReadOnly, VolumeFault) as failure:
                    # Another program may have put a directory at the path of a link.
                    logger.warning(
                        "the links cannot be repaired: %s",
                        failure,
                        extra={"domain": name, "code": failure.code},
                    )
        missing = missing - wanted
    found.lost.extend(sorted(missing))


def _relink_one(store: CertificateStore, name: str, directory: Path, found: Inventory) -> None:
    # Check again under the lock: a job may have stored a new certificate in the meantime.
    current = store.links.generation(name)
    if current and is_complete(current):
        found.served[name] = current
        return
    store.links.activate([name], directory)
    found.relinked.append(name)
    found.served[name] = directory
    store.links.create_links(name)


def _is_usable(directory: Path, name: str) -> bool:
    # On a damaged disk, one generation may be unreadable. This must not stop the repair of the others.
    return optional(f"the check of {directory}", partial(stored_in, directory, name), None) is not None


def _newest_first(store: CertificateStore) -> Iterator[tuple[Path, CertificateMetadata]]:
    identifiers = sorted((each.name for each in store.links.complete_generations()), reverse=True)
    for directory, metadata in known_generations(store.links.generations, identifiers):
        if metadata:
            yield directory, metadata


def _missing_generation(store: CertificateStore) -> Path:
    return store.directory / ".certworker" / "nowhere"
