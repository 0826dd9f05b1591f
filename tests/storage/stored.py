"""
Store certificates on a volume, and compare them.
"""

from __future__ import annotations

from pathlib import Path

from certworker.certificates import Certificate
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import META, PEM_FILES, SCHEMA

NAME = "shop.example.com"


def store(volume: CertificateStore, certificate: Certificate, token: int = 1) -> StoredCertificate:
    """
    Store *certificate* as one of a public CA.
    """
    return volume.store(certificate, authority="letsencrypt", kind="public", token=token)


def content(stored: StoredCertificate | None) -> tuple[object, ...]:
    """
    Return the values that are equal for two reads of one certificate. Keys compare by their PEM.
    """
    if stored is None:
        return ()
    certificate = stored.certificate
    return stored.directory, stored.metadata, certificate.fullchain_pem, certificate.key.pem


def make_newer(generation: Path) -> None:
    """
    Change the metadata of *generation* to that of a newer version of certworker.
    """
    meta = generation / META
    meta.write_text(meta.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 1}'))


def write_plain_files(volume: CertificateStore, name: str, certificate: Certificate) -> Path:
    """
    Write four plain files, as Appwrite's own worker does.
    """
    directory = volume.directory / name
    directory.mkdir(parents=True, exist_ok=True)
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    for file, content in zip(PEM_FILES, contents, strict=True):
        (directory / file).unlink(missing_ok=True)
        (directory / file).write_bytes(content)
    return directory
