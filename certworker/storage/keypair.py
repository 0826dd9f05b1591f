"""
Reads a certificate and its key from a directory, and checks that they match.

The metadata of a certificate without `meta.json` is inferred from the certificate.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from certworker.errors import printable
from certworker.errors.acme import BadCertificate
from certworker.errors.fs import CertificateUnreadable, KeyPairBroken
from certworker.storage import durable
from certworker.storage.metadata import IMPORTED, NAME, CertificateMetadata, comparable, token_of

if TYPE_CHECKING:
    from certworker.certificates import Certificate

logger = logging.getLogger(__name__)

#: The maximum size of a file. A chain has a few kilobytes.
LARGEST_PEM_BYTES = 1024 * 1024

#: Marks in the names of issuers: Let's Encrypt's staging environment, and the development CA.
_KINDS = {"(STAGING)": "staging", "certworker": "development"}


@dataclass(frozen=True)
class StoredCertificate:
    """
    A certificate on the volume.
    """

    certificate: Certificate
    metadata: CertificateMetadata
    #: An absolute path. Its contents never change, unless another program put the files there.
    directory: Path


def load(directory: Path, name: str) -> Certificate:
    """
    Return the certificate of *name* in *directory*, with its key.

    Raises:
        CertificateUnreadable: A file is missing, empty or too large, or is a pipe, a socket or a device, or
            the key is unreadable, encrypted or of an unsupported type.
        KeyPairBroken: The certificate is unreadable or does not match the key, or its dates or its chain are
            invalid.
        VolumeReadOnly, VolumeFault: The files exist, but cannot be read.
        SchemaTooNew: A newer version of certworker wrote the metadata.
    """
    # The import is here, because commands that only show the status need no cryptography.
    from certworker.certificates import Certificate, PrivateKey

    fullchain = _content(directory / "fullchain.pem", name)
    key = _content(directory / "privkey.pem", name)
    try:
        certificate = Certificate.from_pem(fullchain, PrivateKey.from_pem(key))
    except BadCertificate as failure:
        raise KeyPairBroken(path=directory, name=name, reason=failure.reason) from failure
    except ValueError as error:
        raise CertificateUnreadable(
            path=directory / "privkey.pem",
            name=name,
            reason="it is not an unencrypted elliptic-curve or RSA key",
        ) from error
    if not certificate.chain_pem and not _may_lack_chain(directory):
        raise KeyPairBroken(path=directory, name=name, reason="fullchain.pem has no chain")
    return certificate


def _may_lack_chain(directory: Path) -> bool:
    # The root of a private CA may have signed the certificate directly. An operator may import one without a
    # chain.
    metadata = CertificateMetadata.read(directory)
    return metadata is not None and metadata.kind in ("private", IMPORTED)


def stored_in(directory: Path, name: str) -> StoredCertificate | None:
    """
    Return the certificate for *name* in *directory*; None, with a warning, if it is unusable.

    Raises:
        VolumeReadOnly, VolumeFault: The files cannot be read.
        SchemaTooNew: A newer version of certworker wrote the metadata.
    """
    try:
        certificate = load(directory, name)
    except (KeyPairBroken, CertificateUnreadable) as failure:
        metadata = CertificateMetadata.read(directory)
        # The remedy does not apply to an imported certificate, for which the job reports another one.
        text = failure.message if metadata and metadata.is_imported else failure
        logger.warning("%s", text, extra={"domain": name, "code": failure.code})
        return None
    return StoredCertificate(
        certificate,
        CertificateMetadata.read(directory) or inferred_metadata(certificate, directory),
        directory,
    )


def inferred_metadata(certificate: Certificate, directory: Path) -> CertificateMetadata:
    """
    Return the metadata of a certificate of another program in *directory*, or of one without `meta.json`.

    The certificate counts as public unless its issuer has a known mark, so that no untrusted one replaces it.
    """
    kind = next((kind for mark, kind in _KINDS.items() if mark in certificate.issuer), "public")
    metadata = CertificateMetadata.of(
        certificate, authority="", kind=kind, generation=token_of(directory.name)
    )
    return replace(metadata, names=tuple(name for name in metadata.names if NAME.fullmatch(name)))


def fits(stored: StoredCertificate, name: str) -> bool:
    """
    Return whether *stored* is for *name*; if not, log a warning that lists its names.
    """
    if name in stored.metadata.names:
        return True
    reason = f"it is for {_shown(stored.certificate.names)}"
    failure = KeyPairBroken(path=stored.directory, name=name, reason=reason)
    logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
    return False


def report_adopted(stored: StoredCertificate, name: str, names: Sequence[str]) -> None:
    """
    Log that *stored*, the certificate of *name*, is adopted, and which of its names are not among *names*.
    """
    log_adopted(name, stored.metadata)
    if left_out := [each for each in comparable(stored.certificate.names) if each not in names]:
        logger.warning(
            "the next certificate will not include %s, which certworker cannot renew",
            _shown(left_out),
            extra={"domain": name},
        )


def log_adopted(name: str, metadata: CertificateMetadata) -> None:
    """
    Log that the certificate of *name* with this *metadata* is adopted.
    """
    logger.info(
        "adopted: issued by %s, valid until %s",
        metadata.issuer,
        f"{metadata.not_after:%Y-%m-%d %H:%M} UTC",
        extra={"domain": name, "event": "adopted"},
    )


def _shown(names: Sequence[str]) -> str:
    return printable(", ".join(names), 200)


def _content(path: Path, name: str) -> bytes:
    with durable.translate_os_errors(path):
        try:
            content = durable.read(path, LARGEST_PEM_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise CertificateUnreadable(path=path, name=name, reason="it is missing") from None
        except durable.UnsuitableFile as error:
            raise CertificateUnreadable(path=path, name=name, reason=error.strerror) from error
    if not content.strip():
        raise CertificateUnreadable(path=path, name=name, reason="it is empty")
    return content


def covering_all(
    names: tuple[str, ...], in_service: Sequence[StoredCertificate | None]
) -> StoredCertificate | None:
    """
    Return the certificate that serves all of *names*, with its metadata reduced to them; None: there is none.

    Args:
        names: At least one name.
        in_service: The certificate in service for each of *names*, in their order; None for a name without
            one.
    """
    # A name that joined the set is not in the certificate. A name that lost its files is not served.
    first = in_service[0]
    if first is None or not set(names) <= set(first.metadata.names):
        return None
    if not all(other and other.directory == first.directory for other in in_service):
        return None
    return replace(first, metadata=replace(first.metadata, names=names))
