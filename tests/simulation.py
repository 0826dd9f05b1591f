"""
A simulated life: a house with a real Redis, a real volume and a real CA, and a clock that runs by itself.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from redis import Redis

from certworker.assembly import House
from certworker.checks.preflight import Preflight
from certworker.checks.resolver import Resolver
from certworker.checks.verdict import Inspection, Verdict
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault
from certworker.errors import CertworkerError
from certworker.ledger.lanes import NewJob
from tests.houses import open_house
from tests.servers.development import development_authority
from tests.servers.ports import free_port

BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)

#: This share of the attempts meets a CA that fails.
SHARE_OF_FAULTS = 0.05

#: The checks look at the real world, in which no time passes.
NOTHING = Inspection("nothing", "nothing", lambda: Verdict.yes(""), 1)

#: Where the next request of a lane is put, to be read at once.
TAKEN = NewJob("taken", "simulation:list", "simulation:job", "", "", {})


class Clock:
    """
    A clock that goes when it is told to.
    """

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        """
        The moment.
        """
        return self.now


@dataclass
class Life:
    """
    What happened in a simulated life.
    """

    house: House
    authority: DevelopmentAuthority
    clock: Clock
    random: Random = field(default_factory=lambda: Random(1))
    issued: int = 0
    failed: int = 0
    #: When a certificate was issued, by its names.
    orders: dict[tuple[str, ...], list[datetime]] = field(default_factory=dict)
    expired: list[str] = field(default_factory=list)

    def begin(self, certificates: list[tuple[str, ...]], lifetime: timedelta) -> None:
        """
        Issue *certificates* of *lifetime*, and let their names be counted as ours from then on, as CAs do for
        a while.
        """
        self.authority.lifetime = lifetime
        self.authority.policy.authorization_reuse = timedelta(days=1000)
        for names in certificates:
            self.house.issuer.issue(names)

    def live(self, lifetime: timedelta, length: timedelta, outage: timedelta) -> None:
        """
        Go on for *length*, with certificates of *lifetime*; in the middle of it the CA is away for *outage*.

        The worker looks fifty times in a lifetime, or four times a day; a real one at the moment itself.
        """
        self.authority.lifetime = lifetime
        step = max(lifetime / 50, timedelta(hours=6))
        gone = self.clock.now + length / 2
        self._until(gone, step)
        self.authority.stop()
        self._until(gone + outage, step)
        self.authority.start()
        self._until(gone + length / 2, step)

    def _until(self, end: datetime, step: timedelta) -> None:
        while self.clock.now < end:
            self.clock.now += step
            while self.house.rounds.look()["looked"]:
                for names in self._requests():
                    self._attempt(names)

    def _requests(self) -> Iterator[tuple[str, ...]]:
        connection = self.house.connection
        while self.house.lanes.take(TAKEN, []):
            wanted = json.loads(str(connection.hget(TAKEN.hash, "data"), "utf-8"))  # type: ignore[arg-type]
            connection.delete(TAKEN.list, TAKEN.hash)
            yield tuple(wanted["domains"]) if "domains" in wanted else (wanted["domain"],)

    def _attempt(self, names: tuple[str, ...]) -> None:
        current = self.house.volume.facts(names[0])
        if current and current.not_after <= self.clock.now:
            self.expired.append(names[0])
        if self.random.random() < SHARE_OF_FAULTS:
            # A renewal is tried once more at once, without its predecessor.
            self.authority.misbehaviour.fail("newOrder", Fault(), times=2)
        try:
            self.house.issuer.issue(names)
            self.issued += 1
            self.orders.setdefault(names, []).append(self.clock.now)
        except CertworkerError:
            self.failed += 1
        self.authority.misbehaviour.behave()

    def most_issued(self, span: timedelta) -> int:
        """
        The most certificates for the same names within *span*.
        """
        return max(_most(moments, span) for moments in self.orders.values())


@contextmanager
def simulated(place: Path, connection: Redis) -> Iterator[Life]:
    """
    A life that has not begun.
    """
    clock, http_port = Clock(), free_port()
    with (
        development_authority(place, http01_port=http_port, clock=clock) as authority,
        open_house(place, connection, authority.directory_url, http_port, clock=clock) as house,
    ):
        checks = Preflight([NOTHING], [], Resolver([]).look_up, lambda _: True)
        quick = replace(house, issuer=replace(house.issuer, checks=checks))
        yield Life(quick, authority, clock)


def _most(moments: list[datetime], span: timedelta) -> int:
    within: deque[datetime] = deque()
    most = 0
    for moment in moments:
        within.append(moment)
        while within[0] < moment - span:
            within.popleft()
        most = max(most, len(within))
    return most
