"""
Names that have moved: for three consecutive days, the daily checks found them at another server.

::

    in service ──► elsewhere for three days ──► moved ──► back: the next job continues as for any name
                                                  └─────► its certificate expires: out of service
                                                            └──► not back within 30 days: forgotten

A moved name gets a job about once a day, which first checks whether the name is back. As long as it is not,
only a forced request places an order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.errors.dns import Moved
from certworker.issuance.attempts import Attempts
from certworker.preflight.moved import UNKNOWN, Place, TargetCheck, Whereabouts
from certworker.preflight.target import record_to_create
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.sightings import Sighting, Sightings
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import log_unexpected
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: How long certworker still checks a name that is out of service.
FORGET_AFTER = timedelta(days=30)


@dataclass(frozen=True)
class MovedNames:
    """
    Prevents orders for moved names, and takes them out of service after the expiry of their certificates.
    """

    sightings: Sightings
    check_target: TargetCheck
    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    agenda: Agenda
    attempts: Attempts
    clock: Callable[[], datetime]

    def among(self, names: Sequence[str]) -> frozenset[str]:
        """
        Return those of *names* that have moved.

        Raises:
            redis.RedisError: Redis failed.
        """
        return self.sightings.moved(names)

    def check(self, sightings: Mapping[str, Sighting], token: int) -> None:
        """
        Check whether the moved names among *sightings* are back. The caller holds the lease with *token*.

        Raises:
            Moved: One of them is not back. If its certificate has expired, the name is out of service. The
                next check is planned. After :data:`FORGET_AFTER` out of service, the name is forgotten.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault, SchemaTooNew: The certificate of a name
                cannot be read or taken out of service.
            redis.RedisError: Redis failed.
        """
        for name, sighting in sightings.items():
            if not sighting.is_final:
                continue
            if not self.check_target.applies_to(name) or self.whereabouts(name).place is Place.HERE:
                self.sightings.forget(name)
                text = "no longer moved: it points here again, or the check no longer applies to it"
                logger.info(text, extra={"domain": name, "event": "moved"})
                continue
            self._stay_away(name, sighting, token)

    def whereabouts(self, name: str) -> Whereabouts:
        """
        Return where *name* points, which is unknown if it cannot be checked.

        Raises:
            redis.RedisError: Redis failed.
        """
        try:
            return self.check_target(name)
        except RedisError:
            raise
        except CertworkerError as failure:
            logger.debug("could not check where this name points: %s", failure, extra={"domain": name})
        except Exception as error:
            log_unexpected(f"the check of where {name} points", error)
        return UNKNOWN

    def declare(self, name: str, sighting: Sighting) -> Moved:
        """
        Record that *name* has moved, plan the next check, and return the failure.

        The caller holds the lock on *name*.

        Raises:
            redis.RedisError: Redis failed.
        """
        failure = self._failure(name, sighting)
        self.attempts.record_not_started((name,), failure)
        return failure

    def forget(self, names: Sequence[str]) -> None:
        """
        Forget the sightings of *names*, which have a new certificate.
        """
        self.sightings.forget(*names)

    def _failure(self, name: str, sighting: Sighting) -> Moved:
        record = record_to_create(name, self.check_target.target)
        return Moved(name=name, found=sighting.found, record=record)

    def _stay_away(self, name: str, sighting: Sighting, token: int) -> None:
        failure, now = self._failure(name, sighting), self.clock()
        metadata = self.certificates.metadata(name)
        if metadata is None and now - sighting.last > FORGET_AFTER:
            self.agenda.remove(name)
            self.records.forget(name)
            self.sightings.forget(name)
            text = "removed from the agenda: it has moved, and has been out of service for 30 days"
            logger.info(text, extra={"domain": name, "event": "moved"})
            raise failure
        if metadata is not None and now >= metadata.not_after:
            self._take_out_of_service(name, token)
            sighting = replace(sighting, last=now)
            self.sightings.put(name, sighting)
        self.declare(name, sighting)
        raise failure

    def _take_out_of_service(self, name: str, token: int) -> None:
        self.traefik.remove(name)
        self.certificates.remove(name, token)
        # Remove the file again: a repair that read the volume earlier may have written it in the meantime.
        self.traefik.remove(name)
        logger.warning(
            "out of service: it has moved, and its certificate has expired",
            extra={"domain": name, "event": "moved"},
        )
