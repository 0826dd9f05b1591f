"""
The CA's keys: they live as long as the state directory, so that a browser has to trust only one root.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certworker.devca.signer import Signer
from certworker.storage import durable

#: The certificate for the browser; the keys stand in KEYS_FILE, readable by the owner only.
ROOT_FILE = "root.pem"
KEYS_FILE = "authority.pem"


@dataclass(frozen=True)
class Hierarchy:
    """
    The root and the intermediate that signs for it.
    """

    root: Signer
    intermediate: Signer

    @classmethod
    def open(cls, directory: Path, now: datetime) -> Hierarchy:
        """
        The hierarchy kept in *directory*; made there, once, by whoever comes first.
        """
        durable.make_directory(directory)
        with _exclusive(directory / f"{KEYS_FILE}.lock"):
            keys = directory / KEYS_FILE
            if keys.exists():
                hierarchy = cls._from_pem(keys.read_bytes())
            else:
                hierarchy = cls._make(now)
                durable.write(keys, hierarchy._pem, 0o600)
            durable.write(directory / ROOT_FILE, hierarchy.root.pem, 0o644)
        return hierarchy

    @classmethod
    def _make(cls, now: datetime) -> Hierarchy:
        # The mark tells the roots of two installations apart in the list of a browser.
        mark = secrets.token_hex(3)
        root = Signer.root(f"certworker development root {mark}", now)
        return cls(root, root.intermediate(f"certworker development {mark}", now))

    @classmethod
    def _from_pem(cls, pem: bytes) -> Hierarchy:
        certificates = x509.load_pem_x509_certificates(pem)
        end = b"-----END PRIVATE KEY-----\n"
        signers = []
        for certificate, part in zip(certificates, pem.split(end), strict=False):
            key = load_pem_private_key(part[part.index(b"-----BEGIN PRIVATE") :] + end, password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (our own file)
            signers.append(Signer(certificate, key))
        return cls(*signers)

    @property
    def _pem(self) -> bytes:
        return b"".join(
            signer.pem + signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            for signer in (self.root, self.intermediate)
        )


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
