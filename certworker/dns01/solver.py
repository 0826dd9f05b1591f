"""
The TXT records of the challenges of one order, from the first look at DNS to their deletion.

::

    where ──► for each zone: lock, note, create ──► all name servers show them ──► settle ──► validation
                                                                                                  │
                                          for each zone: lock, delete, forget  ◄──────────────────┘

A record is in the list of :class:`~certworker.dns01.txt_records.TxtRecords` before it is created. Any worker
deletes the records of a killed one, as soon as the lease of its order has ended.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from certworker.challenges.challenge import DNS01_LABEL, Dns01Challenge
from certworker.dns.udp import Server
from certworker.dns01.delegation import Delegations, Location
from certworker.dns01.propagation import Awaited, Propagation
from certworker.dns01.provider import Provider, Providers, TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.txt_records import Entry, TxtRecords, identifier_of
from certworker.dns01.zone_lock import ZoneLocks
from certworker.errors import CertworkerError
from certworker.errors.dns01 import (
    CnameElsewhere,
    LeftBehind,
    NotConfigured,
    NotVisible,
    ProviderRateLimited,
    ZoneBusy,
)
from certworker.state.locks import DomainLocks
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer
from certworker.supervision import beat

logger = logging.getLogger(__name__)

#: An order holds this lock for as long as it needs its records.
LEASE_PREFIX = "dns01-order:"

#: Names whose places are searched at the same time.
SEARCHERS = 8

#: How long the removal of leftovers waits for other writers of a zone.
PATIENCE_SECONDS = 5.0
#: After this time all name servers show a record that was created.
SETTLED = timedelta(minutes=10)
#: A failed deletion is tried again after this time, doubled with each failure, at most after the second one.
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=6)


@dataclass(frozen=True)
class Plan:
    """
    Where the record of a name would be created, and by which provider.
    """

    #: The requested name, without "*.".
    name: str
    location: Location
    #: None: no provider serves the zone.
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
        place = self.location
        if not place.aliases:
            raise NotConfigured(name=self.name, zone=place.zone)
        chain = " → ".join([place.name, *place.aliases])
        raise CnameElsewhere(name=place.name, detail=f"{chain} (no provider serves the zone {place.zone})")


@dataclass(frozen=True)
class _Answer:
    """
    The record of one challenge.
    """

    record: TxtRecord
    plan: Plan


class Dns01Solver:
    """
    Creates the TXT records of challenges, waits until they are visible, and deletes them.

    All workers of one Redis may use the same zones at the same time.

    Args:
        providers: The providers of this worker.
        delegations: Finds the zones.
        propagation: Waits for the name servers.
        records: The list of created records.
        zones: The locks of zones.
        locks: The leases of orders.
        states: The state of the providers.
        once_a_day: Limits repeated log lines.
        clock: Returns the time in UTC.
        pause: Waits for some seconds.
    """

    def __init__(
        self,
        *,
        providers: Providers,
        delegations: Delegations,
        propagation: Propagation,
        records: TxtRecords,
        zones: ZoneLocks,
        locks: DomainLocks,
        states: ProviderState,
        once_a_day: OncePer,
        clock: Callable[[], datetime],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._providers = providers
        self._delegations = delegations
        self._propagation = propagation
        self._records = records
        self._zones = zones
        self._locks = locks
        self._states = states
        self._once_a_day = once_a_day
        self._clock = clock
        self._pause = pause

    def plan(self, name: str) -> Plan:
        """
        Return where the record of *name* would be created; nothing changes.

        Args:
            name: Without "*.".

        Raises:
            CnameElsewhere: The CNAME of the challenge is a loop, too long, or leads to no zone.
            CertworkerError: DNS cannot be queried.
        """
        location = self._delegations.find(f"{DNS01_LABEL}.{name}")
        return Plan(name, location, self._providers.serving(location.zone))

    @contextmanager
    def presenting(self, challenges: Sequence[Dns01Challenge]) -> Iterator[None]:
        """
        Publish the records of *challenges* for the length of the block, which begins when all are visible.

        A record that cannot be deleted afterwards is logged as `dns01.left_behind` and deleted later. If the
        block raises NotVisible, the CA did not see a visible record: the next orders wait longer.

        Raises:
            CertworkerError: A record cannot be created, or is not visible in time. Nothing is left.
            redis.RedisError: Redis failed.
        """
        answers = self._answers(challenges)
        order = secrets.token_hex(16)
        with self._locks.hold([LEASE_PREFIX + order]):
            created: list[_Answer] = []
            try:
                for in_zone in _by_zone(answers):
                    created += in_zone
                    self._create(in_zone, order)
                self._wait(answers)
                with self._learning({answer.plan.served.label for answer in answers}):
                    yield
            finally:
                for in_zone in _by_zone(created):
                    self._delete(in_zone, order)

    def remove_leftovers(self) -> None:
        """
        Delete the records of killed workers, and those whose deletion failed before.

        Raises:
            CertworkerError: The list cannot be read.
            redis.RedisError: Redis failed.
        """
        self._records.remove_leftovers()
        for entry in self._records.all().values():
            if self._is_due(entry):
                beat()
                self._delete_leftover(entry)

    def _answers(self, challenges: Sequence[Dns01Challenge]) -> list[_Answer]:
        names = sorted({challenge.name for challenge in challenges})
        with ThreadPoolExecutor(min(len(names), SEARCHERS) or 1) as searchers:
            plans = dict(zip(names, searchers.map(self.plan, names), strict=True))
        answers = []
        for each in challenges:
            plan = plans[each.name]
            self._refuse_paused(plan.served.label)
            place = plan.location
            record = TxtRecord(
                place.fqdn, each.value, place.zone, each.name, each.token, each.key_authorization
            )
            answers.append(_Answer(record, plan))
        return answers

    def _create(self, answers: Sequence[_Answer], order: str) -> None:
        zone = answers[0].record.zone
        provider = answers[0].plan.served
        with self._zones.hold(zone) as lease:
            self._refuse_paused(provider.label)
            self._records.add([each.record for each in answers], order=order, provider=provider.label)
            for each in answers:
                if not lease.still_held():
                    raise ZoneBusy(zone=zone, seconds=f"{lease.duration.total_seconds():g}")
                with self._noticing_limits(provider.label):
                    provider.present(each.record)
                beat()

    def _wait(self, answers: Sequence[_Answer]) -> None:
        awaited = []
        for fqdn, group in groupby(sorted(answers, key=_fqdn), key=_fqdn):
            same = list(group)
            place = same[0].plan.location
            values = frozenset(each.record.value for each in same)
            awaited.append(Awaited(same[0].plan.name, fqdn, values, place.servers))
        seconds = self._propagation.wait(awaited)
        labels = {each.plan.served.label for each in answers}
        settling = max(map(self._states.settling_seconds, labels), default=0.0)
        logger.debug("the TXT records were visible after %.2f s and settle for %g s", seconds, settling)
        if settling:
            self._pause(settling)

    @contextmanager
    def _learning(self, labels: Iterable[str]) -> Iterator[None]:
        try:
            yield
        except NotVisible:
            for label in labels:
                self._states.validation_failed(label)
            raise
        for label in labels:
            self._states.validated(label)

    def _delete(self, answers: Sequence[_Answer], order: str) -> None:
        """
        Delete the records of one zone. The result of the order matters more than any failure here.
        """
        left = {each.record: each.plan.served for each in answers}
        reason: Exception | None = None
        try:
            with self._zones.hold(answers[0].record.zone):
                for record, provider in list(left.items()):
                    current = self._records.get(record)
                    try:
                        # Otherwise another order needs the same record.
                        if current is None or current.order == order:
                            self._delete_one(record, provider)
                        del left[record]
                    except CertworkerError as failure:
                        reason = failure
        except (CertworkerError, RedisError) as failure:
            reason = failure
        for record in left:
            _log_left_behind(record, reason)

    def _delete_one(self, record: TxtRecord, provider: Provider) -> None:
        self._refuse_paused(provider.label)
        with self._noticing_limits(provider.label):
            provider.withdraw(record)
        self._records.remove(record)
        beat()

    def _is_due(self, entry: Entry) -> bool:
        now = self._clock()
        if now - entry.created < self._locks.duration or (entry.again and now < entry.again):
            return False
        return not self._locks.is_held(LEASE_PREFIX + entry.order)

    def _delete_leftover(self, entry: Entry) -> None:
        record = entry.record
        try:
            with self._zones.hold(record.zone, PATIENCE_SECONDS):
                # Another worker may have deleted it, or an order may need the same record again.
                current = self._records.get(record)
                if current is None or current.order != entry.order:
                    return
                provider = self._providers.serving(record.zone)
                if provider is None:
                    raise NotConfigured(name=record.name or record.fqdn, zone=record.zone)
                self._delete_one(record, provider)
        except ZoneBusy:
            return
        except CertworkerError as failure:
            self._postpone(entry, failure)
        else:
            logger.info("deleted the TXT record of an interrupted order: %s", record.fqdn)

    def _postpone(self, entry: Entry, failure: CertworkerError) -> None:
        record, now = entry.record, self._clock()
        if now - entry.created > SETTLED and self._is_gone(record):
            self._records.remove(record)
            return
        delay = min(FIRST_DELAY * 2 ** min(entry.failures, 20), LONGEST_DELAY)
        self._records.postpone(entry, max(now + delay, failure.until or now))
        if self._once_a_day.first(f"{LeftBehind.code}:{identifier_of(record)}"):
            _log_left_behind(record, failure)

    def _is_gone(self, record: TxtRecord) -> bool:
        try:
            servers = self._delegations.servers_of(record.zone)
        except CertworkerError:
            return False
        return self._propagation.is_gone(record.fqdn, record.value, servers)

    def _refuse_paused(self, label: str) -> None:
        if until := self._states.paused_until(label):
            raise ProviderRateLimited(provider=label, moment=f"{until:%Y-%m-%d %H:%M} UTC", until=until)

    @contextmanager
    def _noticing_limits(self, label: str) -> Iterator[None]:
        try:
            yield
        except ProviderRateLimited as limited:
            self._states.pause(label, limited.until)
            raise


def build_solver(
    providers: Providers,
    *,
    resolvers: Sequence[Server],
    private: bool,
    timeout_seconds: float,
    directory: Path,
    connection: Redis,
    locks: DomainLocks,
    clock: Callable[[], datetime],
) -> Dns01Solver:
    """
    Return the solver of a worker.

    Args:
        resolvers: The resolvers of this machine or of `_APP_DNS`; the servers of zones are asked directly.
        private: Allow queries to name servers at private addresses. A resolver at such an address allows
            them as well.
        timeout_seconds: How long name servers may take to show a record.
        directory: Where the list of created records is stored: STATE_DIR/dns01.
        locks: The locks of this worker.
        clock: Returns the time in UTC.
    """
    return Dns01Solver(
        providers=providers,
        delegations=Delegations(resolvers, private=private),
        propagation=Propagation(timeout_seconds),
        records=TxtRecords(connection, directory, clock=clock),
        zones=ZoneLocks(connection, locks),
        locks=locks,
        states=ProviderState(connection, clock=clock),
        once_a_day=OncePer(connection, LOGGED, LOGGED_TTL),
        clock=clock,
    )


def _fqdn(answer: _Answer) -> str:
    return answer.record.fqdn


def _by_zone(answers: Iterable[_Answer]) -> list[list[_Answer]]:
    zones: dict[str, list[_Answer]] = {}
    for each in answers:
        zones.setdefault(each.record.zone, []).append(each)
    return [zones[zone] for zone in sorted(zones)]


def _log_left_behind(record: TxtRecord, reason: Exception | None) -> None:
    shown = reason.message if isinstance(reason, CertworkerError) else str(reason)
    failure = LeftBehind(fqdn=record.fqdn, value=record.value, zone=record.zone, reason=shown.rstrip("."))
    logger.warning("%s", failure, extra={"code": failure.code, "domain": record.name or record.fqdn})
