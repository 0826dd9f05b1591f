"""
One name: what DNS says of it, whether a CA would find the answer, its certificate, and what the CA allows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from certworker.acme.authority import Authority
from certworker.challenges.solver import Solver
from certworker.checks.addresses import Address, addresses_of, is_public, of_the_loopback
from certworker.checks.verdict import Check, Question, Verdict
from certworker.doctor.findings import Finding, Section
from certworker.errors import CertworkerError
from certworker.ledger.budget import Budget
from certworker.ledger.record import Record
from certworker.questions import checks_of, resolver_of
from certworker.renewal import due_moment, in_words
from certworker.serving.generation import Facts
from certworker.serving.handshake import leaf_of, why_not_seen, why_not_shown
from certworker.serving.links import Links
from certworker.serving.pair import read_pair
from certworker.settings import Settings

PORT_80 = "port 80"
HTTPS = 443

#: A check could not be made because of something that has a line of its own.
OF_THE_MACHINE = ("fs.", "redis.", "acct.")

PAUSE_BEFORE_A_SECOND_LOOK_SECONDS = 0.5

#: From so many of the failures that a CA allows within an hour on, a person should stop trying.
MANY_FAILURES = 3

CERTIFICATE, SERVED, LIMITS = "certificate", "served", "CA limits"


@dataclass(frozen=True)
class Way:
    """
    The way of a CA to the answer for a name.
    """

    settings: Settings
    authorities: Sequence[Authority]
    #: Where answers can be laid.
    solvers: Sequence[Solver]
    #: Checks that cannot be made, each with the reason.
    impossible: Mapping[str, str]

    def findings(self, name: str) -> Iterator[Finding]:
        """
        What is in the way to *name*.
        """
        section = Section(name)
        resolver = resolver_of(self.settings)
        records = resolver.look_up(name)
        for check in checks_of(self.settings, self.authorities, self.solvers, resolver):
            if reason := self.impossible.get(check.name):
                yield section.skipped(check.name, reason)
                continue
            answered = _asked(check, Question(name, records))
            if check.name == PORT_80 and answered.failure:
                # Traefik may be reading its files at this very moment.
                time.sleep(PAUSE_BEFORE_A_SECOND_LOOK_SECONDS)
                answered = _asked(check, Question(name, resolver.look_up(name)))
            if answered.failure and answered.failure.code.startswith(OF_THE_MACHINE):
                yield section.skipped(check.name, f"not possible: {answered.failure.code}")
            else:
                yield from section.of_check(check.name, answered)


def certificate(settings: Settings, name: str, record: Record | None, now: datetime) -> Iterator[Finding]:
    """
    The certificate that *name* has on the volume, and whether Traefik shows it.

    Args:
        record: What happened to the name last; None: nothing is known of it.
    """
    section = Section(name)
    try:
        directory = Links(settings.certificates_dir).leads_to(name)
        stored = read_pair(directory, name) if directory else None
    except CertworkerError as failure:
        yield section.told(CERTIFICATE, failure)
        return
    if directory is None or stored is None:
        why = f"; the last attempt failed with {record.code}" if record and record.code else ""
        yield section.skipped(CERTIFICATE, f"none yet{why}")
        return
    told = f"valid until {stored.not_after:%Y-%m-%d} ({in_words(max(stored.not_after - now, timedelta(0)))})"
    facts = Facts.read(directory)
    if now >= stored.not_after:
        remedy = f"Ask for a new one and see what is in its way: certworker request --wait {name}"
        yield section.failed(CERTIFICATE, f"It has expired on {stored.not_after:%Y-%m-%d %H:%M} UTC.", remedy)
    elif record and record.code:
        yield section.warned(CERTIFICATE, f"{told}, but: {record.message}", record.remedy, record.code)
    elif facts and now >= due_moment(facts.life):
        remedy = f"See what is in its way: certworker request --wait {name}"
        yield section.warned(CERTIFICATE, f"{told}; its renewal is due.", remedy)
    else:
        renewal = f", renewal from {due_moment(facts.life):%Y-%m-%d}" if facts else ""
        yield section.well(CERTIFICATE, told + renewal)
    leaf = leaf_of(stored.cert_pem)
    yield _shown(settings, section, leaf)
    if not of_the_loopback(name):
        yield from visited(settings, name, leaf, addresses_of(name), HTTPS)


def visited(
    settings: Settings, name: str, leaf: bytes, addresses: Sequence[Address], port: int
) -> Iterator[Finding]:
    """
    Whether visitors of *name* see *leaf* at its *addresses*; nothing where nobody answers, for a port that
    is closed to us may be open to the world.
    """
    section, private = Section(name), settings.authority.private_names
    for address in addresses:
        if not (private or is_public(address)):
            continue
        try:
            failure = why_not_seen(name, leaf, str(address), port, settings.config_dir)
        except OSError:
            continue
        if failure is None:
            yield section.well(SERVED, f"visitors of {address} see it")
        else:
            # Traefik itself has a line above; seen from inside, a router may show a certificate of its own.
            yield section.warned(SERVED, failure.message, failure.remedy, failure.code)


def limits(name: str, budget: Budget, record: Record | None) -> Finding:
    """
    What the CA still allows for *name*, as far as we have counted.
    """
    section = Section(name)
    if record and record.state in ("waiting", "paused"):
        until = f" until {record.next_look:%Y-%m-%d %H:%M} UTC" if record.next_look else ""
        return section.failed(LIMITS, f"Blocked{until}: {record.message}", record.remedy, record.code)
    told, failures = [], 0
    for price, used in budget.used([name]):
        if price.kind == "failures" and price.limit:
            failures = used
            told.append(f"{used} of {price.limit.count} failures this hour")
        elif price.kind == "set" and price.limit:
            told.append(f"{used} of {price.limit.count} certificates this week")
    text = ", ".join(told) or "this CA has none that are known"
    if failures < MANY_FAILURES:
        return section.well(LIMITS, text)
    return section.warned(
        LIMITS, text, f"Repair what is wrong before you ask again; see it with: certworker status {name}"
    )


def _asked(check: Check, question: Question) -> Verdict:
    try:
        return check.ask(question)
    except CertworkerError as failure:
        return Verdict.no(failure)


def _shown(settings: Settings, section: Section, leaf: bytes) -> Finding:
    proxy = settings.proxy_address
    if proxy is None:
        return section.skipped(SERVED, "CERTWORKER_PROXY_ADDRESS is off")
    try:
        failure = why_not_shown(section.title, leaf, proxy, settings.config_dir)
    except OSError as error:
        return section.skipped(SERVED, f"{proxy} could not be asked: {error.strerror or error}")
    return section.told(SERVED, failure) if failure else section.well(SERVED, f"{proxy} shows it")
