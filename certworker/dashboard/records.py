"""
The DNS records that a name needs, and which of them exist now.
"""

from __future__ import annotations

from threading import BoundedSemaphore

from certworker.dashboard.sources import Sources
from certworker.doctor.records import NeededRecord, RecordCheck
from certworker.domains import normalize

#: How many requests may wait for name servers at the same time. They must not use all threads of the server.
MOST_AT_A_TIME = 4
_places = BoundedSemaphore(MOST_AT_A_TIME)


class TooManyQueries(Exception):
    """
    Too many other requests are waiting for name servers.
    """


def records(sources: Sources, name: str) -> tuple[NeededRecord, ...]:
    """
    Return the DNS records that *name* needs, compared with those that the authoritative servers return now.

    Raises:
        CertworkerError: *name* is invalid, DNS or the CA does not answer, no DNS provider serves the name, or
            the target has no address.
        TooManyQueries: :data:`MOST_AT_A_TIME` other requests are waiting for name servers.
        redis.RedisError: Redis failed.
    """
    settings = sources.settings
    normalized = normalize(name, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
    if not _places.acquire(blocking=False):
        raise TooManyQueries
    try:
        return RecordCheck(settings, sources.connection)(normalized)
    finally:
        _places.release()
