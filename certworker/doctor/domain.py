"""
The checks of a name: DNS, port 80, certificate, limits, and an order from the staging CA.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote

from redis.exceptions import RedisError

from certworker.acme.client import AcmeClient
from certworker.certificates import Certificate, PrivateKey
from certworker.challenges.challenge import PresentInDns, Solver, present_all
from certworker.dns.resolver import resolve_system
from certworker.doctor.findings import Finding, Section
from certworker.domains import is_wildcard
from certworker.domains.address import Address, is_loopback_name, is_public
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError
from certworker.errors.imports import ImportDamaged, ImportEnds
from certworker.minutes import not_before
from certworker.preflight.checkers import build_resolver, domain_checks
from certworker.preflight.dns01 import PlanRecord
from certworker.preflight.result import Check, CheckContext, CheckResult
from certworker.ratelimits.budget import Budget
from certworker.redis.failures import to_failure
from certworker.renewal.policy import in_words, renewal_time
from certworker.renewal.reminders import reminder_at
from certworker.settings import Settings
from certworker.state.domain_records import DomainRecord
from certworker.storage.covered_names import CoveredNames
from certworker.storage.keypair import load
from certworker.storage.links import Links
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik.tls_probe import check_address, check_proxy, leaf_of

PORT_80 = "port 80"
HTTPS = 443

#: The prefixes of the codes of failures that make a check of a name impossible. Each such failure has its own
#: line in the report.
OF_THE_MACHINE = ("fs.", "redis.", "acct.")

#: The prefixes of the codes of failures because of a limit of the CA.
OF_LIMITS = ("rate.", "acct.too_many")

RETRY_PAUSE_SECONDS = 0.5

#: If a name has at least this many failures within the period of the CA's limit, the report warns that the
#: cause needs a fix before the next request.
MANY_FAILURES = 3

CERTIFICATE, SERVED, LIMITS = "certificate", "served", "CA limits"

STAGING_ORDER = "staging order"
TXT_RECORD = "TXT record"


@dataclass(frozen=True)
class DomainReport:
    """
    The checks that precede an order for a name.
    """

    settings: Settings
    authorities: Sequence[AcmeClient]
    #: The solvers that publish a test response.
    solvers: Sequence[Solver]
    plan_record: PlanRecord
    #: The checks that are impossible, each with its reason.
    impossible: Mapping[str, str]

    def findings(self, name: str) -> Iterator[Finding]:
        """
        Yield the results of the checks for *name*.
        """
        section = Section(name)
        resolver = build_resolver(self.settings)
        records = resolver.look_up(base_name(name))
        challenge_type = self.authorities[0].challenge_type(name)
        for check in domain_checks(self.settings, self.authorities, self.solvers, self.plan_record, resolver):
            if challenge_type not in check.challenge_types:
                continue
            if reason := self.impossible.get(check.name):
                yield section.skip(check.name, reason)
                continue
            result = self._run(check, CheckContext(name, records, challenge_type=challenge_type))
            if check.name == PORT_80 and result.failure:
                # Traefik may be reading its files at this moment.
                time.sleep(RETRY_PAUSE_SECONDS)
                result = self._run(check, CheckContext(name, resolver.look_up(name)))
            if result.failure and result.failure.code.startswith(OF_THE_MACHINE):
                yield section.skip(check.name, f"not possible: {result.failure.code}")
            else:
                yield from section.from_check(check.name, result)

    def _run(self, check: Check, context: CheckContext) -> CheckResult:
        try:
            return check.run(context)
        except CertworkerError as failure:
            return CheckResult.fail(failure)
        except RedisError as error:
            return CheckResult.fail(to_failure(error, str(self.settings.redis)))


def certificate_findings(
    settings: Settings, name: str, record: DomainRecord | None, now: datetime
) -> Iterator[Finding]:
    """
    Yield the findings about the certificate of *name* on the volume, and whether Traefik and the addresses of
    *name* in DNS serve it.

    Args:
        settings: The settings.
        name: The name.
        record: The record of the last attempt; None if there is none.
        now: The current time.
    """
    section, directory = Section(name), None
    try:
        wildcard = CoveredNames(settings.certificates_dir).wildcard_of(name)
        links = Links(settings.certificates_dir)
        directory = links.target_of(name) or (links.target_of(wildcard) if wildcard else None)
        stored = load(directory, name) if directory else None
    except CertworkerError as failure:
        known = CertificateMetadata.read(directory) if directory else None
        is_imported = known is not None and known.is_imported
        yield section.failure(CERTIFICATE, ImportDamaged(name=name) if is_imported else failure)
        return
    if directory is None or stored is None:
        why = f"; the last attempt failed with {record.code}" if record and record.code else ""
        yield section.skip(CERTIFICATE, f"none yet{why}")
        return
    left = in_words(max(stored.not_after - now, timedelta(0)))
    covered = f"covered by {wildcard}, " if wildcard in stored.names else ""
    text = f"{covered}valid until {stored.not_after:%Y-%m-%d} ({left})"
    metadata = CertificateMetadata.read(directory)
    if metadata and metadata.is_imported:
        yield _imported(section, name, metadata, text, now)
    elif now >= stored.not_after:
        remedy = f"Request a new one, and read the result: certworker request --wait {quote(name)}"
        yield section.fail(CERTIFICATE, f"It expired at {stored.not_after:%Y-%m-%d %H:%M} UTC.", remedy)
    elif record and record.code:
        yield section.warn(CERTIFICATE, f"{text}, but: {record.message}", record.remedy, record.code)
    elif metadata and now >= renewal_time(metadata.validity):
        remedy = f"Request the renewal, and read the result: certworker request --wait {quote(name)}"
        yield section.warn(CERTIFICATE, f"{text}; its renewal is due.", remedy)
    else:
        renewal = f", renewal due on {renewal_time(metadata.validity):%Y-%m-%d}" if metadata else ""
        yield section.ok(CERTIFICATE, text + renewal)
    leaf = leaf_of(stored.cert_pem)
    yield _served_by_proxy(settings, section, leaf)
    # A wildcard does not have its own address.
    if not is_loopback_name(name) and not is_wildcard(name):
        yield from served_findings(settings, name, leaf, resolve_system(name), HTTPS)


def _imported(
    section: Section, name: str, metadata: CertificateMetadata, text: str, now: datetime
) -> Finding:
    """
    Return the line for an imported certificate, which certworker does not renew. *text* is its validity.
    """
    left = metadata.not_after - now
    if reminder_at(metadata.validity, left) is None:
        return section.ok(CERTIFICATE, f"{text}, imported")
    has_ended = left <= timedelta(0)
    ends = f"expired {in_words(-left)} ago" if has_ended else f"expires in {in_words(left)}"
    failure, line = ImportEnds(name=name, ends=ends), section.fail if has_ended else section.warn
    return line(CERTIFICATE, failure.message, failure.remedy, failure.code)


def served_findings(
    settings: Settings, name: str, leaf: bytes, addresses: Sequence[Address], port: int
) -> Iterator[Finding]:
    """
    Yield for each of *addresses* whether the server there serves *leaf* for *name*.

    An address that does not respond yields nothing: a port that this machine cannot reach may be open to the
    Internet. Unless the CA issues for private names, a private address yields nothing either.
    """
    section, private = Section(name), settings.authority.private_names
    for address in addresses:
        if not (private or is_public(address)):
            continue
        try:
            failure = check_address(name, leaf, str(address), port, settings.config_dir)
        except OSError:
            continue
        if failure is None:
            yield section.ok(SERVED, f"{address} serves it")
        else:
            # This is only a warning: from the inside, a router may answer with another certificate. Traefik
            # has its own line.
            yield section.warn(SERVED, failure.message, failure.remedy, failure.code)


def limit_findings(name: str, budget: Budget, record: DomainRecord | None) -> Finding:
    """
    Return how much of the limits of the CA for *name* is used, as certworker counts it.

    If *name* is waiting or paused after a failure, return that failure instead.
    """
    section = Section(name)
    # A request that is waiting for a slot has no code: the limits do not delay it.
    if record and record.code and record.state in ("waiting", "paused"):
        until = f" until {not_before(record.next_check)}" if record.next_check else ""
        word = "Blocked" if record.code.startswith(OF_LIMITS) else "Waiting"
        return section.fail(LIMITS, f"{word}{until}: {record.message}", record.remedy, record.code)
    parts, failures = [], 0
    for charge, used in budget.usage([name]):
        if charge.limit is None or charge.kind not in ("failures", "set"):
            continue
        if charge.kind == "failures":
            failures = used
        what = "failures" if charge.kind == "failures" else "certificates"
        parts.append(f"{used} of {charge.limit.count} {what} within {charge.limit.period_in_words}")
    text = ", ".join(parts) or "this CA has no known limits per name"
    if failures < MANY_FAILURES:
        return section.ok(LIMITS, text)
    remedy = f"Fix the cause before the next request. To see the cause: certworker status {quote(name)}"
    return section.warn(LIMITS, text, remedy)


def _served_by_proxy(settings: Settings, section: Section, leaf: bytes) -> Finding:
    proxy = settings.proxy_address
    if proxy is None:
        return section.skip(SERVED, "CERTWORKER_PROXY_ADDRESS is off")
    try:
        failure = check_proxy(section.title, leaf, proxy, settings.config_dir)
    except OSError as error:
        return section.skip(SERVED, f"{proxy} does not respond: {error.strerror or error}")
    return section.failure(SERVED, failure) if failure else section.ok(SERVED, f"{proxy} serves it")


def place_staging_order(
    name: str,
    staging: AcmeClient | None,
    solvers: Callable[[AcmeClient], Sequence[Solver]],
    present_in_dns: PresentInDns,
) -> Finding:
    """
    Order a certificate for *name* from the staging CA, and discard it: the most complete check of a name.

    Args:
        name: The name.
        staging: The client of the staging environment of the CA; None if the CA has none.
        solvers: Returns the solvers that publish the responses for a CA.
        present_in_dns: Publishes TXT records within its block.
    """
    section = Section(name)
    if staging is None:
        return section.skip(STAGING_ORDER, "this CA has no staging environment")
    try:
        certificate = _order(name, staging, solvers(staging), present_in_dns)
    except CertworkerError as failure:
        return section.failure(STAGING_ORDER, failure)
    return section.ok(
        STAGING_ORDER,
        f"{staging.title} issued a certificate (not installed), serial {certificate.serial}",
    )


def _order(
    name: str, authority: AcmeClient, solvers: Sequence[Solver], present_in_dns: PresentInDns
) -> Certificate:
    order = authority.order((name,))
    with present_all(order.responses, solvers, present_in_dns):
        order.validate()
    key = PrivateKey.generate("ec256")
    return Certificate.from_pem(order.finalize(key.sign_request((name,))), key)
