"""
The TXT records for the challenges of one order, from the first DNS query to their deletion.

::

    where ──► for each zone: lock, list, create ──► all name servers return them ──► extra wait ──► validation
                                                                                                        │
                                      for each zone: lock, delete, remove from the list  ◄──────────────┘

A record is in the list of :class:`~certworker.dns01.txt_records.TxtRecords` before it is created. If a worker
is killed, a worker with the provider deletes the records after the lease of the order has expired.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Self

from redis import Redis

from certworker.challenges.challenge import DNS01_LABEL, Dns01Challenge
from certworker.dns.udp import Server
from certworker.dns01.acme_dns import LABEL as ACME_DNS
from certworker.dns01.delegation import Delegations, Location
from certworker.dns01.leftovers import LEASE_PREFIX, Leftovers
from certworker.dns01.propagation import Awaited, Propagation
from certworker.dns01.provider import Provider, Providers, TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.record_changes import RecordChanges
from certworker.dns01.txt_records import TxtRecords
from certworker.dns01.zone_lock import ZoneLocks
from certworker.domains.normalize import MAX_NAME_LENGTH
from certworker.errors.dns01 import CnameElsewhere, HidesWildcard, LeftBehind, NotConfigured, NotVisible
from certworker.errors.name import NameTooLong
from certworker.state.locks import DomainLocks
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer

logger = logging.getLogger(__name__)

#: The maximum number of names of one order whose zones are searched at the same time.
SEARCHERS = 8


@dataclass(frozen=True)
class Plan:
    """
    Where the record of a name would be created, and by which provider.
    """

    #: The requested name, without "*.".
    name: str
    location: Location
    #: None if no provider serves the zone.
    provider: Provider | None

    @property
    def served(self) -> Provider:
        """
        Return the provider.

        Raises:
            NotConfigured: No provider serves the zone of the name.
            CnameElsewhere: No provider serves the zone that the CNAME of the name leads to.
        """
        if self.provider:
            return self.provider
        raise self.not_served()

    def not_served(self) -> NotConfigured | CnameElsewhere:
        """
        Return the failure of a plan without a provider.
        """
        found = self.location
        if not found.aliases:
            return NotConfigured(name=self.name, zone=found.zone)
        chain = " → ".join([found.name, *found.aliases])
        return CnameElsewhere(name=found.name, detail=f"{chain} (no provider serves the zone {found.zone})")

    @property
    def warnings(self) -> tuple[HidesWildcard, ...]:
        """
        Return the warning for a host that only a wildcard resolves; none for any other host.
        """
        hides = self.location.hides
        return (HidesWildcard(name=self.name, wildcard=hides),) if hides else ()


@dataclass(frozen=True)
class ProviderTest:
    """
    The duration of each step of a test of a DNS provider, in seconds.
    """

    plan: Plan
    #: The seconds until the provider had created the record.
    created: float
    #: The seconds after that until all name servers returned the record.
    visible: float
    #: The seconds after that until the provider had deleted the record; about 0 for acme-dns, which deletes
    #: none.
    deleted: float

    def __str__(self) -> str:
        """
        Return the durations as a sentence.
        """
        # A server to which this machine has no route is not queried.
        servers = sum(1 for each in self.plan.location.servers if each.addresses)
        label = self.plan.served.label
        end = "acme-dns cannot delete it" if label == ACME_DNS else f"deleted in {self.deleted:.2f} s"
        return (
            f"{label} created {self.plan.location.fqdn} in {self.created:.2f} s; visible at "
            f"{servers} name {'server' if servers == 1 else 'servers'} after {self.visible:.2f} s; {end}"
        )


@dataclass(frozen=True)
class _Answer:
    record: TxtRecord
    plan: Plan


class Dns01Solver:
    """
    Creates the TXT records of challenges, waits until they are visible, and deletes them.

    It also tests providers, and deletes the records that killed workers left behind.

    Several workers may use the same zone at the same time if they use the same Redis.

    Args:
        providers: The providers of this worker.
        delegations: Finds the zones.
        propagation: Waits for the name servers.
        changes: Creates and deletes records.
        leftovers: Deletes the records of killed workers.
        locks: The leases of orders.
        states: The state of the providers.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        *,
        providers: Providers,
        delegations: Delegations,
        propagation: Propagation,
        changes: RecordChanges,
        leftovers: Leftovers,
        locks: DomainLocks,
        states: ProviderState,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._providers = providers
        self._delegations = delegations
        self._propagation = propagation
        self._changes = changes
        self._leftovers = leftovers
        self._locks = locks
        self._states = states
        self._pause = pause

    @classmethod
    def for_worker(
        cls,
        providers: Providers,
        *,
        resolvers: Sequence[Server],
        private: bool,
        timeout_seconds: float,
        directory: Path,
        connection: Redis,
        locks: DomainLocks,
        clock: Callable[[], datetime],
    ) -> Self:
        """
        Return the solver of a worker.

        Args:
            providers: The providers of this worker.
            resolvers: The resolvers that are queried to find the zones and their name servers.
            private: Whether name servers at private addresses may be queried. A resolver at such an address
                also allows it.
            timeout_seconds: How long name servers may take to return a record.
            directory: The directory for the list of created records, STATE_DIR/dns01.
            connection: To Redis.
            locks: The locks of this worker.
            clock: Returns the time in UTC.
        """
        delegations, propagation = Delegations(resolvers, private=private), Propagation(timeout_seconds)
        records = TxtRecords(connection, directory, clock=clock)
        states = ProviderState(connection, clock=clock)
        changes = RecordChanges(
            records, ZoneLocks(connection, locks), states, OncePer(connection, LOGGED, LOGGED_TTL)
        )
        leftovers = Leftovers(
            providers=providers,
            delegations=delegations,
            propagation=propagation,
            records=records,
            changes=changes,
            locks=locks,
            clock=clock,
        )
        return cls(
            providers=providers,
            delegations=delegations,
            propagation=propagation,
            changes=changes,
            leftovers=leftovers,
            locks=locks,
            states=states,
        )

    def plan(self, name: str) -> Plan:
        """
        Return where the record of *name* would be created, and by which provider; nothing changes.

        Args:
            name: Without "*.".

        Raises:
            NameTooLong: The name of the record would be too long.
            CnameElsewhere: The CNAMEs form a loop, are too many, or end where no record can be created.
            CertworkerError: The zone of the record cannot be found.
        """
        owner = f"{DNS01_LABEL}.{name}"
        if len(owner) > MAX_NAME_LENGTH:
            what = f"the name of its TXT record ({DNS01_LABEL}.…)"
            raise NameTooLong(name=name, what=what, length=len(owner), limit=MAX_NAME_LENGTH)
        location = self._delegations.find(owner)
        return Plan(name, location, self._providers.serving(location.zone))

    @contextmanager
    def presenting(self, challenges: Sequence[Dns01Challenge]) -> Iterator[None]:
        """
        Publish the records of *challenges* during the block.

        The block begins after all name servers return the records and the longest extra wait of the providers
        ends.

        A record that cannot be deleted afterward is logged as `dns01.left_behind`, and the deletion is
        retried later. If the block raises NotVisible, the CA did not see a visible record: the next orders
        wait longer.

        Raises:
            CertworkerError: The zone or the provider of a record cannot be found, or the provider is paused.
                Or a record cannot be created, or is not visible in time; then the records are deleted.
            redis.RedisError: Redis failed.
        """
        answers = self._answers(challenges)
        labels = {answer.plan.served.label for answer in answers}
        with self._created(answers):
            self._wait(answers)
            if extra_wait := max(map(self._states.extra_wait_seconds, labels), default=0.0):
                self._pause(extra_wait)
            with self._adjusting_extra_wait(labels):
                yield

    def test_provider(self, name: str) -> ProviderTest:
        """
        Create a harmless record for *name*, wait until it is visible, and delete it; return the durations.

        Args:
            name: Without "*.".

        Raises:
            LeftBehind: The record was not deleted. The log has the reason.
            CertworkerError: As for :meth:`presenting`.
            redis.RedisError: Redis failed.
        """
        token, thumbprint = (secrets.token_urlsafe(32) for _ in range(2))
        answers = self._answers([Dns01Challenge(name, token, f"{token}.{thumbprint}")])
        times = [time.monotonic()]
        with ExitStack() as stack:
            stack.enter_context(self._created(answers))
            times.append(time.monotonic())
            self._wait(answers)
            times.append(time.monotonic())
        times.append(time.monotonic())
        record = answers[0].record
        if self._changes.is_listed(record):
            reason = "the deletion failed, and the log has the reason"
            raise LeftBehind(fqdn=record.fqdn, value=record.value, zone=record.zone, reason=reason)
        created, visible, deleted = (after - before for before, after in pairwise(times))
        return ProviderTest(answers[0].plan, created, visible, deleted)

    def remove_leftovers(self) -> None:
        """
        Delete the records of killed workers, and those whose deletion failed earlier.

        Raises:
            CertworkerError: The list cannot be read or written.
            redis.RedisError: Redis failed.
        """
        self._leftovers.delete_all()

    def _answers(self, challenges: Sequence[Dns01Challenge]) -> list[_Answer]:
        names = sorted({challenge.name for challenge in challenges})
        with ThreadPoolExecutor(min(len(names), SEARCHERS) or 1) as searchers:
            plans = dict(zip(names, searchers.map(self.plan, names), strict=True))
        for plan in plans.values():
            self._changes.refuse_paused(plan.served.label)
        answers = []
        for each in challenges:
            found = plans[each.name].location
            record = TxtRecord(
                found.fqdn, each.value, found.zone, each.name, each.token, each.key_authorization
            )
            answers.append(_Answer(record, plans[each.name]))
        return answers

    @contextmanager
    def _created(self, answers: Sequence[_Answer]) -> Iterator[None]:
        order = secrets.token_hex(16)
        with self._locks.hold([LEASE_PREFIX + order]), ExitStack() as stack:
            for in_zone in _by_zone(answers):
                # The callback comes first, because even a failed creation may have created the record.
                stack.callback(self._changes.delete, *in_zone, order)
                self._changes.create(*in_zone, order)
            yield

    def _wait(self, answers: Sequence[_Answer]) -> None:
        awaited = []
        for fqdn, group in groupby(sorted(answers, key=_fqdn), key=_fqdn):
            same = list(group)
            values = frozenset(each.record.value for each in same)
            awaited.append(Awaited(same[0].plan.name, fqdn, values, same[0].plan.location.servers))
        seconds = self._propagation.wait(awaited)
        logger.debug("the TXT records were visible after %.2f s", seconds)

    @contextmanager
    def _adjusting_extra_wait(self, labels: Iterable[str]) -> Iterator[None]:
        try:
            yield
        except NotVisible:
            for label in labels:
                self._states.validation_failed(label)
            raise
        for label in labels:
            self._states.validated(label)


def _fqdn(answer: _Answer) -> str:
    return answer.record.fqdn


def _by_zone(answers: Iterable[_Answer]) -> list[tuple[list[TxtRecord], Provider]]:
    zones: dict[str, tuple[list[TxtRecord], Provider]] = {}
    for each in answers:
        records, _ = zones.setdefault(each.record.zone, ([], each.plan.served))
        records.append(each.record)
    return [zones[zone] for zone in sorted(zones)]
