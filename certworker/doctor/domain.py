"""
One name: what DNS says of it, whether a CA would find the answer, its certificate, and what the CA allows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from certworker.acme.client import AcmeClient
from certworker.challenges.challenge import Solver
from certworker.dns.resolver import resolve_system
from certworker.doctor.findings import Finding, Section
from certworker.domains import is_wildcard
from certworker.domains.address import Address, is_loopback_name, is_public
from certworker.errors import CertworkerError
from certworker.preflight.checkers import build_resolver, domain_checks
from certworker.preflight.result import Check, CheckContext, CheckResult
from certworker.ratelimits.budget import Budget
from certworker.redis.failures import to_failure
from certworker.renewal.policy import in_words, renewal_time
from certworker.settings import Settings
from certworker.state.domain_records import DomainRecord
from certworker.storage.keypair import load
from certworker.storage.links import Links
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik.tls_probe import check_address, check_proxy, leaf_of

PORT_80 = "port 80"
HTTPS = 443

#: A check could not be made because of something that has a line of its own.
OF_THE_MACHINE = ("fs.", "redis.", "acct.")

RETRY_PAUSE_SECONDS = 0.5

#: From so many of the failures that a CA allows within an hour on, a person should stop trying.
MANY_FAILURES = 3

CERTIFICATE, SERVED, LIMITS = "certificate", "served", "CA limits"


@dataclass(frozen=True)
class DomainReport:
    """
    The way of a CA to the answer for a name.
    """

    settings: Settings
    authorities: Sequence[AcmeClient]
    #: Where answers can be laid.
    solvers: Sequence[Solver]
    #: Checks that cannot be made, each with the reason.
    impossible: Mapping[str, str]

    def findings(self, name: str) -> Iterator[Finding]:
        """
        What is in the way to *name*.
        """
        section = Section(name)
        resolver = build_resolver(self.settings)
        records = resolver.look_up(name)
        for check in domain_checks(self.settings, self.authorities, self.solvers, resolver):
            if reason := self.impossible.get(check.name):
                yield section.skip(check.name, reason)
                continue
            answered = self._asked(check, CheckContext(name, records))
            if check.name == PORT_80 and answered.failure:
                # Traefik may be reading its files at this very moment.
                time.sleep(RETRY_PAUSE_SECONDS)
                answered = self._asked(check, CheckContext(name, resolver.look_up(name)))
            if answered.failure and answered.failure.code.startswith(OF_THE_MACHINE):
                yield section.skip(check.name, f"not possible: {answered.failure.code}")
            else:
                yield from section.from_check(check.name, answered)

    def _asked(self, check: Check, question: CheckContext) -> CheckResult:
        try:
            return check.run(question)
        except CertworkerError as failure:
            return CheckResult.fail(failure)
        except RedisError as error:
            return CheckResult.fail(to_failure(error, str(self.settings.redis)))


def certificate_findings(
    settings: Settings, name: str, record: DomainRecord | None, now: datetime
) -> Iterator[Finding]:
    """
    The certificate that *name* has on the volume, and whether Traefik shows it.

    Args:
        record: What happened to the name last; None: nothing is known of it.
    """
    section = Section(name)
    try:
        directory = Links(settings.certificates_dir).target_of(name)
        stored = load(directory, name) if directory else None
    except CertworkerError as failure:
        yield section.failure(CERTIFICATE, failure)
        return
    if directory is None or stored is None:
        why = f"; the last attempt failed with {record.code}" if record and record.code else ""
        yield section.skip(CERTIFICATE, f"none yet{why}")
        return
    told = f"valid until {stored.not_after:%Y-%m-%d} ({in_words(max(stored.not_after - now, timedelta(0)))})"
    facts = CertificateMetadata.read(directory)
    if now >= stored.not_after:
        remedy = f"Ask for a new one and see what is in its way: certworker request --wait {name}"
        yield section.fail(CERTIFICATE, f"It has expired on {stored.not_after:%Y-%m-%d %H:%M} UTC.", remedy)
    elif record and record.code:
        yield section.warn(CERTIFICATE, f"{told}, but: {record.message}", record.remedy, record.code)
    elif facts and now >= renewal_time(facts.validity):
        remedy = f"See what is in its way: certworker request --wait {name}"
        yield section.warn(CERTIFICATE, f"{told}; its renewal is due.", remedy)
    else:
        renewal = f", renewal from {renewal_time(facts.validity):%Y-%m-%d}" if facts else ""
        yield section.ok(CERTIFICATE, told + renewal)
    leaf = leaf_of(stored.cert_pem)
    yield _shown(settings, section, leaf)
    # A wildcard has no address of its own.
    if not is_loopback_name(name) and not is_wildcard(name):
        yield from served_findings(settings, name, leaf, resolve_system(name), HTTPS)


def served_findings(
    settings: Settings, name: str, leaf: bytes, addresses: Sequence[Address], port: int
) -> Iterator[Finding]:
    """
    Yield whether *name* serves *leaf* at each of its *addresses*.

    An address without an answer yields nothing: a port that is closed here may be open to the Internet.
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
            yield section.ok(SERVED, f"visitors of {address} see it")
        else:
            # Traefik itself has a line above; seen from inside, a router may show a certificate of its own.
            yield section.warn(SERVED, failure.message, failure.remedy, failure.code)


def limit_findings(name: str, budget: Budget, record: DomainRecord | None) -> Finding:
    """
    What the CA still allows for *name*, as far as we have counted.
    """
    section = Section(name)
    if record and record.state in ("waiting", "paused"):
        until = f" until {record.next_check:%Y-%m-%d %H:%M} UTC" if record.next_check else ""
        return section.fail(LIMITS, f"Blocked{until}: {record.message}", record.remedy, record.code)
    told, failures = [], 0
    for price, used in budget.usage([name]):
        if price.kind == "failures" and price.limit:
            failures = used
            told.append(f"{used} of {price.limit.count} failures this hour")
        elif price.kind == "set" and price.limit:
            told.append(f"{used} of {price.limit.count} certificates this week")
    text = ", ".join(told) or "this CA has none that are known"
    if failures < MANY_FAILURES:
        return section.ok(LIMITS, text)
    return section.warn(
        LIMITS, text, f"Repair what is wrong before you ask again; see it with: certworker status {name}"
    )


def _shown(settings: Settings, section: Section, leaf: bytes) -> Finding:
    proxy = settings.proxy_address
    if proxy is None:
        return section.skip(SERVED, "CERTWORKER_PROXY_ADDRESS is off")
    try:
        failure = check_proxy(section.title, leaf, proxy, settings.config_dir)
    except OSError as error:
        return section.skip(SERVED, f"{proxy} could not be asked: {error.strerror or error}")
    return section.failure(SERVED, failure) if failure else section.ok(SERVED, f"{proxy} shows it")
