"""
The private keys of pending orders. With them, a crash after the signing request loses no certificate.

    STATE_DIR/orders/LABEL/HASH.pem        mode 0600; HASH is a hash of the order's URL

Redis has only the URL, because other programs read Redis. The certificate is later stored with its key.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from certworker.certificates import KeyType, PrivateKey
from certworker.storage import durable

KEY_MODE = 0o600
#: An RSA key of 4,096 bits takes about 3 kB.
LARGEST_KEY_BYTES = 64 * 1024
DIRECTORY_MODE = 0o700

#: Older keys are removed. certworker resumes no order after more than 7 days.
OLDEST = timedelta(days=8)


class OrderKeys:
    """
    The keys of the pending orders with one CA.

    Args:
        directory: STATE_DIR/orders/LABEL, created with the first key.
        key_type: The type of new keys.
    """

    def __init__(self, directory: Path, key_type: KeyType) -> None:
        self._directory = directory
        self._key_type = key_type

    def find(self, order_url: str) -> PrivateKey | None:
        """
        Return the key of the order at *order_url*, or None if there is no usable key.

        Raises:
            VolumeReadOnly, VolumeFault: The key cannot be read.
        """
        path = self._path(order_url)
        with durable.translate_os_errors(path):
            try:
                return PrivateKey.from_pem(durable.read(path, LARGEST_KEY_BYTES))
            except (FileNotFoundError, ValueError, durable.UnsuitableFile):
                return None

    def make(self, order_url: str) -> PrivateKey:
        """
        Store and return a new key for the order at *order_url*.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The key cannot be stored.
        """
        key = PrivateKey.generate(self._key_type)
        durable.make_directory(self._directory, DIRECTORY_MODE, once=True)
        # The file needs no temporary name: after a power cut, an incomplete key counts as missing.
        durable.create(self._path(order_url), key.pem, KEY_MODE)
        return key

    def forget(self, order_url: str) -> None:
        """
        Remove the key of the order at *order_url*, if there is one.
        """
        path = self._path(order_url)
        with durable.translate_os_errors(path):
            # If a power cut restores the file, :meth:`remove_stale` removes it later.
            path.unlink(missing_ok=True)

    def remove_stale(self) -> None:
        """
        Remove the keys of orders that are too old to resume, even incomplete ones after a crash.
        """
        before = time.time() - OLDEST.total_seconds()
        # Before the first key, there is no directory. Another worker may be removing the same files.
        with durable.translate_os_errors(self._directory), suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                with suppress(FileNotFoundError):
                    if path.suffix == ".pem" and path.stat().st_mtime < before:
                        path.unlink()

    def _path(self, order_url: str) -> Path:
        return self._directory / f"{hashlib.sha256(order_url.encode()).hexdigest()[:32]}.pem"
