"""
The issuance of one certificate, step by step, from the request to the certificate that the proxy serves.

Start reading here, at :meth:`CertificateIssuance.issue`; the methods follow in the order of the flow::

    issue ──► lock the names
      ├── an operator imported their certificates ─────────────► _imported
      ├── one of them has moved to another server: no order
      ├── a wildcard covers them ──────────────────────────────► _covered
      ├── the tenant has not proved that it owns them: no order
      ├── record the attempt
      ├── an attempt or an import stored a certificate ────────► _put_into_service
      └── _issue
            ├── the certificate in service is not due ─────────► _put_into_service
            ├── preflight: predict whether the CA would refuse
            ├── _obtain, from the first CA that can issue: the order, the challenges, the certificate
            └── store on the volume ───────────────────────────► _put_into_service
                                                                   ├── the proxy's file
                                                                   └── the record and the next check

Each step is one call into another module. The last log line of a job has the durations of its steps. The
steps `lock`, `dry_run` and `order` are measured in their modules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Literal

from certworker.certificates import Certificate
from certworker.errors import CertworkerError
from certworker.errors.imports import ImportDamaged, ImportInService
from certworker.issuance.attempts import Attempts
from certworker.issuance.coverage import Coverage
from certworker.issuance.failover import Failover, explained_by
from certworker.issuance.forced_requests import ForcedRequests
from certworker.issuance.issuer import Issuer
from certworker.issuance.known_state import KnownState
from certworker.issuance.moved_names import MovedNames
from certworker.issuance.ownership import Ownership
from certworker.issuance.pending_orders import add_removals
from certworker.issuance.unpublished import Unpublished
from certworker.job_slot import JobSlot
from certworker.renewal.policy import RenewalDecision, after_issuance
from certworker.state.domain_records import DomainRecord
from certworker.state.forced_request import ForcedRequest
from certworker.state.locks import DomainLocks, Lease
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate, covering_all
from certworker.storage.metadata import CertificateMetadata
from certworker.tracing.steps import step
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

State = Literal["issued", "imported", "kept", "covered"]

#: The certificate in service for each name of a request, in the same order; None: there is none.
InService = Sequence[StoredCertificate | None]


@dataclass(frozen=True)
class Outcome:
    """
    The result of a request: the certificate in service, and the time of its next check.
    """

    state: State
    names: tuple[str, ...]
    metadata: CertificateMetadata
    next_check: datetime
    #: The wildcard that covers the names; empty if they have a certificate of their own.
    by: str = ""
    #: The record of the first name; None if the lease is lost, or if a wildcard covers the name.
    record: DomainRecord | None = None


@dataclass(frozen=True)
class CertificateIssuance:
    """
    Obtains certificates from the first CA that can issue them, and puts them into service.
    """

    issuers: Sequence[Issuer]
    #: Called with the names, `renewing` and `slot`. Raises the failure that prevents an order, or returns the
    #: findings.
    preflight: Callable[..., Sequence[CertworkerError]]
    #: Decides whether a certificate is due at a given time, and when it is checked next.
    decide: Callable[[CertificateMetadata, datetime], RenewalDecision]
    certificates: CertificateStore
    traefik: TraefikConfig
    locks: DomainLocks
    attempts: Attempts
    coverage: Coverage
    moved: MovedNames
    ownership: Ownership
    forced: ForcedRequests
    unpublished: Unpublished
    #: Returns the slot of the running job, which is released early when the job only waits.
    slot: Callable[[], JobSlot]
    clock: Callable[[], datetime]

    def issue(
        self,
        names: tuple[str, ...],
        *,
        force: bool = False,
        use_full_quota: bool = False,
        tenant: str | None = None,
        by: object = None,
    ) -> Outcome:
        """
        Put a certificate for *names* into service.

        These rules apply without *force*, unless a forced request for *names* is pending. An imported
        certificate is kept, and any other one until it is due. If wildcards cover all *names*, no certificate
        is ordered. A certificate with more names than the request is renewed for all of them.

        Args:
            force: Order a new certificate now, for exactly *names*.
            use_full_quota: Order as often as the CA allows, instead of stopping at certworker's own limits.
            tenant: The tenant of the request; None: it names none.
            by: The requester of a forced request, not verified.

        Raises:
            AlreadyInProgress: Another job holds the lock on one of *names*.
            OwnershipMissing: The tenant has not proved that it owns one of *names*.
            ImportInService: Without *force*, only some of *names* have an imported certificate.
            Moved: Without *force*, one of *names* has moved to another server.
            CertworkerError: No attempt is possible, or the attempt failed. Usually, the failure and the time
                of the next attempt are recorded. Unless the failure follows the publication, the proxy serves
                the same certificates as before.
            redis.RedisError: Redis failed before the attempt began, or while its failure was recorded.
        """
        requested, additional_names = names, () if force else self._additional_names(names)
        if additional_names and self.forced.is_pending(names):
            additional_names = ()
        names += additional_names
        orders = [issuer.pending_orders.orders for issuer in self.issuers]
        ask = partial(KnownState.ask, names, self.attempts.records, self.moved.sightings, orders)
        with self.locks.hold_and_ask(names, ask) as (lease, known):
            forced = self.forced.find(names, known.record(), lease.token, force=force, by=by)
            unpublished, superseded = self.unpublished.find(names, forced, force=force)
            if not forced and (in_service := self._without_attempt(names, unpublished, lease, known)):
                if in_service.state == "covered":
                    self.ownership.record_covered(requested, tenant)
                return in_service
            if not unpublished:
                self.ownership.check(requested, tenant)
            starts_now = force or unpublished is not None
            with self.attempts.recording(names, lease, known.record(), force=starts_now):
                if forced and forced.first_token == lease.token:
                    # Each pending order is older than the request, and may have an older key.
                    self.unpublished.forget_orders(names)
                    known = known.without_orders()
                if forced:
                    self.forced.begin(forced, known.record())
                if unpublished:
                    # An import or an earlier attempt stored this certificate. No new order is needed.
                    self.certificates.link(unpublished)
                    state: State = "imported" if unpublished.metadata.is_imported else "issued"
                    return self._put_into_service(state, unpublished, lease, forced)
                if superseded:
                    self.unpublished.supersede(superseded)
                return self._issue(
                    names, additional_names, lease, known, forced, force=force, use_full_quota=use_full_quota
                )

    def _without_attempt(
        self, names: tuple[str, ...], unpublished: StoredCertificate | None, lease: Lease, known: KnownState
    ) -> Outcome | None:
        """
        Return the outcome for *names* if they need neither an order nor the *unpublished* certificate.

        Raises:
            CertworkerError: No certificate may be ordered for *names*, or the volume fails.
            redis.RedisError: Redis failed.
        """
        if unpublished and unpublished.metadata.is_imported:
            return None
        if not unpublished and (imported := self._imported(names, lease)):
            return imported
        self.moved.check(known.sightings(), lease.token)
        return None if unpublished else self._covered(names, lease)

    def are_imported(self, names: tuple[str, ...]) -> bool:
        """
        Return whether an operator imported a certificate for each of *names*.

        Raises:
            VolumeReadOnly, VolumeFault, SchemaTooNew: The volume cannot be read.
        """
        stored = self.certificates.unpublished(names)
        if stored and stored.metadata.is_imported:
            return True
        found = map(self.certificates.metadata, names)
        return all(metadata is not None and metadata.is_imported for metadata in found)

    def _imported(self, names: tuple[str, ...], lease: Lease) -> Outcome | None:
        """
        Put the imported certificates of *names* into service. Return None if no name has one.

        Raises:
            ImportInService: Only some of *names* have an imported certificate, which an order would replace.
            ImportDamaged: The files of an imported certificate are missing or damaged.
            CertworkerError: The volume or Traefik's directory cannot be read or written.
            redis.RedisError: Redis failed.
        """
        with self.attempts.recording_before_the_start(names):
            metadata = {name: self.certificates.metadata(name) for name in names}
        imported = [name for name, found in metadata.items() if found and found.is_imported]
        if not imported:
            return None
        if len(imported) < len(names):
            # The request is refused. A record would replace the state of the imported certificate.
            raise ImportInService(name=imported[0])
        with self.attempts.recording_before_the_start(names):
            outcomes = [self._keep_imported(name, lease) for name in names]
        return replace(outcomes[0], names=names)

    def _keep_imported(self, name: str, lease: Lease) -> Outcome:
        stored = self.certificates.current(name)
        if stored is None:
            raise ImportDamaged(name=name)
        outcome = self._put_into_service("kept", stored, lease)
        # If the certificate expired before its first job, that job would otherwise be requested repeatedly.
        self.attempts.clean_up(partial(self.certificates.mark_published, stored))
        return outcome

    def _covered(self, names: tuple[str, ...], lease: Lease) -> Outcome | None:
        with self.attempts.recording_before_the_start(names):
            covered = self.coverage.cover(names, lease.token)
        if covered is None:
            return None
        self.attempts.record_covered(covered.names, covered.metadata, covered.next_check)
        return Outcome("covered", names, covered.metadata, covered.next_check, by=covered.wildcard)

    def _issue(
        self,
        names: tuple[str, ...],
        additional_names: tuple[str, ...],
        lease: Lease,
        known: KnownState,
        forced: ForcedRequest | None,
        *,
        force: bool,
        use_full_quota: bool,
    ) -> Outcome:
        in_service = self.certificates.current_many(names)
        current = covering_all(names, in_service)
        if current and not forced and not self._is_due(current, in_service):
            return self._put_into_service("kept", current, lease)

        if additional_names:
            others = ", ".join(additional_names)
            _log_step(names, "validate", "its certificate is also for %s; all are renewed together", others)
        with step("preflight"):
            findings = self.preflight(names, renewing=current is not None, slot=self.slot())

        validity = current.metadata.validity if current else None
        failover = Failover(self.issuers, names, self.clock(), validity)
        with explained_by(findings):
            for issuer in failover:
                with failover.attempt():
                    certificate = self._obtain(
                        names, in_service, issuer, known, force=force, use_full_quota=use_full_quota
                    )
                    break

        with step("store"):
            stored = self.certificates.store(
                certificate, authority=issuer.ca.label, kind=issuer.ca.kind, token=lease.token
            )
        return self._put_into_service("issued", stored, lease, forced)

    def _obtain(
        self,
        names: tuple[str, ...],
        in_service: InService,
        issuer: Issuer,
        known: KnownState,
        *,
        force: bool,
        use_full_quota: bool,
    ) -> Certificate:
        """
        Return a new certificate for *names* from *issuer*.

        Raises:
            CertworkerError: The settings or the limits do not allow the order, the CA refuses or does not
                respond, a validation fails, or the certificate is unusable.
        """
        issuer.check(in_service)
        if not force:
            self.attempts.dry_run(names, known.record(), issuer.dry_run)
        current = covering_all(names, in_service)
        replaces = issuer.replaces_id(current)
        # Outside the suggested window, an order that replaces a certificate counts like any other renewal.
        exempt = (
            current is not None and bool(replaces) and self.decide(current.metadata, self.clock()).window_open
        )
        stored_order = known.orders[issuer.ca.label]()
        resumed, reserved = issuer.pending_orders.resume(names, stored_order)
        with (
            issuer.budget.reserve(
                names,
                exempt=exempt,
                renewal=issuer.renews(current),
                use_full_quota=use_full_quota,
                reserved=reserved,
            ) as reservation,
            issuer.pending_orders.dropping_failed(names, resumed),
        ):
            types = ", ".join(issuer.challenge_types(names)).upper()
            _log_step(names, "validate", "asking %s (%s)", issuer.ca.title, types)
            order = resumed or issuer.pending_orders.place(names, replaces)
            reservation.placed(replaces=order.replaces)
            key, csr_der = issuer.pending_orders.signing(order)
            with step("validate"), issuer.presenting(order.responses):
                order.validate(issuer.await_fetches, csr_der)
            reservation.validated()
            _log_step(names, "validate", "ownership confirmed by the CA")

            with step("finalize"):
                certificate = Certificate.from_pem(order.finalize(csr_der()), key())
                certificate.check(names, self.clock(), private=issuer.ca.kind == "private")
        received = "certificate received from %s, serial %s"
        _log_step(names, "finalize", received, certificate.issuer, certificate.serial)
        return certificate

    def _put_into_service(
        self, state: State, stored: StoredCertificate, lease: Lease, forced: ForcedRequest | None = None
    ) -> Outcome:
        """
        Write the proxy's files for *stored*, plan its next check, and record the result, which
        completes *forced*.
        """
        metadata = stored.metadata
        with step("publish"):
            has_changed = self.traefik.publish(stored, slot=self.slot())
        if has_changed:
            _log_step(metadata.names, "installed", "in service: %s", stored.directory)
        with step("record"):
            now = self.clock()
            covered_until = self.coverage.next_check(metadata.names, metadata)
            next_check = covered_until or self.decide(metadata, now).next_check
            if state != "kept":
                self.coverage.forget(metadata.names)
                self.moved.forget(metadata.names)
                next_check = after_issuance(metadata.validity, next_check, now)
            orders = [issuer.pending_orders for issuer in self.issuers] if state != "kept" else []
            removals = partial(add_removals, orders, metadata.names)
            success = self.attempts.record_success(metadata, lease, next_check, removals, forced)
            if success and state != "kept":
                self.attempts.clean_up(partial(self.unpublished.forget_removed, stored, success.cleaned_up))
        record = success.record if success else None
        return Outcome(state, metadata.names, metadata, next_check, record=record)

    def _additional_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """
        Return the other names that the valid certificate for all of *names* serves, without moved names.
        """
        target_of = self.certificates.links.target_of
        with suppress(CertworkerError):  # the attempt meets the same failure and records it
            # The files of another program may be for more names, too.
            self.certificates.adopt(names[0])
            directory, metadata = target_of(names[0]), self.certificates.metadata(names[0])
            if metadata and self.clock() < metadata.not_after and set(names) < set(metadata.names):
                served = {name for name in metadata.names if target_of(name) == directory}
                if served.issuperset(names):
                    others = tuple(name for name in metadata.names if name in served and name not in names)
                    moved = self.moved.among(others)
                    return tuple(name for name in others if name not in moved)
        return ()

    def _is_due(self, current: StoredCertificate, in_service: InService) -> bool:
        # After the removal of one of its names, the certificate is replaced by one without that name.
        named = in_service[0].metadata.names if in_service[0] else ()
        if any(self.certificates.links.target_of(name) is None for name in named):
            return True
        # An order that an earlier attempt placed, even a forced one, has to be finished.
        names = current.metadata.names
        if any(issuer.pending_orders.find(names) for issuer in self.issuers):
            return True
        due = self.decide(current.metadata, self.clock()).due
        # If a wildcard covers the names, it takes over before this certificate expires.
        return due and self.coverage.next_check(names, current.metadata) is None


def _log_step(names: tuple[str, ...], event: str, text: str, *values: object) -> None:
    logger.info(text, *values, extra={"domain": names[0], "event": event})
