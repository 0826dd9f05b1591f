"""
All that is known about one name: its certificate and chain, its files, and its place in the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from certworker.certificates import UNREADABLE, ChainLink, links_in, only_certificates
from certworker.dashboard.names import find_name
from certworker.dashboard.sources import Sources
from certworker.domains import normalize
from certworker.errors import CertworkerError, printable
from certworker.renewal.domain_status import DomainStatus
from certworker.storage import durable
from certworker.storage.metadata import PEM_FILES
from certworker.worker.producer import queue_length
from certworker.worker.queue_stats import queued_name

#: The maximum size of a chain in bytes. A chain of ten large certificates has a tenth of this size.
LARGEST_CHAIN = 1024 * 1024

#: In a longer queue, a search for one name takes too long.
LONGEST_SEARCHED_QUEUE = 2_000


@dataclass(frozen=True)
class CertificateDetails:
    """
    The certificate that serves a name.
    """

    key_type: str
    serial: str
    #: The ACME profile that the settings request; empty for the default of the CA.
    profile: str
    issuer: str
    #: From the certificate upward.
    chain: tuple[ChainLink, ...]


@dataclass(frozen=True)
class NameDetails:
    """
    All that is known about one name.
    """

    status: DomainStatus
    #: None without a readable certificate.
    certificate: CertificateDetails | None
    #: The paths of `cert`, `chain`, `fullchain` and `privkey`; empty without a certificate.
    files: Mapping[str, str]
    tenant: str
    #: The wildcard that covers a name without a certificate of its own; empty for any other name.
    covered_by: str
    #: The position of the first request for the name on the queue. None: there is no request, the queue is
    #: very long, or Redis does not permit the search.
    queue_position: int | None


def name_details(sources: Sources, name: str, tenant: str | None = None) -> NameDetails | None:
    """
    Return the details of *name*; None if it is invalid, unknown, or of another tenant than *tenant*.

    Raises:
        redis.RedisError: Redis failed.
    """
    status = find_name(sources, name, tenant)
    if status is None:
        return None
    directory = _directory(sources, status)
    short = queue_length(sources.connection) <= LONGEST_SEARCHED_QUEUE
    return NameDetails(
        status=status,
        certificate=_certificate(sources, directory) if directory else None,
        files=({file.removesuffix(".pem"): str(directory / file) for file in PEM_FILES} if directory else {}),
        tenant=status.tenant or sources.records.tenant_of(status.name),
        covered_by=status.by,
        queue_position=queued_name(sources.connection, status.name).position if short else None,
    )


def certificate_chain(sources: Sources, name: str) -> bytes | None:
    """
    Return the certificate that serves the known *name*, with its chain, in PEM.

    Return None if there is no certificate, or if it cannot be read.
    """
    name = normalize(name, private=True, wildcards=True)
    try:
        metadata, wildcard = sources.certificates.serving(name)
        directory = sources.certificates.links.domain_dir(wildcard or name)
        chain = durable.read(directory / "fullchain.pem", LARGEST_CHAIN) if metadata else b""
    except (OSError, CertworkerError):
        return None
    return only_certificates(chain) or None


def _directory(sources: Sources, status: DomainStatus) -> Path | None:
    return sources.certificates.links.domain_dir(status.by or status.name) if status.not_after else None


def _certificate(sources: Sources, directory: Path) -> CertificateDetails | None:
    try:
        chain = links_in(durable.read(directory / "fullchain.pem", LARGEST_CHAIN))
    except (OSError, *UNREADABLE):
        return None
    shown = tuple(
        replace(each, subject=printable(each.subject), issuer=printable(each.issuer)) for each in chain
    )
    leaf = shown[0]
    return CertificateDetails(leaf.key_type, leaf.serial, sources.settings.profile or "", leaf.issuer, shown)
