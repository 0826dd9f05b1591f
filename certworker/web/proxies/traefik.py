"""
The dynamic configuration for Traefik's HTTP provider, with certificates and keys in PEM.

Traefik polls every few seconds, and reads all certificates again after each change. So the configuration is
built once for each change, and a larger number of names is refused.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from certworker.errors import CertworkerError
from certworker.storage.certificate_store import CertificateStore
from certworker.web.proxies.certificate import KeyPair, read_key_pair

logger = logging.getLogger(__name__)

#: With more names, each poll has more than 10 MB, and each change occupies Traefik for seconds.
MOST_NAMES = 2_000

#: The fastest level. Others need much longer for keys, which do not compress.
GZIP_LEVEL = 1


class TooManyNames(Exception):
    """
    The volume has more names than Traefik can read at each change.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"The volume has {count:,} names, and this configuration has at most {MOST_NAMES:,}."
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

    def __init__(self) -> None:
        self._lock = Lock()
        self._built: tuple[Mapping[str, Path], Configuration] | None = None
        self._logged: set[Path] = set()

    def current(self, certificates: CertificateStore) -> Configuration:
        """
        Return the configuration with all *certificates* in service. A damaged one is left out.

        Raises:
            TooManyNames: There are more than :data:`MOST_NAMES` names.
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        with self._lock:
            names = certificates.links.live()
            if len(names) > MOST_NAMES:
                raise TooManyNames(len(names))
            served = {name: target for name in names if (target := certificates.links.target_of(name))}
            if self._built is None or self._built[0] != served:
                self._built = served, self._build(certificates, served)
            return self._built[1]

    def _build(self, certificates: CertificateStore, served: Mapping[str, Path]) -> Configuration:
        found: dict[Path, KeyPair] = {}
        for name, directory in served.items():
            if directory in found:
                continue
            try:
                pair = read_key_pair(certificates, name, directory)
            except CertworkerError as failure:
                if directory not in self._logged:
                    logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
                self._logged.add(directory)
                continue
            if pair:
                found[directory] = pair
        self._logged.intersection_update(served.values())
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
