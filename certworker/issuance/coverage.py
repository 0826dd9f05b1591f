"""
Coverage: names that need no certificate of their own, because a wildcard in service covers them.

::

    no certificate ──► covered ──► the wildcard is removed or overdue ──► requested
    a certificate of its own ──► kept until shortly before its expiry ──► covered

A star covers exactly one label, so at most one wildcard can cover a name. A covered name causes no request to
a CA.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from certworker.domains import covering_wildcard
from certworker.errors import CertworkerError
from certworker.renewal.expiry_alerts import OVERDUE_SHARE
from certworker.renewal.policy import (
    MAX_CHECK_INTERVAL,
    MIN_SHARE_LEFT,
    RenewalDecision,
    common_moment,
    renewal_time,
)
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: The wildcard takes over this long before the certificate of a name expires: no visitor gets an expired
#: certificate. With a short validity period, it takes over with this share of the period left.
HANDOVER = timedelta(hours=1)
HANDOVER_SHARE = 1 / 20

#: The pause between two checks of a covered name: at most this share of the wildcard's validity period.
CHECK_SHARE = 1 / 20

#: The maximum number of wildcard certificates whose metadata is cached. A generation never changes.
MAX_CACHED = 1_000


@dataclass(frozen=True)
class Covered:
    """
    Names that need no order, and the certificate of the wildcard that covers them.
    """

    #: The covered names without a certificate of their own that stays in service.
    names: tuple[str, ...]
    #: The wildcard; of several, the one whose certificate expires first.
    wildcard: str
    #: The metadata of its certificate.
    metadata: CertificateMetadata
    next_check: datetime


@dataclass(frozen=True)
class Coverage:
    """
    Decides which names a wildcard in service covers, and records them on the volume.
    """

    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    #: The kinds of the configured CAs. A wildcard whose certificate is of another kind covers no name.
    kinds: frozenset[str]
    #: Decides whether a certificate is due at a given time.
    decide: Callable[[CertificateMetadata, datetime], RenewalDecision]
    #: Returns whether a crash interrupted an order for exactly these names.
    was_interrupted: Callable[[tuple[str, ...]], bool]
    clock: Callable[[], datetime]
    random: Random
    _metadata: dict[Path, CertificateMetadata] = field(default_factory=dict, repr=False)

    def cover(self, names: tuple[str, ...], token: int) -> Covered | None:
        """
        Record that *names* are covered, and take the certificates that they no longer need out of service.

        The caller holds the lease on *names* with *token*.

        Returns:
            None: One of *names* is not covered, all share a certificate that stays in service, or an order
                for them was interrupted.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault, SchemaTooNew: The volume or Traefik's
                directory cannot be read or written. Each name is served as before, or by the wildcard.
            redis.RedisError: Redis failed.
        """
        wildcards = self._covering_wildcards(names)
        if not wildcards or self.was_interrupted(names):
            return None
        own = {name: metadata for name in names if (metadata := self.certificates.metadata(name))}
        kept = {name: metadata for name, metadata in own.items() if self._is_kept(metadata)}
        if len(kept) == len(names) and len(set(kept.values())) == 1:
            return None
        covered = tuple(name for name in names if name not in kept)
        # If the wildcard was removed before the new links existed, its removal has planned no check of the
        # names.
        if self.certificates.covered.add(covered) and not (wildcards := self._covering_wildcards(names)):
            return None
        for name in covered:
            self._hand_over(name, token)
        wildcard, metadata = _first_to_end(wildcards)
        return Covered(covered, wildcard, metadata, self._planned(wildcards))

    def next_check(self, names: Sequence[str], own: CertificateMetadata | None) -> datetime | None:
        """
        Return when *names* are checked again because a wildcard covers them.

        Return None if no wildcard covers them, or if they need a job.

        Args:
            names: The names.
            own: The metadata of their own certificate; None: they have none.

        Raises:
            VolumeReadOnly, VolumeFault, SchemaTooNew: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        if own is None and not all(map(self.certificates.covered.wildcard_of, names)):
            return None
        wildcards = self._covering_wildcards(names)
        if not wildcards or (own is not None and not self._is_kept(own)):
            return None
        planned = self._planned(wildcards)
        return planned if own is None else min(planned, _handover(own))

    def recheck(self, names: tuple[str, ...], own: CertificateMetadata | None) -> datetime | None:
        """
        Return the result of :meth:`next_check`. If the wildcard was renewed, record its new certificate.

        Returns:
            None: A job is needed, also to end a failure that is recorded.

        Raises:
            VolumeReadOnly, VolumeFault, SchemaTooNew: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        again = self.next_check(names, own)
        if again is None or own is not None:
            return again
        record = self.records.read(names[0])
        if record is not None and record.state != "covered":
            return None
        _, metadata = _first_to_end(self._covering_wildcards(names))
        if record is None or record.serial != metadata.serial:
            now = self.clock()
            self.records.record_issued(names, metadata, covered=True, next_check=again, now=now)
        return again

    def forget(self, names: Iterable[str]) -> None:
        """
        Remove the record that *names* are covered: they have a certificate of their own now.
        """
        for name in names:
            # The record is harmless until the certificate of the name expires.
            with suppress(CertworkerError):
                self.certificates.covered.remove(name)

    def _covering_wildcards(self, names: Sequence[str]) -> dict[str, CertificateMetadata]:
        """
        Return the wildcards that cover *names*, with the metadata of their certificates; none if one name is
        not covered.
        """
        wildcards: dict[str, CertificateMetadata] = {}
        for name in names:
            wildcard = covering_wildcard(name)
            if wildcard is None:
                return {}
            metadata = wildcards.get(wildcard) or self._on_volume(wildcard)
            if metadata is None or not self._covers(name, wildcard, metadata):
                return {}
            wildcards[wildcard] = metadata
        return wildcards

    def _covers(self, name: str, wildcard: str, metadata: CertificateMetadata) -> bool:
        now = self.clock()
        # Another program may have changed the link of the wildcard.
        if wildcard not in metadata.names or metadata.kind not in self.kinds:
            return False
        if not metadata.not_before <= now < metadata.not_after:
            return False
        has_own = self.certificates.links.generation(name) is not None
        relies = self.certificates.covered.wildcard_of(name) is not None
        # The repair writes a missing file of Traefik again. Until then, a name keeps its own certificate.
        if (has_own or not relies) and not self.traefik.serves(wildcard, metadata):
            return False
        if now < renewal_time(metadata.validity):
            return True
        # A name relies on the wildcard until the wildcard is overdue. Until then, the renewal of the name's
        # own certificate also waits.
        return (has_own or relies) and not self._is_overdue(wildcard, metadata)

    def _is_overdue(self, wildcard: str, metadata: CertificateMetadata) -> bool:
        left = (metadata.not_after - self.clock()) / metadata.validity.length
        if left >= OVERDUE_SHARE:
            return False
        # Without a failure, the CA may have suggested a renewal this late, but not after MIN_SHARE_LEFT.
        record = self.records.read(wildcard)
        return left <= MIN_SHARE_LEFT or (record is not None and bool(record.code))

    def _on_volume(self, wildcard: str) -> CertificateMetadata | None:
        """
        Return the metadata of the certificate to which the links of *wildcard* point; None: there is none.
        """
        directory = self.certificates.links.target_of(wildcard)
        if directory is None or not (directory / "fullchain.pem").exists():
            return None
        metadata = self._metadata.get(directory) or CertificateMetadata.read(directory)
        if metadata is not None:
            if len(self._metadata) >= MAX_CACHED:
                self._metadata.clear()
            self._metadata[directory] = metadata
        return metadata

    def _is_kept(self, own: CertificateMetadata) -> bool:
        """
        Return whether the certificate with this metadata stays in service for its names.

        After the removal of one of its names, it does not: a renewal would restore that name.
        """
        now = self.clock()
        if now >= _handover(own):
            return False
        # A CA that suggests a renewal before the age requires it may be about to revoke the certificate.
        if now < renewal_time(own.validity) and self.decide(own, now).due:
            return False
        return all(self.certificates.links.target_of(name) for name in own.names)

    def _hand_over(self, name: str, token: int) -> None:
        """
        Take the certificate of *name*, if any, out of service: from then on, that of the wildcard serves it.
        """
        if self.certificates.links.generation(name) is None:
            return
        self.traefik.remove(name)
        self.certificates.remove(name, token)
        # Remove the file again: a repair that read the volume earlier may have written it in the meantime.
        self.traefik.remove(name)
        logger.info(
            "took the certificate of the name out of service; %s covers the name",
            covering_wildcard(name),
            extra={"domain": name, "event": "covered"},
        )

    def _planned(self, wildcards: dict[str, CertificateMetadata]) -> datetime:
        # The pause is random, so that the names of one wildcard are not all checked at the same moment.
        length = min(metadata.validity.length for metadata in wildcards.values())
        pause = min(MAX_CHECK_INTERVAL, length * CHECK_SHARE) * self.random.uniform(0.5, 1)
        now = self.clock()
        return common_moment(now + pause, now)


def _first_to_end(wildcards: Mapping[str, CertificateMetadata]) -> tuple[str, CertificateMetadata]:
    return min(wildcards.items(), key=lambda item: item[1].not_after)


def _handover(own: CertificateMetadata) -> datetime:
    """
    Return when the wildcard takes over from the certificate with this metadata.
    """
    return own.not_after - min(HANDOVER, own.validity.length * HANDOVER_SHARE)
