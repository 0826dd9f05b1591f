"""
Thousands of certificates on a volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from certworker.certificates import Certificate, PrivateKey
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate

LIFETIME = timedelta(days=90)


def stored(volume: CertificateStore, names: Iterable[str], now: datetime) -> Iterator[StoredCertificate]:
    """
    Store a certificate for each of *names*, issued at *now*.
    """
    # The measured code reads the metadata, not the PEM files, so one key is enough.
    key = PrivateKey.generate()
    certificate = Certificate(
        names=(),
        cert_pem=key.pem,
        chain_pem=key.pem,
        key=key,
        not_before=now,
        not_after=now + LIFETIME,
        serial="1",
        issuer="Bench CA",
        renewal_id="",
    )
    for name in names:
        yield volume.store(replace(certificate, names=(name,)), authority="bench", kind="private", token=1)
