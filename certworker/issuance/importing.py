"""
Imports the operator's own certificate: checks, stores and links it. A job then puts it into service.

::

    checks ──► lock ──► generation, still unpublished ──► links ──► request ──► a job: proxy, record, event

After a crash at any step, the name has its old certificate or the imported one, each with its key.
:mod:`certworker.renewal.repair` finds a stored certificate whose request was lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from certworker.errors import printable
from certworker.errors.imports import ReplacesIssued, WrongUser
from certworker.own_certificates import OwnCertificate, Pem, read_own_certificate
from certworker.renewal.policy import in_words
from certworker.renewal.reminders import reminder_at
from certworker.state.locks import LEASE_SECONDS, DomainLocks
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import IMPORTED, CertificateMetadata
from certworker.validity import now_in_utc


@dataclass(frozen=True)
class Imported:
    """
    A certificate that was stored for a name.
    """

    metadata: CertificateMetadata
    #: Sentences about possible problems, for the operator.
    warnings: tuple[str, ...]
    #: The id of the job that puts it into service.
    job: str


@dataclass(frozen=True)
class CertificateImport:
    """
    Stores the operator's own certificates on the volume.
    """

    store: CertificateStore
    locks: DomainLocks
    #: Called with a name and `by`, the requester for the log. Enqueues the job that puts the certificate into
    #: service, and returns its id.
    request: Callable[..., str]
    clock: Callable[[], datetime]

    @classmethod
    def into(
        cls,
        store: CertificateStore,
        connection: Redis,
        request: Callable[..., str],
        clock: Callable[[], datetime] = now_in_utc,
    ) -> CertificateImport:
        """
        Return the import into *store*, with its own locks; see the attributes for *request*.
        """
        locks = DomainLocks(connection, LEASE_SECONDS, highest_token=store.links.highest_token)
        return cls(store, locks, request, clock)

    def run(self, name: str, pem: Pem, *, by: str, force: bool = False) -> Imported:
        """
        Check the certificate in *pem*, store it for *name*, and request its publication.

        Args:
            name: The normalized name. The certificate may have more names; they are not affected.
            pem: The content of the files.
            by: The requester, for the log.
            force: Replace a certificate that certworker renews.

        Raises:
            ImportFailure: The certificate cannot be imported; nothing is changed.
            AlreadyInProgress: A job for *name* is running.
            Fenced: *name* has a certificate of a later lease.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault, SchemaTooNew: The volume failed. *name* has
                its old certificate or the new one.
            TokenOutOfBounds: The next fencing token has too many digits.
            redis.RedisError: Redis failed. If the certificate is already stored, a worker publishes it.
        """
        now = self.clock()
        own = read_own_certificate(pem, name, now)
        self._check_user()
        self.store.check_writable()
        with self.locks.hold([name]) as lease:
            before = self.store.current(name)
            if before and not force:
                _check_replaceable(before, name, now)
            stored = self.store.store(
                own.certificate, authority=IMPORTED, kind=IMPORTED, token=lease.token, names=(name,)
            )
            # A worker on another host may take the job.
            self.store.on_change(stored.metadata.names)
        warnings = _warnings(own, stored.metadata, before, now)
        return Imported(stored.metadata, warnings, self.request(name, by=by))

    def _check_user(self) -> None:
        """
        Check that the worker can read the files that this process creates.

        Raises:
            WrongUser: The volume belongs to another user.
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        directory = self.store.links.generations
        with durable.translate_os_errors(self.store.directory):
            while not directory.exists() and directory != self.store.directory:
                directory = directory.parent
            owner = directory.stat().st_uid
        if owner != os.geteuid():
            raise WrongUser(uid=os.geteuid(), path=directory, owner=owner)


def _check_replaceable(before: StoredCertificate, name: str, now: datetime) -> None:
    metadata = before.metadata
    if not metadata.is_imported and now < metadata.not_after:
        raise ReplacesIssued(name=name, issuer=metadata.issuer)


def _warnings(
    own: OwnCertificate, metadata: CertificateMetadata, before: StoredCertificate | None, now: datetime
) -> tuple[str, ...]:
    found = list(own.warnings)
    if reminder_at(metadata.validity, metadata.not_after - now):
        found.append(f"It expires in {in_words(metadata.not_after - now)}.")
    if before and before.metadata.not_after > metadata.not_after:
        day = _day(before.metadata.not_after)
        found.append(f"It expires before the certificate that it replaces (valid until {day}).")
    others = [each for each in own.certificate.names if each not in metadata.names]
    if others:
        found.append(f"It is imported only for {metadata.names[0]}, but is also valid for {_shown(others)}.")
    return tuple(found)


def _shown(names: list[str]) -> str:
    return printable(", ".join(names), 200)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
