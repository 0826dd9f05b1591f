"""
Puts certificates of other hosts into service on this volume, and removes certificates as other hosts did.

A copy has the same fencing token and content as the generation on the other host. The tokens decide: a copy
enters service for a name only if its token is higher than those of the name's current certificate and last
removal. So each step may run again after a crash, and an old copy replaces nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import is_complete
from certworker.storage.metadata import CertificateMetadata, build, new_directory, token_of
from certworker.storage.unpublished_links import UnpublishedLinks

if TYPE_CHECKING:
    from certworker.certificates import Certificate

#: The maximum number of generations that are written at the same time.
BUILDERS = 4


@dataclass(frozen=True)
class Copy:
    """
    A generation of another host.
    """

    #: The name of its directory.
    identifier: str
    certificate: Certificate
    metadata: CertificateMetadata
    #: Those of its names that are linked to it on the other host. The others were removed, or have a later
    #: certificate.
    serving: tuple[str, ...]

    @property
    def token(self) -> int:
        """
        Return the fencing token of the generation.
        """
        return token_of(self.identifier)


@dataclass(frozen=True)
class Result:
    """
    The result of :func:`put_into_service` for one copy.
    """

    #: The directory of each name that is linked to a generation with the token of the copy. A killed
    #: process may have linked some of these names earlier.
    linked: Mapping[str, Path]
    #: The names that this call linked.
    new: tuple[str, ...]


def token_in_service(store: CertificateStore, name: str) -> int:
    """
    Return the token of the current certificate of *name*, or of its last removal if higher; -1: no token.
    """
    linked = store.links.generation(name)
    return max(token_of(linked.name) if linked else -1, store.links.removed.token_of(name))


def rank(store: CertificateStore, name: str) -> int:
    """
    Return the rank of the state of *name*, which grows with each certificate and each removal; -1 if unknown.
    """
    if linked := store.links.generation(name):
        # A removal that failed may be recorded already. The record does not count, so the next comparison
        # applies the removal again.
        return 2 * token_of(linked.name)
    return max(2 * store.links.removed.token_of(name) + 1, -1)


def wanted_names(store: CertificateStore, copy: Copy, only: str | None = None) -> tuple[str, ...]:
    """
    Return the names that *copy* serves and for which it is newer than the state on this volume.

    Args:
        only: The only name to consider; None: all names.
    """
    return tuple(name for name in _names(copy, only) if copy.token > token_in_service(store, name))


def put_into_service(
    store: CertificateStore, copies: Sequence[Copy], *, only: str | None = None
) -> list[Result]:
    """
    Store *copies*, link each name for which its copy is newer, and return the result for each copy.

    Args:
        only: The only name to link; None: all names that each copy serves.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each name has its old certificate or the new
            one.
    """
    if not copies:
        return []
    for name in {name for copy in copies for name in wanted_names(store, copy, only)}:
        # The files of another program become a generation first, so that they always match.
        if store.links.is_foreign(name):
            store.adopt(name)
    with store.changing():
        new, directories = dict[str, Path](), dict[Path, Copy]()
        linked = list[tuple[str, ...]]()
        for copy in copies:
            names = tuple(
                name
                for name in wanted_names(store, copy, only)
                if name not in new or token_of(new[name].name) < copy.token
            )
            linked.append(names)
            if names:
                directory = _directory(store, copy)
                directories[directory] = copy
                new |= dict.fromkeys(names, directory)
        # Nothing points to the new directories before all of them are synced.
        with durable.syncing_together():
            _build(store, directories)
            _make_links(store, new)
        _activate(store, new)
        return [Result(_linked(store, copy, only), names) for copy, names in zip(copies, linked, strict=True)]


def _directory(store: CertificateStore, copy: Copy) -> Path:
    directory = store.links.generations / copy.identifier
    if directory.exists() and not is_complete(directory):
        return new_directory(store.links.generations, copy.token)
    return directory


def _build(store: CertificateStore, copies: Mapping[Path, Copy]) -> None:
    missing = [(directory, copy) for directory, copy in copies.items() if not directory.exists()]
    if not missing:
        return
    durable.make_directory(store.links.generations, once=True)
    if len(missing) == 1:
        ((directory, copy),) = missing
        build(directory, copy.certificate, copy.metadata)
        return
    # The threads mostly wait for the disk.
    with ThreadPoolExecutor(min(BUILDERS, len(missing))) as builders:
        for building in [
            # With the context of this thread, a builder leaves the sync of the parent directory to this
            # thread.
            builders.submit(copy_context().run, build, directory, copy.certificate, copy.metadata)
            for directory, copy in missing
        ]:
            building.result()


def _make_links(store: CertificateStore, generations: Mapping[str, Path]) -> None:
    if generations:
        store.links.record_highest(max(generations.values(), key=lambda generation: generation.name))
    for name in generations:
        store.links.create_links(name)


def _activate(store: CertificateStore, generations: Mapping[str, Path]) -> None:
    if generations:
        store.links.activate_each(generations)
    for name in generations:
        store.links.removed.forget(name)


def remove(store: CertificateStore, name: str, token: int) -> bool:
    """
    Remove the certificate of *name* if its token is at most *token*; return whether this removal is new.

    The removal is not published again.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The name may still be in service.
    """
    with store.changing():
        # The check is under the lock, so that the removal does not affect a certificate that was linked
        # in the meantime.
        linked = store.links.generation(name)
        if linked is None and token <= store.links.removed.token_of(name):
            return False
        if linked and token_of(linked.name) > token:
            return False
        UnpublishedLinks(store.links.generations).forget(name, token)
        store.links.remove(name, token)
        return True


def _names(copy: Copy, only: str | None) -> tuple[str, ...]:
    return tuple(name for name in copy.serving if only in (None, name))


def _linked(store: CertificateStore, copy: Copy, only: str | None) -> dict[str, Path]:
    linked = {name: store.links.generation(name) for name in _names(copy, only)}
    return {name: found for name, found in linked.items() if found and token_of(found.name) == copy.token}
