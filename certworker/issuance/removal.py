"""
Removes a name: from the proxy first, then from the volume, then from Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from certworker.domains import covering_wildcard, is_wildcard
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import DomainLocks
from certworker.state.sightings import Sightings
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import serves
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """
    Removes names from the proxy, the volume and Redis.
    """

    store: CertificateStore
    traefik: TraefikConfig
    locks: DomainLocks
    records: DomainRecords
    agenda: Agenda
    sightings: Sightings
    #: Enqueues a request for a certificate.
    request: Callable[[tuple[str, ...]], object]
    #: Removes the pending orders for exactly these names.
    forget_orders: Callable[[tuple[str, ...]], object]
    clock: Callable[[], datetime]

    def remove(self, name: str) -> bool:
        """
        Remove *name* and its certificate. A wildcard in service may still serve the name.

        The method requests a certificate without *name* for the other names of its certificate. Otherwise,
        the next renewal would restore *name*. Until the new certificate is in service, the other names keep
        the current one. If *name* is a wildcard, the method also plans an immediate check of the names that
        relied on it.

        Returns:
            Whether *name* was known.

        Raises:
            AlreadyInProgress: A job for *name* is running.
            TokenOutOfBounds: The next fencing token has too many digits.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault, SchemaTooNew: *name* is still in service,
                or its files remain.
            redis.RedisError: Redis failed.
        """
        with self.locks.hold([name]) as lease:
            metadata, record = self.store.last_metadata(name), self.records.read(name)
            had_own = self.store.links.generation(name) is not None
            known = metadata is not None or name in self.agenda or record is not None
            known = known or self.store.covered.wildcard_of(name) is not None
            self.traefik.remove(name)
            self.store.remove(name, lease.token)
            self.store.covered.remove(name)
            # Remove the file again: a repair that read the volume earlier may have written it in the
            # meantime.
            self.traefik.remove(name)
            self.agenda.remove(name)
            self.records.forget(name)
            self.sightings.forget(name)
            for names in {(name,), *(item.names for item in (metadata, record) if item)}:
                self.forget_orders(names)
            if is_wildcard(name):
                self._request_covered(name)
        others: tuple[str, ...] = ()
        if metadata:
            others = tuple(
                each for each in metadata.names if each != name and serves(self.store, each, metadata)
            )
        if others:
            self.request(others)
        _log(name, others, known=known, had_own=had_own, wildcard=self._serving_wildcard(name))
        return known

    def forget_check(self, name: str) -> None:
        """
        Remove *name*, which another host has removed, from the agenda, unless it has been requested since.

        Until this host removes the certificate of *name*, its checks may add the name to the agenda again.

        Raises:
            redis.RedisError: Redis failed.
        """
        self.agenda.remove(name)
        # A request may fail at the same time. Its next attempt must stay planned.
        if record := self.records.read(name):
            self.agenda.put_many({name: record.next_check or self.clock()}, at_the_latest=True)

    def _serving_wildcard(self, name: str) -> str:
        """
        Return the wildcard whose certificate in service covers *name*; empty if there is none.
        """
        wildcard = covering_wildcard(name)
        metadata = self.store.metadata(wildcard) if wildcard else None
        return wildcard if wildcard and metadata and self.clock() < metadata.not_after else ""

    def _request_covered(self, wildcard: str) -> None:
        # After a crash before this line, the next reconciliation plans the checks.
        now, names = self.clock(), self.store.covered.relying_on(wildcard)
        if names:
            self.agenda.put_many(dict.fromkeys(names, now), at_the_latest=True)
            logger.info(
                "planned an immediate check of the names that relied on this wildcard: %d",
                len(names),
                extra={"domain": wildcard, "event": "audit"},
            )


def _log(name: str, others: tuple[str, ...], *, known: bool, had_own: bool, wildcard: str) -> None:
    if not known:
        text = "unknown name; nothing was taken out of service"
    elif wildcard:
        text = f"removed; the certificate for {wildcard} still serves the name"
    elif not had_own:
        text = "removed; certworker had no certificate for the name"
    else:
        text = "taken out of service"
    requested = f"; a new certificate is requested for {', '.join(others)}" if others else ""
    logger.info("%s%s", text, requested, extra={"domain": name, "event": "audit"})
