"""
The DNS records that a name needs, and which of them exist now.
"""

from __future__ import annotations

from certworker.dashboard.sources import Sources
from certworker.doctor.records import NeededRecord, RecordCheck
from certworker.domains import normalize


def records(sources: Sources, name: str) -> tuple[NeededRecord, ...]:
    """
    Return the DNS records that the owner of *name* must create, as the authoritative servers show them now.

    Raises:
        CertworkerError: *name* is invalid, or DNS does not answer.
    """
    settings = sources.settings
    normalized = normalize(name, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
    return RecordCheck(settings, sources.connection)(normalized)
