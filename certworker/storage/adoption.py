"""
Adopts the certificates and keys of other programs, many at a time: the disk syncs many changes together.

For ten thousand certificates, this takes a quarter of the time that calls of :meth:`CertificateStore.adopt`
take. That method handles the certificates that this module skips, for example those with several names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import inferred_metadata, load, log_adopted
from certworker.storage.metadata import GENERATIONS, CertificateMetadata, build, new_directory
from certworker.supervision import beat

#: The maximum number of certificates that are adopted while the lock is held. Jobs wait for this lock.
PAIRS_PER_LOCK = 100
WRITERS = 8


def adopt_together(store: CertificateStore, names: Iterable[str]) -> dict[str, CertificateMetadata]:
    """
    Adopt the files of other programs in `DOMAIN/` for those of *names* whose certificate has no other name.

    Readers find the same content as before. Files that cannot be adopted here stay unchanged, as do those of
    names that certworker cannot renew. The `on_change` of *store* is not called: other hosts find the adopted
    certificates when they compare their names with those of this host.

    Returns:
        The metadata of the adopted certificates, by name.

    Raises:
        VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Some certificates are not adopted.
    """
    links, adopted = store.links, dict[str, CertificateMetadata]()
    plain = (
        name
        for name in names
        if links.is_foreign(name) and links.generation(name) is None and store.renewable(name)
    )
    with ThreadPoolExecutor(WRITERS) as threads:
        while batch := list(islice(plain, PAIRS_PER_LOCK)):
            beat()
            with store.changing():
                built = _built(store, batch, threads)
                links.activate_each({name: directory for name, (directory, _) in built.items()})
                # list() reads each result, so that a failure of any name is raised here.
                list(threads.map(links.create_links, built))
            for name, (_, metadata) in built.items():
                log_adopted(name, metadata)
                adopted[name] = metadata
    return adopted


def _built(
    store: CertificateStore, names: Sequence[str], threads: ThreadPoolExecutor
) -> Mapping[str, tuple[Path, CertificateMetadata]]:
    durable.make_directory(store.directory / GENERATIONS, once=True)
    found = threads.map(partial(_build, store), names)
    return {name: each for name, each in zip(names, found, strict=True) if each}


def _build(store: CertificateStore, name: str) -> tuple[Path, CertificateMetadata] | None:
    """
    Copy the files of *name* into a new generation, and return it with its metadata; None: they are skipped.
    """
    directory = store.links.domain_dir(name)
    with suppress(Exception):  # the caller calls adopt(), which reports the failure
        certificate = load(directory, name)
        metadata = CertificateMetadata.read(directory) or inferred_metadata(certificate, directory)
        if metadata.names == (name,):
            generation = new_directory(store.directory / GENERATIONS, metadata.generation)
            build(generation, certificate, metadata)
            return generation, metadata
    return None
