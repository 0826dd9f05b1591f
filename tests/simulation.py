"""
A simulation over months: an app with a real Redis, a real volume and a real CA, and a clock that jumps.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from redis import Redis

from certworker.app import App
from certworker.devca.certification import WINDOW
from certworker.dns.resolver import Resolver
from certworker.errors import CertworkerError
from certworker.preflight.result import CheckResult, MachineCheck
from certworker.preflight.runner import PreflightRunner, Settling
from certworker.ratelimits.budget import Budget
from certworker.state.priority_queues import NewJob
from tests.app_fixture import open_app
from tests.memory import in_memory
from tests.servers.development import development_authority
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port

BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)

#: This share of the attempts meets a CA that fails at one of these requests, so many times: an order that
#: names its predecessor is tried once more at once without.
SHARE_OF_FAULTS = 0.05
FAULTS = {"newOrder": 2, "finalize": 1, "certificate": 1}

#: This share of the requests gets lost in Redis, with a part of a priority queue.
SHARE_OF_LOST_REQUESTS = 0.05

#: For this share of a lifetime the worker is busy between two checks.
BUSY = 1 / 50

#: How soon the scheduler sees that a moment has come.
AT_ONCE = timedelta(seconds=1)

#: The preflight checks use real servers, for which no time passes.
NOTHING = MachineCheck("nothing", lambda: CheckResult.passed(""), 1)

#: The next request of a priority queue goes there, and is read at once.
TAKEN = NewJob("taken", "simulation:list", "simulation:job", "", "", {})


class Clock:
    """
    A clock that moves when a test sets it.
    """

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        """
        The moment.
        """
        return self.now


@dataclass
class Simulation:
    """
    What happened in a simulation.
    """

    app: App
    authority: FaultyAuthority
    clock: Clock
    random: Random = field(default_factory=lambda: Random(1))
    #: Attempts that failed, by the code of the failure.
    failed: Counter[str] = field(default_factory=Counter)
    #: When a certificate was issued, by its names.
    orders: dict[tuple[str, ...], list[datetime]] = field(default_factory=dict)
    expired: list[str] = field(default_factory=list)

    def begin(self, certificates: list[tuple[str, ...]], lifetime: timedelta) -> None:
        """
        Issue *certificates* of *lifetime*. Their authorizations stay valid, as they do at CAs for a while.
        """
        self.authority.lifetime = lifetime
        self.authority.policy.authorization_reuse = timedelta(days=1000)
        for names in certificates:
            self.app.issuance.issue(names)

    def simulate(self, lifetime: timedelta, length: timedelta, outage: timedelta) -> None:
        """
        Simulate *length* with certificates of *lifetime*.

        After half of it the CA is unreachable for *outage*, at the time of the next renewal.

        The clock moves from one check of the agenda to the next. After a check without a failure, the worker
        is busy for a while, and starts later checks late.
        """
        self.authority.lifetime = lifetime
        end = self.clock.now + length
        self._until(end - length / 2, lifetime * BUSY)
        gone = self._next_renewal()
        self._until(gone, lifetime * BUSY)
        self.authority.stop()
        self._until(gone + outage, lifetime * BUSY)
        self.authority.start()
        self._until(end, lifetime * BUSY)

    def _next_renewal(self) -> datetime:
        metadata = filter(None, map(self.app.certificates.metadata, self.app.certificates.names()))
        windows = (each.not_after - each.validity.length * WINDOW[0] for each in metadata)
        return min(begin for begin in windows if begin > self.clock.now)

    def _until(self, end: datetime, busy: timedelta) -> None:
        pause = timedelta(0)
        while (moment := self.app.agenda.earliest()) and moment < end:
            self.clock.now = max(moment + AT_ONCE, min(self.clock.now + pause, end))
            failed = self.failed.total()
            self.app.due_names.enqueue()
            for names in self.requests():
                if self.random.random() >= SHARE_OF_LOST_REQUESTS:
                    self.attempt(names)
            pause = busy if self.failed.total() == failed else timedelta(0)
        self.clock.now = max(end, self.clock.now)

    def requests(self) -> Iterator[tuple[str, ...]]:
        """
        What waits for a slot, in the order in which slots take it.
        """
        connection = self.app.connection
        while self.app.priority_queues.take(TAKEN, []):
            wanted = json.loads(str(connection.hget(TAKEN.hash, "data"), "utf-8"))  # type: ignore[arg-type] # it is bytes
            connection.delete(TAKEN.list, TAKEN.hash)
            yield tuple(wanted["domains"]) if "domains" in wanted else (wanted["domain"],)

    def attempt(self, names: tuple[str, ...]) -> None:
        """
        Let a job for *names* meet the CA, which fails at times.
        """
        current = self.app.certificates.metadata(names[0])
        if current and current.not_after <= self.clock.now:
            self.expired.append(names[0])
        if self.random.random() < SHARE_OF_FAULTS:
            kind, times = self.random.choice(list(FAULTS.items()))
            self.authority.faults.fail(kind, Fault(), times=times)
        try:
            self.app.issuance.issue(names)
            self.orders.setdefault(names, []).append(self.clock.now)
        except CertworkerError as failure:
            self.failed[failure.code] += 1
        self.authority.faults.reset()

    def most_issued(self, span: timedelta) -> int:
        """
        The most certificates for the same names within *span*.
        """
        return max(_most(moments, span) for moments in self.orders.values())


@contextmanager
def simulated(
    directory: Path, connection: Redis, limits: Mapping[str, str] | None = None
) -> Iterator[Simulation]:
    """
    Return a simulation that has not begun. Its volumes are in memory, else in *directory*.

    Args:
        limits: Those of the CA, as in the file of CERTWORKER_LIMITS_FILE; None: it has none.
    """
    clock, http_port = Clock(), free_port()
    with (
        in_memory(directory) as place,
        development_authority(place, http01_port=http_port, clock=clock) as authority,
        open_app(
            place,
            connection,
            authority.directory_url,
            http_port,
            clock=clock,
            CERTWORKER_LIMITS_FILE=str(_limits_file(place, authority.directory_url, limits or {})),
        ) as app,
    ):
        checks = PreflightRunner([NOTHING], [], Resolver([]).look_up, lambda _: True, Settling.over())
        issuers = tuple(
            replace(
                each, budget=Budget.for_issuer(app.settings, each.ca, connection, app.certificates, clock)
            )
            for each in app.issuers
        )
        quick = replace(
            app, issuers=issuers, issuance=replace(app.issuance, preflight=checks, issuers=issuers)
        )
        yield Simulation(quick, authority, clock)


def _limits_file(place: Path, directory_url: str, limits: Mapping[str, str]) -> Path:
    file = place / "limits.json"
    file.write_text(json.dumps({directory_url: limits}))
    return file


def _most(moments: list[datetime], span: timedelta) -> int:
    within: deque[datetime] = deque()
    most = 0
    for moment in moments:
        within.append(moment)
        while within[0] < moment - span:
            within.popleft()
        most = max(most, len(within))
    return most
