"""
The end of a name: out of the proxy first, then off the volume, then forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import DomainLocks
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """
    Takes names out of service.
    """

    volume: CertificateStore
    traefik: TraefikConfig
    locks: DomainLocks
    records: DomainRecords
    agenda: Agenda
    #: Requests a certificate.
    request: Callable[[tuple[str, ...]], object]
    #: Forgets the pending orders for these very names.
    forget_orders: Callable[[tuple[str, ...]], object]

    def remove(self, name: str) -> bool:
        """
        Take *name* out of service and renew it no more; whether it was known.

        Names that shared its certificate keep it, and get one without *name* as soon as possible: or the
        next renewal would bring it back.

        Raises:
            AlreadyInProgress: A certificate for it is being issued.
            VolumeLocked, VolumeReadOnly, VolumeFault: It is still in service, or its files are still there.
        """
        with self.locks.hold([name]):
            metadata, record = self.volume.last_metadata(name), self.records.read(name)
            known = metadata is not None or name in self.agenda or record is not None
            self.traefik.remove(name)
            self.volume.remove(name)
            # Once more: a repair may have read the volume before, and have written the file after.
            self.traefik.remove(name)
            self.agenda.remove(name)
            self.records.forget(name)
            for names in {(name,), *(each.names for each in (metadata, record) if each)}:
                self.forget_orders(names)
        others = tuple(other for other in metadata.names if other != name) if metadata else ()
        if others := tuple(other for other in others if self.volume.metadata(other) == metadata):
            self.request(others)
        logger.info(
            "taken out of service%s" if known else "unknown; there was nothing to take out of service%s",
            f"; {', '.join(others)} get a certificate of their own" if others else "",
            extra={"domain": name, "event": "audit"},
        )
        return known
