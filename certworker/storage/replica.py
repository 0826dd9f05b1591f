"""
Puts certificates of other hosts into service on this volume.

A copy has the same identifier and content as the generation on the other host. The fencing tokens decide: a
name gets a certificate only if its token is higher than that of the certificate in service, and than that of
its last removal. So each step may run again after a crash, and an old copy replaces nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import is_complete
from certworker.storage.metadata import CertificateMetadata, build, new_directory, token_of

if TYPE_CHECKING:
    from certworker.certificates import Certificate


@dataclass(frozen=True)
class Copy:
    """
    A generation of another host.
    """

    #: The name of its directory.
    identifier: str
    certificate: Certificate
    metadata: CertificateMetadata

    @property
    def token(self) -> int:
        """
        Return the fencing token of the generation.
        """
        return token_of(self.identifier)


def token_in_service(store: CertificateStore, name: str) -> int:
    """
    Return the token of the certificate of *name*, in service or removed; -1 if there was none.
    """
    linked = store.links.generation(name)
    return max(token_of(linked.name) if linked else -1, store.links.removed.token_of(name))


def rank(store: CertificateStore, name: str) -> int:
    """
    Return the rank of the state of *name*, which grows with each certificate and each removal; -1 if unknown.
    """
    linked, removed = store.links.generation(name), store.links.removed.token_of(name)
    token = token_of(linked.name) if linked else -1
    return max(2 * token, 2 * removed + 1, -1)


def wanted_names(store: CertificateStore, copy: Copy) -> tuple[str, ...]:
    """
    Return the names for which *copy* is newer than what this volume has.
    """
    return tuple(name for name in copy.metadata.names if copy.token > token_in_service(store, name))


def put_into_service(store: CertificateStore, copy: Copy) -> tuple[dict[str, Path], tuple[str, ...]]:
    """
    Store *copy*, and link each name for which it is newer.

    Returns:
        The directory of each name that is linked to a generation with the token of *copy*, and the names that
        this call linked. A process that was killed may have linked the others.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each name has its old certificate or the new
            one.
    """
    for name in wanted_names(store, copy):
        # The files of another program become a generation first, so that they always match.
        if store.links.target_of(name) == store.links.domain_dir(name):
            store.adopt(name)
    directory = store.links.generations / copy.identifier
    with store.changing():
        names = wanted_names(store, copy)
        if not names:
            return _linked(store, copy), ()
        if directory.exists() and not is_complete(directory):
            directory = new_directory(store.links.generations, copy.token)
        if not directory.exists():
            durable.make_directory(store.links.generations, once=True)
            build(directory, copy.certificate, copy.metadata)
        store.links.link(names, directory)
        for name in names:
            store.links.removed.forget(name)
        return _linked(store, copy), names


def remove(store: CertificateStore, name: str, token: int) -> bool:
    """
    Remove the certificate of *name* if its token is at most *token*; return whether this removal is new.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFault: The name may still be in service.
    """
    if token <= store.links.removed.token_of(name) and store.links.generation(name) is None:
        return False
    if (linked := store.links.generation(name)) and token_of(linked.name) > token:
        return False
    store.links.removed.add(name, token)
    store.remove(name)
    return True


def _linked(store: CertificateStore, copy: Copy) -> dict[str, Path]:
    linked = {name: store.links.generation(name) for name in copy.metadata.names}
    return {name: found for name, found in linked.items() if found and token_of(found.name) == copy.token}
