"""
The encryption of bundles and responses: AES-256-GCM (NIST SP 800-38D) with the keys of the operator.

::

    "CW"  version (1 byte)  key id (8)  nonce (12)  ciphertext and tag (16 more bytes than the content)

The tag also protects everything before the nonce, and a context that both sides know. So a bundle is valid
only for its own kind and names, and a response only for its own token.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from certworker.errors.replication import BundleDamaged, BundleFromNewerVersion, WrongReplicationKey

KEY_BYTES = 32

MAGIC = b"CW"
VERSION = 1
ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = len(MAGIC) + 1 + ID_BYTES


class ReplicationKeys:
    """
    The keys of the operator.

    Args:
        keys: The keys in base64url. The first one encrypts, and all of them decrypt.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        decoded = [urlsafe_b64decode(key) for key in keys]
        self._ciphers = {_id_of(key): AESGCM(key) for key in decoded}
        self._first = _id_of(decoded[0])

    @staticmethod
    def generate() -> str:
        """
        Return a new random key in base64url.
        """
        return urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()

    def seal(self, content: bytes, context: bytes) -> bytes:
        """
        Return *content*, encrypted for *context*.
        """
        header, nonce = MAGIC + bytes([VERSION]) + self._first, secrets.token_bytes(NONCE_BYTES)
        return header + nonce + self._ciphers[self._first].encrypt(nonce, content, header + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """
        Return the content of *sealed*, which any program with access to Redis may have written.

        Raises:
            BundleDamaged: It is truncated or was changed, or was made for another context.
            BundleFromNewerVersion: A newer version of certworker made it.
            WrongReplicationKey: It was made with a key that this host does not have.
        """
        if len(sealed) < HEADER_BYTES + NONCE_BYTES + TAG_BYTES or not sealed.startswith(MAGIC):
            raise BundleDamaged(reason="it is truncated, or its header is invalid")
        if (version := sealed[len(MAGIC)]) != VERSION:
            raise BundleFromNewerVersion(found=version, known=VERSION)
        header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
        cipher = self._ciphers.get(header[-ID_BYTES:])
        if cipher is None:
            raise WrongReplicationKey()
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + context)
        except InvalidTag:
            raise BundleDamaged(reason="it was changed after its encryption") from None


def _id_of(key: bytes) -> bytes:
    return sha256(b"certworker replication key " + key).digest()[:ID_BYTES]
