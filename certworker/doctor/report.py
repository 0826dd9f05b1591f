"""
The whole report: settings, machine, replication, Docker, and each name.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice

from certworker.acme.account import AccountFiles
from certworker.acme.client import AcmeClient
from certworker.challenges.challenge import Solver
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import ChallengeTokens
from certworker.challenges.webroot import Webroot
from certworker.dns01.solver import Dns01Solver
from certworker.dns01.solver_factory import solver_of
from certworker.doctor.docker import docker_findings
from certworker.doctor.domain import (
    LIMITS,
    PORT_80,
    TXT_RECORD,
    DomainReport,
    certificate_findings,
    limit_findings,
    place_staging_order,
)
from certworker.doctor.findings import Finding, Section
from certworker.doctor.machine import exists, machine
from certworker.doctor.network import DirectoryProbe, notifications, probe_directories, proxy
from certworker.doctor.replication import replication
from certworker.doctor.settings import SETTINGS, configuration
from certworker.domains import normalize
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError, printable
from certworker.issuance.issuer_factory import acme_client_for
from certworker.ratelimits.budget import Budget
from certworker.redis.client import connect, connected
from certworker.redis.health import check_redis
from certworker.renewal.agenda import Agenda
from certworker.replication.responses import Responses
from certworker.replication.sealing import ReplicationKeys
from certworker.settings import CaChoice, Settings, environment_warnings, load
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.validity import now_in_utc

#: Without names, the doctor also checks at most this number of names with failures.
MOST_FAILED = 5
#: With more names on the agenda, the doctor does not search for failures.
MOST_ON_THE_AGENDA = 2_000

#: The URL of the development CA here. It is never requested: only the worker that runs this CA can reach it.
NOWHERE = "http://localhost:9/directory"

#: The subject of the finding about a name that needs no order.
ORDER = "order"

#: The reason to skip a check without Redis. Another line of the report has the failure of Redis.
NO_REDIS = "Redis is not usable"


def examine(
    environ: Mapping[str, str], names: Sequence[str] = (), *, staging_order: bool = False
) -> Iterator[Finding]:
    """
    Yield each finding as soon as its check ends.

    Args:
        environ: The variables.
        names: The names to check; by default, the names in `_APP_DOMAIN`, and some that have failed.
        staging_order: Also order a certificate for each name from the staging CA.
    """
    warnings = {warning.variable: warning for warning in environment_warnings(environ)}
    for warning in warnings.values():
        yield SETTINGS.warn(warning.variable, warning.message, warning.remedy)
    try:
        settings = load(environ)
    except CertworkerError as failure:
        yield SETTINGS.failure("environment", failure)
        return
    # A variable with a warning gets only that line, which names the cause.
    yield from (finding for finding in configuration(settings) if finding.subject not in warnings)
    reached = probe_directories([(choice, _authority(settings, choice)) for choice in settings.authorities])
    yield from machine(settings, reached)
    yield from proxy(settings)
    yield from notifications(settings)
    yield from replication(settings)
    yield from docker_findings(settings, socket.gethostname())
    examination = _Examination(settings, reached)
    for given in names or examination.names():
        yield from examination.findings(given, staging_order)


@dataclass(frozen=True)
class _Examination:
    settings: Settings
    reached: Sequence[DirectoryProbe]

    def names(self) -> list[str]:
        """
        Return the names to check by default. The section of the settings reports invalid names.
        """
        found = []
        for given in self.settings.domains:
            try:
                found.append(self._name(given))
            except CertworkerError:
                continue
        return list(dict.fromkeys([*found, *islice(self._failed(), MOST_FAILED)]))

    def findings(self, given: str, staging_order: bool) -> Iterator[Finding]:
        """
        Yield all findings about a name.
        """
        try:
            name = self._name(given)
        except CertworkerError as failure:
            yield Section(printable(given)).fail("name", failure.message, failure.remedy, failure.code)
            return
        try:
            yield from self._findings(name, staging_order)
        except CertworkerError as failure:
            # For example, Redis stopped during the checks.
            yield Section(name).failure("examination", failure)

    def _findings(self, name: str, staging_order: bool) -> Iterator[Finding]:
        section, has_redis = Section(name), self._has_redis()
        checks = DomainReport(
            self.settings,
            [self._authority(reached.choice) for reached in self.reached],
            self._solvers(has_redis, self._authority(self.settings.authority)),
            self._dns01.plan,
            self._impossible(has_redis),
        )
        if wildcard := self._covering(name):
            yield section.skip(ORDER, f"not needed: {wildcard} covers the name")
        else:
            yield from checks.findings(name)
            if self.settings.dns01.uses_dns01(name):
                yield (self._test_provider(name) if has_redis else section.skip(TXT_RECORD, NO_REDIS))
        yield from certificate_findings(
            self.settings, name, self._record(name) if has_redis else None, now_in_utc()
        )
        yield self._limits(name) if has_redis else section.skip(LIMITS, NO_REDIS)
        if staging_order:
            staging = self.settings.authority.staging
            yield place_staging_order(
                name,
                self._authority(staging) if staging else None,
                partial(self._solvers, has_redis),
                self._dns01.presenting,
            )

    def _covering(self, name: str) -> str:
        """
        Return the wildcard whose valid certificate covers *name*; empty if there is none.
        """
        metadata, wildcard = CertificateStore(self.settings.certificates_dir).serving(name)
        return wildcard if metadata and now_in_utc() < metadata.not_after else ""

    def _test_provider(self, name: str) -> Finding:
        section = Section(name)
        try:
            durations = self._dns01.test_provider(base_name(name))
        except CertworkerError as failure:
            return section.failure(TXT_RECORD, failure)
        return section.ok(TXT_RECORD, str(durations))

    def _name(self, given: str) -> str:
        return normalize(
            given,
            private=self.settings.authority.private_names,
            wildcards=self.settings.dns01.is_set,
        )

    def _failed(self) -> Iterator[str]:
        if not self._has_redis():
            return
        with connected(self.settings.redis) as connection:
            agenda = Agenda(connection, lambda _moment: None)
            if len(agenda) <= MOST_ON_THE_AGENDA:
                for record in DomainRecords(connection).read_many(sorted(agenda.names())):
                    if record and record.code:
                        yield record.name

    def _record(self, name: str) -> DomainRecord | None:
        with connected(self.settings.redis) as connection:
            return DomainRecords(connection).read(name)

    def _limits(self, name: str) -> Finding:
        with connected(self.settings.redis) as connection:
            volume = CertificateStore(self.settings.certificates_dir)
            budget = Budget.for_issuer(self.settings, self.settings.authority, connection, volume)
            return limit_findings(name, budget, DomainRecords(connection).read(name))

    @cached_property
    def _dns01(self) -> Dns01Solver:
        return solver_of(self.settings, connect(self.settings.redis))

    def _has_redis(self) -> bool:
        try:
            with connect(self.settings.redis) as connection:
                check_redis(connection)
        except CertworkerError:
            return False
        return True

    def _authority(self, choice: CaChoice) -> AcmeClient:
        known = next((each.authority for each in self.reached if each.choice == choice), None)
        return known or acme_client_for(self.settings, choice, choice.directory_url or NOWHERE, now_in_utc)

    def _solvers(self, has_redis: bool, authority: AcmeClient) -> list[Solver]:
        solvers: list[Solver] = []
        if has_redis:
            tokens = ChallengeTokens(connection := connect(self.settings.redis))
            if keys := self.settings.replication.keys:
                tokens.seal = Responses(connection, ReplicationKeys(keys)).seal
            solvers.append(
                Responder(
                    remember=partial(tokens.remember, authority=authority.label),
                    forget=tokens.forget,
                    authority_of=tokens.authority_of,
                    thumbprints={authority.label: lambda: authority.thumbprint}.get,
                )
            )
        if self.settings.webroot and exists(self.settings.webroot):
            solvers.append(Webroot(self.settings.webroot, lambda: authority.thumbprint))
        return solvers

    def _impossible(self, has_redis: bool) -> Mapping[str, str]:
        impossible = {}
        preferred = self.reached[0]
        if preferred.authority is None:
            impossible["CAA"] = "the development CA does not check CAA records"
        elif preferred.failure:
            impossible["CAA"] = "the CA does not respond, so its name in CAA records is unknown"
        files = AccountFiles(self.settings.state_dir / "accounts" / preferred.choice.label, "")
        if not self._solvers(has_redis, self._authority(preferred.choice)):
            impossible[PORT_80] = "a test response needs Redis or a webroot"
        elif not exists(files.key_path):
            # A key that this command created might belong to the wrong user.
            impossible[PORT_80] = "there is no account key yet; the worker creates one before its first order"
        return impossible


def _authority(settings: Settings, choice: CaChoice) -> AcmeClient | None:
    url = choice.directory_url
    return acme_client_for(settings, choice, url, now_in_utc) if url else None
