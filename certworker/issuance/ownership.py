"""
The proof of ownership before the first order for a name of a tenant (CERTWORKER_OWNERSHIP).

::

    the tenant of the request, or without one the tenant of the record
      ├── none: a name of the operator ───────────────────────► no proof
      ├── the name is in service for this tenant ─────────────► no proof
      ├── a TXT record names the tenant ──────────────────────► the name belongs to the tenant
      └── no TXT record names the tenant
            ├── the name is in service for another owner ─────► refused, without a change of its record
            └── it is not in service ─────────────────────────► failed; the check is repeated

A job without a tenant renews a name in service without a proof, so that a lost record stops no renewal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certworker.errors import CertworkerError
from certworker.errors.dns import InServiceForAnother
from certworker.issuance.attempts import Attempts
from certworker.preflight.ownership import owner_of, proof_of
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore


@dataclass(frozen=True)
class Ownership:
    """
    Decides whether a tenant may have certificates for names.
    """

    is_required: bool
    records: DomainRecords
    certificates: CertificateStore
    attempts: Attempts
    #: Raises OwnershipMissing unless a TXT record of a name proves that a tenant owns the name.
    prove: Callable[[str, str], None]

    def record(self, names: tuple[str, ...], tenant: str) -> None:
        """
        Record *tenant* as the tenant of *names*, if no proof is required.

        Raises:
            redis.RedisError: Redis failed.
        """
        if not self.is_required:
            self.records.record_tenants(dict.fromkeys(names, tenant))

    def record_covered(self, names: tuple[str, ...], tenant: str | None) -> None:
        """
        Record *tenant*, if any, as the tenant of those of *names* that have none, if a proof is required.

        A wildcard covers *names*, so nothing is ordered, and they need no proof.

        Raises:
            redis.RedisError: Redis failed.
        """
        if self.is_required and tenant is not None:
            free = (name for name in names if not self.records.tenant_of(name))
            self.records.record_tenants(dict.fromkeys(free, tenant))

    def is_proven(self, names: tuple[str, ...], tenant: str | None) -> bool:
        """
        Return whether *tenant* needs no further proof for *names*.

        Either *tenant* has proved that it owns them, or no proof is required.

        Args:
            names: The names of the request.
            tenant: The tenant of the request; None: the request names none.

        Raises:
            redis.RedisError: Redis failed.
        """
        if not self.is_required or tenant is None:
            return True
        return all(self.records.owner_of(name) == tenant for name in names)

    def check(self, names: tuple[str, ...], tenant: str | None) -> None:
        """
        Check that *tenant* may have a certificate for *names*, and record the names that it now owns.

        Args:
            names: The names of the request.
            tenant: The tenant of the request; None: the request names none.

        Raises:
            InServiceForAnother: One of the names is in service, and *tenant* has not proved that it owns the
                name. Nothing is recorded.
            OwnershipMissing: The proof is missing. The next check is planned.
            CertworkerError: DNS does not answer, or the volume cannot be read. The next check is planned.
                For a name in service, InServiceForAnother replaces a failure of DNS.
            redis.RedisError: Redis failed.
        """
        if not self.is_required:
            return
        proven: dict[str, str] = {}
        for name in names:
            is_in_service = self._is_in_service(name, names)
            claimed = tenant if tenant is not None or is_in_service else self.records.tenant_of(name)
            if not claimed or (is_in_service and self.records.owner_of(name) == claimed):
                continue
            try:
                self.prove(name, claimed)
            except CertworkerError as failure:
                if is_in_service:
                    raise InServiceForAnother(
                        name=name, tenant=claimed, owner=owner_of(name), value=proof_of(claimed)
                    ) from failure
                self._record_unproven(names, tenant, failure)
                raise
            proven[name] = claimed
        self.records.record_owners(proven)

    def _is_in_service(self, name: str, names: tuple[str, ...]) -> bool:
        try:
            return self.certificates.metadata(name) is not None
        except CertworkerError as failure:
            self.attempts.record_not_started(names, failure)
            raise

    def _record_unproven(self, names: tuple[str, ...], tenant: str | None, failure: CertworkerError) -> None:
        free = tuple(name for name in names if self.certificates.metadata(name) is None)
        if tenant is not None:
            self.records.record_tenants(dict.fromkeys(free, tenant))
        self.attempts.record_not_started(free, failure)
