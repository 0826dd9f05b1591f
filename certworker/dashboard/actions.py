"""
The actions of the page and the API. Each one enqueues jobs for the workers.

The callers check whether a known name belongs to the tenant of the call. The actions check the names of a
request, and the other names of the same certificate or attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from certworker.dashboard.sources import Sources
from certworker.domains import normalize, requested_names
from certworker.issuance.importing import CertificateImport, Imported
from certworker.issuance.issuer_factory import resume_orders
from certworker.own_certificates import Pem
from certworker.storage.inventory import names_served
from certworker.worker.producer import request_certificate, request_removal


class OtherTenant(Exception):
    """
    A name of an action is known, and does not belong to the tenant of the call.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} belongs to another tenant, or to none")
        self.name = name


@dataclass(frozen=True)
class RequestedJob:
    """
    A job on the queue. A repeated action returns the same job while this job is waiting or running.
    """

    #: The id of the job.
    job: str
    names: tuple[str, ...]


class Actions:
    """
    The actions on names. Each method enqueues jobs for the workers, and returns them or their ids.

    An import also returns what it stored.

    A repeated action returns the same id while its job is waiting or running.

    Args:
        sources: The settings, Redis and the volume.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        request = partial(request_certificate, connection=sources.connection)
        self._imports = CertificateImport.into(
            sources.certificates, sources.connection, request, sources.clock
        )

    def request(
        self,
        names: Sequence[str],
        *,
        by: str,
        tenant: str | None = None,
        together: bool = False,
        assign: bool = False,
    ) -> tuple[RequestedJob, ...]:
        """
        Request a certificate for each of *names*, or with *together* one for all; return the jobs.

        Args:
            by: The requester, for the log.
            tenant: The tenant that owns the names; None: the tenants of the names do not change.
            assign: Whether an operator sends the request. Then names of other tenants, or of none, become
                names of *tenant*, unless another tenant has proved the ownership.

        Raises:
            CertworkerError: A name is invalid, or the volume cannot be read. Nothing is requested.
            OtherTenant: A name is known, and does not belong to *tenant*. Nothing is requested.
            redis.RedisError: Redis failed. Some certificates may already be requested.
        """
        settings, connection = self._sources.settings, self._sources.connection
        private, wildcards = settings.authority.private_names, settings.dns01.is_set
        if together:
            groups = [requested_names(None, list(names), private=private, wildcards=wildcards)]
        else:
            normalized = (normalize(name, private=private, wildcards=wildcards) for name in names)
            groups = [(name,) for name in dict.fromkeys(normalized)]
        all_names = [name for group in groups for name in group]
        if tenant is not None and assign:
            self._sources.records.record_tenants(dict.fromkeys(all_names, tenant))
        elif tenant is not None:
            self._claim(all_names, tenant)
        return tuple(
            RequestedJob(request_certificate(group, tenant=tenant, by=by, connection=connection), group)
            for group in groups
        )

    def renew(self, name: str, *, by: str, tenant: str | None = None) -> str:
        """
        Request a new certificate for *name* and the other names of its certificate, even if it is not due.

        Without a certificate, the other names are those of the last attempt. For a name that a wildcard
        covers, or that has an imported certificate, this method is :meth:`retry`.

        Raises:
            CertworkerError: The volume cannot be read.
            OtherTenant: One of these names does not belong to *tenant*.
            redis.RedisError: Redis failed.
        """
        metadata, wildcard = self._sources.certificates.serving(name)
        if wildcard or (metadata and metadata.is_imported):
            return self.retry(name, by=by, tenant=tenant)
        names = self._names_with(name)
        if metadata and name in metadata.names:
            names = names_served(self._sources.certificates, metadata)
        self._require_tenant(names, tenant)
        return request_certificate(names, force=True, by=by, connection=self._sources.connection)

    def retry(self, name: str, *, by: str, tenant: str | None = None) -> str:
        """
        Request an attempt now for *name* and the other names of its last attempt.

        Other names with an imported certificate are left out.

        Raises:
            CertworkerError: The volume cannot be read.
            OtherTenant: One of these names does not belong to *tenant*.
            redis.RedisError: Redis failed.
        """
        names = self._names_with(name)
        self._require_tenant(names, tenant)
        return request_certificate(names, by=by, connection=self._sources.connection)

    def resume(self, name: str, *, by: str, tenant: str | None = None) -> str:
        """
        Resume the paused orders for *name* and the other names of its last attempt, and retry now.

        Raises:
            CertworkerError: The file with the limits is invalid, the volume cannot be read, or the state
                directory is not writable.
            OtherTenant: One of these names does not belong to *tenant*.
            redis.RedisError: Redis failed.
        """
        sources, names = self._sources, self._names_with(name)
        self._require_tenant(names, tenant)
        resume_orders(sources.settings, sources.connection, sources.certificates, names)
        return request_certificate(names, by=by, connection=sources.connection)

    def import_certificate(self, name: str, pem: Pem, *, by: str, force: bool) -> Imported:
        """
        Import a certificate for *name*, as `certworker import` does; return what was stored, and its job.

        Args:
            name: The name as the caller wrote it.
            pem: The certificate, its key and its chain.
            by: The requester, for the log.
            force: Whether the import may replace a certificate that certworker renews.

        Raises:
            CertworkerError: The name or the certificate is refused, a job is running for the name, or the
                volume is not writable or belongs to another user.
            redis.RedisError: Redis failed.
        """
        return self._imports.run(normalize(name, private=True, wildcards=True), pem, by=by, force=force)

    def remove(self, name: str, *, by: str) -> str:
        """
        Request the removal of *name* from the proxy, the volume and the renewals.

        Raises:
            redis.RedisError: Redis failed.
        """
        return request_removal(name, by=by, connection=self._sources.connection)

    def _names_with(self, name: str) -> tuple[str, ...]:
        record = self._sources.records.read(name)
        names = record.names if record else (name,)
        return tuple(each for each in names if each == name or not self._is_imported(each))

    def _is_imported(self, name: str) -> bool:
        metadata = self._sources.certificates.metadata(name)
        return metadata is not None and metadata.is_imported

    def _require_tenant(self, names: Sequence[str], tenant: str | None) -> None:
        # An operator may have requested one certificate for names of several tenants.
        for name in names if tenant is not None else ():
            if self._sources.records.tenant_of(name) != tenant:
                raise OtherTenant(name)

    def _claim(self, names: Sequence[str], tenant: str) -> None:
        sources = self._sources
        is_proved = sources.settings.customers.ownership != "off"
        for name in names:
            # Redis may have lost the record of a name that the volume knows.
            in_service = sources.certificates.metadata(name) is not None
            known = in_service or (name in sources.agenda and not is_proved)
            if known and sources.records.tenant_of(name) != tenant:
                raise OtherTenant(name)
        # A claim without a proof must not exclude the owner. The job checks the proof.
        if (other := sources.records.claim(names, tenant)) and not is_proved:
            raise OtherTenant(other)
