"""
The dynamic configuration for Traefik's HTTP provider, with certificates and keys in PEM.

Traefik polls every few seconds, and reads all certificates again after each change. So this module
builds the configuration once for each change, and rejects a volume with too many names.
"""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeReadOnly
from certworker.storage.certificate_store import CertificateStore
from certworker.web.proxies.certificate import KeyPair, read_key_pair

logger = logging.getLogger(__name__)

#: With more names, each poll transfers more than 10 MB, and each change occupies Traefik for seconds.
MOST_NAMES = 2_000

#: How long an unreadable certificate prevents a new configuration. If no other certificate is readable, it
#: always does. Most faults of a file system are short, and Traefik stops serving an omitted certificate
#: immediately.
PATIENCE_SECONDS = 60.0

#: The fastest level. Higher levels take much longer, and keys hardly compress.
GZIP_LEVEL = 1


class TooManyNames(Exception):
    """
    The volume has more names than Traefik can read at each change.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"The volume has {count:,} names, but this configuration can have at most {MOST_NAMES:,}."
        )


@dataclass(frozen=True)
class Configuration:
    """
    The configuration for Traefik.

    Attributes:
        compressed: The JSON document, compressed by gzip.
        version: Identifies the content.
        count: The number of certificates.
    """

    compressed: bytes
    version: str
    count: int


class TraefikConfiguration:
    """
    Builds the configuration once for each change of the volume.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._built: tuple[Mapping[str, Path], Configuration] | None = None
        self._logged: set[Path] = set()
        #: The directories that cannot be read, with the time of the first failure.
        self._unreadable: dict[Path, float] = {}

    def current(self, certificates: CertificateStore) -> Configuration:
        """
        Return the configuration with all certificates in service. A damaged certificate is left out.

        Args:
            certificates: The store with the certificates.

        Raises:
            TooManyNames: There are more than :data:`MOST_NAMES` names.
            VolumeReadOnly, VolumeFault: The volume or a certificate cannot be read, so Traefik continues with
                its last configuration. A certificate that stays unreadable is left out later, if others are
                readable.
        """
        with self._lock:
            names = certificates.links.live()
            if len(names) > MOST_NAMES:
                raise TooManyNames(len(names))
            served = {name: target for name in names if (target := certificates.links.target_of(name))}
            if self._built is None or self._built[0] != served:
                built = self._build(certificates, served)
                # The next call reads unreadable files again.
                self._built = None if self._unreadable else (served, built)
                return built
            return self._built[1]

    def _build(self, certificates: CertificateStore, served: Mapping[str, Path]) -> Configuration:
        found, failures = dict[Path, KeyPair](), dict[Path, CertworkerError]()
        for name, directory in served.items():
            if directory in found or directory in failures:
                continue
            try:
                pair = read_key_pair(certificates, name, directory)
            except CertworkerError as failure:
                if directory not in self._logged:
                    logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
                self._logged.add(directory)
                if isinstance(failure, VolumeReadOnly | VolumeFault):
                    failures[directory] = failure
                continue
            if pair:
                found[directory] = pair
        self._logged.intersection_update(served.values())
        self._raise_if_recent(failures, has_others=bool(found))
        entries = [
            {
                "certFile": pair.chain.decode("ascii", "replace"),
                "keyFile": pair.key.decode("ascii", "replace"),
            }
            for pair in found.values()
        ]
        # Traefik rejects an empty list.
        document = json.dumps({"tls": {"certificates": entries}} if entries else {}).encode()
        return Configuration(
            gzip.compress(document, GZIP_LEVEL, mtime=0), sha256(document).hexdigest(), len(entries)
        )

    def _raise_if_recent(self, failures: Mapping[Path, CertworkerError], *, has_others: bool) -> None:
        now = self._clock()
        self._unreadable = {directory: self._unreadable.get(directory, now) for directory in failures}
        for directory, failure in failures.items():
            if not has_others or now - self._unreadable[directory] < PATIENCE_SECONDS:
                raise failure
