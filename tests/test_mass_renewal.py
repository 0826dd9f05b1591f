"""
A mass revocation: the renewal windows of all certificates are in the past, and no certificate expires.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from redis import Redis

from certworker.certificates import Certificate, PrivateKey
from certworker.devca.hierarchy import Hierarchy
from certworker.domains import registered_domain
from certworker.errors.ca import ServerInternal
from certworker.errors.rate import LocalGuard
from certworker.ratelimits.limits import RENEWAL_WITHIN
from certworker.settings.limits import Limit
from certworker.storage.metadata import CertificateMetadata
from tests.simulation import AT_ONCE, BEGIN, Simulation, simulated

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

#: 5,000 names: 500 certificates of one name, 350 of ten, and 20 of fifty.
SIZES = [1] * 500 + [10] * 350 + [50] * 20

#: The number of slots. The CA needs five seconds for an order.
SLOTS = 16
AN_ORDER = timedelta(seconds=5) / SLOTS

#: The number of overdue certificates, with less than a fifth of their validity left.
LATE = 20
#: The number of certificates with three orders today. certworker waits before it orders them again.
OFTEN = 10
#: The number of new names that are requested during the renewals.
NEWCOMERS = 200

#: The limits of Let's Encrypt in certworker's table, as in CERTWORKER_LIMITS_FILE.
LIMITS = {
    "orders_per_account": "300/3h",
    "certificates_per_domain": "50/7d",
    "certificates_per_set": "3 of 5/7d",
    "failures_per_name": "3 of 5/60m",
}


@dataclass
class Bucket:
    """
    One token bucket of the CA, as the CA's documentation of its rate limits describes it.
    """

    limit: Limit
    full: datetime = BEGIN - 365 * DAY

    def take(self, now: datetime) -> bool:
        """
        Take one token. Return whether the bucket had one.
        """
        self.full = max(self.full, now) + self.limit.interval
        return self.full - now <= self.limit.period


@dataclass
class Counted:
    """
    The counters of the CA, independent of certworker's budget.
    """

    seen: dict[frozenset[str], datetime] = field(default_factory=dict)
    orders: Bucket = field(default_factory=lambda: Bucket(Limit(300, 3 * HOUR)))
    domains: dict[str, Bucket] = field(
        default_factory=lambda: defaultdict(lambda: Bucket(Limit(50, 7 * DAY)))
    )
    sets: dict[frozenset[str], Bucket] = field(
        default_factory=lambda: defaultdict(lambda: Bucket(Limit(5, 7 * DAY)))
    )

    def issued_before(self, names: tuple[str, ...], moment: datetime) -> None:
        """
        Count a certificate for *names* from before the incident.
        """
        self.seen[frozenset(names)] = moment
        self.sets[frozenset(names)].take(moment)

    def issued(self, names: tuple[str, ...], now: datetime) -> list[str]:
        """
        Count a certificate for *names* without an exemption. Return the limits that it exceeds.
        """
        exact, before = frozenset(names), self.seen.get(frozenset(names))
        self.seen[exact] = now
        exceeded = [] if self.sets[exact].take(now) else [f"set {names[0]}"]
        if before is None or now - before > RENEWAL_WITHIN:
            exceeded += [] if self.orders.take(now) else ["orders"]
            for domain in set(map(registered_domain, names)):
                exceeded += [] if self.domains[domain].take(now) else [f"domain {domain}"]
        return exceeded


def certificates() -> Iterator[tuple[str, ...]]:
    """
    Yield the names of each certificate. One tenth of the names are below a shared domain.
    """
    number = 0
    for size in SIZES:
        domain = "shared.localhost" if len(range(number, number + size)) == 1 and number % 10 == 0 else ""
        yield tuple(f"shop{number + each}.{domain or f'customer{number}.localhost'}" for each in range(size))
        number += size


def filled(
    simulation: Simulation, lifetime: timedelta, counted: Counted
) -> dict[tuple[str, ...], CertificateMetadata]:
    """
    Store certificates of *lifetime* and of all ages on the volume, as before a restart of the worker and of
    the CA. Return the certificates in service.
    """
    signer = Hierarchy.open(simulation.authority.root_path.parent, BEGIN).intermediate
    label, key, token = simulation.app.issuers[0].ca.label, PrivateKey.generate(), 0
    serving: dict[tuple[str, ...], CertificateMetadata] = {}
    for number, names in enumerate(certificates()):
        for age in ages(number, lifetime):
            begins, token = (BEGIN - age).replace(microsecond=0), token + 1
            leaf = signer.sign(key.key.public_key(), names, begins, begins + lifetime)
            certificate = Certificate.from_pem(leaf.public_bytes(Encoding.PEM) + signer.pem, key)
            stored = simulation.app.certificates.store(
                certificate, authority=label, kind="private", token=token
            )
            simulation.app.certificates.mark_published(stored)
            counted.issued_before(names, begins)
        simulation.app.traefik.publish(stored)
        serving[names] = stored.metadata
    return serving


def ages(number: int, lifetime: timedelta) -> list[timedelta]:
    """
    Return the ages of the certificates of the *number*-th set of names. The newest certificate is the last.
    """
    random = Random(number)
    if number % 43 == 0 and number < 43 * LATE:
        return [lifetime - urgent(lifetime) * random.uniform(0.1, 0.9)]
    if number % 53 == 1 and number < 53 * OFTEN:
        return [5 * HOUR, 4 * HOUR, 3 * HOUR]
    return [lifetime * random.uniform(0.01, 0.62)]


def urgent(lifetime: timedelta) -> timedelta:
    """
    Return the remaining time at which a certificate of *lifetime* has the highest priority.
    """
    return min(48 * HOUR, lifetime / 5)


@dataclass
class MassRenewal:
    """
    The renewals of all certificates in service.
    """

    simulation: Simulation
    serving: dict[tuple[str, ...], CertificateMetadata]
    counted: Counted
    #: The names of each certificate, in the order of their first job.
    tried: dict[tuple[str, ...], None] = field(default_factory=dict)
    #: The time of each new certificate by its names.
    renewed: dict[tuple[str, ...], datetime] = field(default_factory=dict)
    #: The time of the certificate of each new name.
    new: dict[tuple[str, ...], datetime] = field(default_factory=dict)
    exceeded: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)

    def run(self, latest: datetime) -> None:
        """
        Run until each certificate is renewed, or until *latest*.
        """
        app, clock = self.simulation.app, self.simulation.clock
        while len(self.renewed) < len(self.serving) or len(self.new) < NEWCOMERS:
            moment = app.agenda.earliest()
            if moment is None or moment > latest:
                return
            clock.now = max(clock.now, moment + AT_ONCE)
            app.due_names.enqueue()
            # While names are due, a check runs every five seconds. The slots take requests between the
            # checks.
            few = SLOTS if app.agenda.due(clock.now, 1) else None
            for names in islice(self.simulation.requests(), few):
                self.attempt(names)

    def attempt(self, names: tuple[str, ...]) -> None:
        """
        Run one job for *names*, and record its result.
        """
        clock, before = self.simulation.clock, self.serving.get(names)
        self.tried.setdefault(names)
        self.simulation.attempt(names)
        after = self.simulation.app.certificates.metadata(names[0])
        if after and after != before and names not in self.renewed and names not in self.new:
            (self.renewed if before else self.new)[names] = clock.now
            self.exceeded += self.counted.issued(names, clock.now)
            if before and before.not_after <= clock.now:
                self.expired += names
        clock.now += AN_ORDER


@pytest.mark.timeout(900)
@pytest.mark.parametrize("lifetime", [45 * DAY, 160 * HOUR], ids=lambda each: f"{each / HOUR:.0f} h")
def test_all_are_renewed_within_the_limits_in_order_of_urgency(
    tmp_path: Path, connection: Redis, lifetime: timedelta
) -> None:
    """
    The worker renews 5,000 names within the limits, although the windows and their exemption are over. New
    names do not delay the renewals, and the renewals do not delay new names.
    """
    counted = Counted()
    with simulated(tmp_path, connection, LIMITS) as simulation:
        simulation.authority.policy.trusts_every_name = True
        simulation.authority.lifetime = lifetime
        serving = filled(simulation, lifetime, counted)
        simulation.app.reconciler.reconcile()
        simulation.authority.policy.recalled_before = BEGIN
        simulation.app.agenda.put_many(
            {f"new{each}.newcomer{each}.localhost": BEGIN for each in range(NEWCOMERS)}
        )
        renewal = MassRenewal(simulation, serving, counted)
        renewal.run(BEGIN + 40 * HOUR)

        often = {names for number, names in enumerate(serving) if len(ages(number, lifetime)) > 1}
        late = {names for names, metadata in serving.items() if metadata.not_after - BEGIN < urgent(lifetime)}
        first = set(islice(renewal.tried, 2 * LATE))
        assert (LATE, OFTEN) == (len(late), len(often))
        assert sum(map(len, serving)) == sum(map(len, renewal.renewed)) == 5_000
        assert len(renewal.new) == NEWCOMERS
        assert (renewal.expired, renewal.exceeded) == ([], [])
        assert late <= first
        # Outside the window an order counts against its set of names, so it waits until the bucket refills.
        assert min(renewal.renewed[names] for names in often) > BEGIN + 20 * HOUR
        # ARI requests a check within six hours, and no check is more than half a day later.
        assert (
            max(moment for names, moment in renewal.renewed.items() if names not in often) < BEGIN + 13 * HOUR
        )
        assert max(renewal.new.values()) < BEGIN + 13 * HOUR
        assert set(simulation.failed) <= {LocalGuard.code, ServerInternal.code}
        assert simulation.failed[LocalGuard.code] > 0
