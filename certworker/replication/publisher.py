"""
Publishes the certificates and the removals of this host for the other hosts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis import Redis

from certworker.errors import CertworkerError
from certworker.redis.failures import explainer
from certworker.replication.bundle import RemovedName, copy_of, encode
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BundleStream
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.replica import Copy
from certworker.supervision import optional

logger = logging.getLogger(__name__)


def open_store(
    directory: Path,
    keys: Sequence[str],
    connection: Redis,
    renewable: Callable[[str], bool] = lambda _name: True,
) -> CertificateStore:
    """
    Return the store of the certificates in *directory*, whose changes are published on *connection*.

    Args:
        keys: The keys of the operator; the first one encrypts. Without a key, nothing is published.
        renewable: Returns whether certworker can renew a name of an adopted certificate.
    """
    if not keys:
        return CertificateStore(directory, renewable=renewable)
    publisher = Publisher(BundleStream(connection), ReplicationKeys(keys), explainer(connection))
    store = CertificateStore(
        directory, renewable=renewable, on_change=lambda names: publisher.publish(store, names)
    )
    return store


@dataclass(frozen=True)
class Publisher:
    """
    Publishes bundles on the stream.
    """

    stream: BundleStream
    keys: ReplicationKeys
    #: Returns the CertworkerError for an exception of Redis, or None for any other.
    explain: Callable[[BaseException], CertworkerError | None]

    def publish(self, store: CertificateStore, names: Sequence[str]) -> None:
        """
        Publish the certificate of each of *names*, or its removal.

        A failure of Redis is only logged, because the change has already taken effect on this host. The other
        hosts find it when they compare their names with those of this host. A bundle that is too large is
        logged as well.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
            SchemaTooNew: A newer version of certworker wrote the metadata.
        """
        for name, item in self._items(store, names):
            add = partial(self._add, item)
            optional(f"the replication of {name}", add, None, self.explain)

    def entries(self, store: CertificateStore, name: str) -> list[dict[str, bytes]]:
        """
        Return the entries for *name*, without publishing them.

        A certificate that cannot be read, or is too large, is logged and skipped.
        """
        return optional(f"the replication of {name}", partial(self._entries, store, name), [], self.explain)

    def _entries(self, store: CertificateStore, name: str) -> list[dict[str, bytes]]:
        return [encode(item, self.keys) for _, item in self._items(store, [name])]

    def _add(self, item: Copy | RemovedName) -> None:
        self.stream.add(encode(item, self.keys))

    def _items(
        self, store: CertificateStore, names: Sequence[str]
    ) -> Iterator[tuple[str, Copy | RemovedName]]:
        seen = set()
        for name in names:
            directory = store.links.generation(name)
            if directory is None:
                if (token := store.links.removed.token_of(name)) >= 0:
                    yield name, RemovedName(name, token)
            elif directory not in seen:
                seen.add(directory)
                stored = store.current(name)
                if stored and stored.directory == directory:
                    linked = map(store.links.generation, stored.metadata.names)
                    pairs = zip(stored.metadata.names, linked, strict=True)
                    serving = tuple(each for each, generation in pairs if generation == directory)
                    yield name, copy_of(stored, serving)
