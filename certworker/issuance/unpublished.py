"""
Certificates that are stored, but not in service or not recorded yet.

An earlier attempt or an import stored them. The next attempt puts them into service without an order, unless
a forced request is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from certworker.errors import CertworkerError
from certworker.issuance.attempts import Attempts
from certworker.issuance.issuer import Issuer
from certworker.state.forced_request import ForcedRequest
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate


@dataclass(frozen=True)
class Unpublished:
    """
    Finds stored certificates that are not in service or not recorded yet.
    """

    certificates: CertificateStore
    attempts: Attempts
    issuers: Sequence[Issuer]
    clock: Callable[[], datetime]

    def find(
        self, names: tuple[str, ...], forced: ForcedRequest | None, *, force: bool
    ) -> tuple[StoredCertificate | None, StoredCertificate | None]:
        """
        Return the stored certificate for *names* to put into service, and the one that an order replaces.

        At most one of them exists.

        Args:
            names: The names.
            forced: The forced request that the attempt has to complete; None: there is none.
            force: Whether the job is forced: then an order replaces an imported certificate, too.
        """
        stored = self._valid(names, force=force)
        if stored is None or forced is None or stored.metadata.is_imported:
            return stored, None
        is_older = stored.metadata.generation < forced.first_token
        return (None, stored) if is_older else (stored, None)

    def forget_removed(self, stored: StoredCertificate, removed: Sequence[object]) -> None:
        """
        Remove the keys of the removed pending orders for *stored*, and record that *stored* is in service.

        Args:
            stored: The certificate.
            removed: The reply, or error, of the removal at each issuer, in the sequence of the issuers.
        """
        for issuer, reply in zip(self.issuers, removed, strict=True):
            issuer.pending_orders.forget_removed(stored.metadata.names, reply)
        self.certificates.mark_published(stored)

    def supersede(self, stored: StoredCertificate) -> None:
        """
        Link *stored*, which a forced request is about to replace, and forget that it is not in service.

        If the order fails, a repair puts the linked certificate into service.

        Raises:
            Fenced: One of the names has a certificate of a later lease.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault, SchemaTooNew: The volume cannot be changed.
        """
        self.certificates.link(stored)
        self.certificates.mark_published(stored)

    def forget_orders(self, names: tuple[str, ...]) -> None:
        """
        Remove the pending orders for exactly *names*, and their keys.

        Raises:
            VolumeReadOnly, VolumeFault: A key cannot be removed.
            redis.RedisError: Redis failed.
        """
        for issuer in self.issuers:
            issuer.pending_orders.forget(names)

    def _valid(self, names: tuple[str, ...], *, force: bool) -> StoredCertificate | None:
        """
        Return the valid certificate for *names* that is not in service or not recorded yet.
        """
        try:
            stored = self.certificates.unpublished(names)
        except CertworkerError:
            return None  # the attempt meets the same failure and records it
        if stored and self.attempts.is_recorded_as_issued(stored.metadata):
            self.attempts.clean_up(partial(self._forget, stored))
            return None
        if stored and stored.metadata.is_imported and force:
            return None
        return stored if stored and self.clock() < stored.metadata.not_after else None

    def _forget(self, stored: StoredCertificate) -> None:
        # The orders are removed first. After a crash in between, the certificate is still unpublished, and
        # the next attempt repeats both steps.
        self.forget_orders(stored.metadata.names)
        self.certificates.mark_published(stored)
