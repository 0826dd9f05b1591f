"""
A simulation of months: an app with a real Redis, a real volume, a real CA and a simulated clock.
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

#: The CA fails one of these requests in this share of the attempts, for the given number of times. An order
#: that names its predecessor fails twice, because certworker repeats it once without the predecessor.
SHARE_OF_FAULTS = 0.05
FAULTS = {"newOrder": 2, "finalize": 1, "certificate": 1}

#: The share of the requests that Redis loses, with a part of a priority queue.
SHARE_OF_LOST_REQUESTS = 0.05

#: The worker is busy for this share of a lifetime between two checks.
BUSY = 1 / 50

#: The time that the scheduler needs to find a due check.
AT_ONCE = timedelta(seconds=1)

#: The preflight checks use real servers, whose clocks do not follow the simulation.
NOTHING = MachineCheck("nothing", lambda: CheckResult.passed(""), 1)

#: The job into which the simulation moves the next request of a priority queue.
TAKEN = NewJob("taken", "simulation:list", "simulation:job", "", "", {})


class Clock:
    """
    A clock that changes only if a test sets it.
    """

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        """
        Return the current simulated time.
        """
        return self.now


@dataclass
class Simulation:
    """
    A simulation and its results.
    """

    app: App
    authority: FaultyAuthority
    clock: Clock
    random: Random = field(default_factory=lambda: Random(1))
    #: The number of failed attempts by the code of the failure.
    failed: Counter[str] = field(default_factory=Counter)
    #: The times of the issuances by the names of the certificate.
    orders: dict[tuple[str, ...], list[datetime]] = field(default_factory=dict)
    expired: list[str] = field(default_factory=list)

    def begin(self, certificates: list[tuple[str, ...]], lifetime: timedelta) -> None:
        """
        Issue *certificates* of *lifetime*. Their authorizations stay valid, as at real CAs.
        """
        self.authority.lifetime = lifetime
        self.authority.policy.authorization_reuse = timedelta(days=1000)
        for names in certificates:
            self.app.issuance.issue(names)

    def simulate(self, lifetime: timedelta, length: timedelta, outage: timedelta) -> None:
        """
        Simulate *length* with certificates of *lifetime*.

        The CA is unreachable for *outage*, from the first renewal after half of *length*.

        The clock jumps from one check of the agenda to the next. After a check without a failure, the worker
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
        Yield the waiting requests in the order in which slots take them.
        """
        connection = self.app.connection
        while self.app.priority_queues.take(TAKEN, []):
            wanted = json.loads(str(connection.hget(TAKEN.hash, "data"), "utf-8"))  # type: ignore[arg-type] # it is bytes
            connection.delete(TAKEN.list, TAKEN.hash)
            yield tuple(wanted["domains"]) if "domains" in wanted else (wanted["domain"],)

    def attempt(self, names: tuple[str, ...]) -> None:
        """
        Run a job for *names*. The CA fails in a share of the attempts.
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
        Return the highest number of certificates for the same names within *span*.
        """
        return max(_most(moments, span) for moments in self.orders.values())


@contextmanager
def simulated(
    directory: Path, connection: Redis, limits: Mapping[str, str] | None = None
) -> Iterator[Simulation]:
    """
    Yield a new simulation. Its volumes are in memory if possible, otherwise in *directory*.

    Args:
        limits: The limits of the CA, as in CERTWORKER_LIMITS_FILE. None means no limits.
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
