"""
The certificate and the key for a server name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from certworker.domains import covering_wildcard, normalize
from certworker.errors import CertworkerError
from certworker.errors.fs import CertificateUnreadable
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import LARGEST_PEM_BYTES

PEM_BEGINS = b"-----BEGIN "


@dataclass(frozen=True)
class KeyPair:
    """
    A certificate in service, with its key.

    Attributes:
        name: The name or the wildcard on the volume.
        version: Identifies the certificate: each renewal has another version.
        chain: The certificate and its chain, in PEM.
        key: The private key, in PEM.
    """

    name: str
    version: str
    chain: bytes
    key: bytes


def name_in(text: str) -> str | None:
    """
    Return the normalized name in *text*, which a client of the proxy has sent; None if it is not valid.
    """
    try:
        return normalize(text, private=True, wildcards=True)
    except CertworkerError:
        return None


def key_pair_for(certificates: CertificateStore, name: str) -> KeyPair | None:
    """
    Return the certificate for the normalized *name*: its own, or that of the wildcard directly above it.

    Return None if there is none, or if its files are those of another program and unusable.

    Raises:
        CertificateUnreadable: A file of certworker is missing or damaged.
        VolumeReadOnly, VolumeFault: The files cannot be read.
    """
    for candidate in filter(None, (name, covering_wildcard(name))):
        if directory := certificates.links.target_of(candidate):
            return read_key_pair(certificates, candidate, directory)
    return None


def read_key_pair(certificates: CertificateStore, name: str, directory: Path) -> KeyPair | None:
    """
    Return the certificate of *name* in *directory*; None if the files of another program are unusable.

    Raises:
        CertificateUnreadable: A file of certworker is missing or damaged.
        VolumeReadOnly, VolumeFault: The files cannot be read.
    """
    if directory.parent == certificates.links.generations:
        # The content of a generation never changes, and was checked before it was stored.
        return KeyPair(
            name, directory.name, *(_pem(directory / file, name) for file in ("fullchain.pem", "privkey.pem"))
        )
    stored = certificates.current(name)
    if stored is None:
        return None
    certificate = stored.certificate
    return KeyPair(name, certificate.serial, certificate.fullchain_pem, certificate.key.pem)


def _pem(path: Path, name: str) -> bytes:
    with durable.translate_os_errors(path):
        try:
            content = durable.read(path, LARGEST_PEM_BYTES)
        except (FileNotFoundError, NotADirectoryError, durable.UnsuitableFile) as error:
            raise CertificateUnreadable(path=path, name=name, reason=error.strerror) from error
    if not content.startswith(PEM_BEGINS):
        raise CertificateUnreadable(path=path, name=name, reason="it is not PEM")
    return content if content.endswith(b"\n") else content + b"\n"
