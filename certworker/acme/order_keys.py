"""
The private keys of orders under way, so that a crash after the signing request loses no certificate.

    STATE_DIR/orders/LABEL/HASH.pem        0600; HASH is that of the order's URL

The URL stands in Redis, where others can read; a key never leaves the state directory.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from certworker.certificates import KeyType, PrivateKey
from certworker.storage import durable
from certworker.storage.shared_directory import LEAST_AGE_SECONDS, SharedDirectory

KEY_MODE = 0o600
#: An RSA key of 4,096 bits has some three kilobytes.
LARGEST_KEY_BYTES = 64 * 1024
DIRECTORY_MODE = 0o700

#: No CA keeps an order for so long (Let's Encrypt: 7 days).
OLDEST = timedelta(days=8)


class OrderKeys:
    """
    The keys of the orders at one CA.

    Args:
        directory: STATE_DIR/orders/LABEL; made when it is needed.
        key_type: Of new keys.
        least_age_seconds: What is younger was not left behind by a crash.
    """

    def __init__(
        self, directory: Path, key_type: KeyType, *, least_age_seconds: float = LEAST_AGE_SECONDS
    ) -> None:
        self._directory = directory
        self._shared = SharedDirectory(directory, directory / "lock", least_age_seconds=least_age_seconds)
        self._key_type = key_type

    def find(self, order_url: str) -> PrivateKey | None:
        """
        The key of the order at *order_url*; None if there is none that can be used.
        """
        path = self._path(order_url)
        with durable.translate_os_errors(path):
            try:
                return PrivateKey.from_pem(durable.read(path, LARGEST_KEY_BYTES))
            except (FileNotFoundError, ValueError, durable.UnsuitableFile):
                return None

    def make(self, order_url: str) -> PrivateKey:
        """
        A new key for the order at *order_url*, kept before anybody sees its signing request.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It could not be kept.
        """
        key = PrivateKey.generate(self._key_type)
        durable.make_directory(self._directory, DIRECTORY_MODE)
        with self._shared.writing():
            durable.write(self._path(order_url), key.pem, KEY_MODE)
        return key

    def forget(self, order_url: str) -> None:
        """
        Remove the key of the order at *order_url*, if there is one.
        """
        path = self._path(order_url)
        with durable.translate_os_errors(path):
            # Should a power cut bring it back, the next start removes it.
            path.unlink(missing_ok=True)

    def remove_stale(self) -> None:
        """
        Remove the keys of orders that no CA knows any longer, and what a crash left half-written.
        """
        self._shared.remove_leftovers()
        before = time.time() - OLDEST.total_seconds()
        with durable.translate_os_errors(self._directory):
            if not self._directory.is_dir():
                return
            for path in self._directory.glob("*.pem"):
                # Another worker may be removing the same files.
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _path(self, order_url: str) -> Path:
        return self._directory / f"{hashlib.sha256(order_url.encode()).hexdigest()[:32]}.pem"
