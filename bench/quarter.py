"""
A quarter of a year with many names: when their certificates are checked and renewed, on a simulated clock.

The rules of :mod:`certworker.renewal.policy` plan each check and each renewal, without servers and files.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from pathlib import Path
from random import Random

from bench.figures import Figure, progress
from certworker.renewal.policy import after_issuance, next_check, renewal_time
from certworker.validity import Validity

TITLE = "a quarter"
NOTE = (
    "a quarter: 90 simulated days of the agenda with 100,000 names, whose certificates were issued evenly, "
    "with the limit of Let's Encrypt."
)

NAMES = int(os.environ.get("BENCH_NAMES", "100000"))
BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
LENGTH = timedelta(days=90)
LIFETIME = timedelta(days=90)
#: Let's Encrypt backdates its certificates.
BACKDATED = timedelta(hours=1)
#: The age at which certificates are renewed by their age, with the middle of the random part.
CYCLE = LIFETIME * (1 - 1 / 3 - 1 / 40)

#: Let's Encrypt's limit for one account.
ORDERS, PERIOD = 300, timedelta(hours=3)


@dataclass
class Quarter:
    """
    The results of a simulation.
    """

    #: The number of orders on each day.
    orders: Counter[int] = field(default_factory=Counter)
    checks: int = 0
    #: The number of orders that the limit delayed.
    delayed: int = 0
    #: The number of certificates that were not renewed before their end.
    expired: int = 0
    #: The number of names whose certificate was never replaced.
    old: int = 0

    def bunching(self, days: int = 1) -> float:
        """
        Return the orders of the busiest *days* in sequence, as a multiple of the mean.
        """
        spans = [
            sum(self.orders[first + day] for day in range(days)) for first in range(LENGTH.days + 1 - days)
        ]
        return max(spans) / days * LENGTH.days / self.orders.total()


def simulate(names: int, *, issued_within: timedelta = CYCLE, orders: int = ORDERS) -> Quarter:
    """
    Simulate a quarter of *names*, each with its own certificate.

    Args:
        issued_within: The certificates were issued evenly within this time before the begin.
        orders: The number of orders that the CA allows in three hours.
    """
    random, quarter, recent = Random(1), Quarter(), deque[datetime]()
    certificates = [_issued(number, BEGIN - issued_within * random.random()) for number in range(names)]
    dues = [renewal_time(validity) for validity in certificates]
    agenda = [
        (next_check(validity, due, BEGIN, random), number)
        for number, (validity, due) in enumerate(zip(certificates, dues, strict=True))
    ]
    heapify(agenda)
    renewed, now, end = set[int](), BEGIN, BEGIN + LENGTH
    while agenda[0][0] < end:
        moment, number = heappop(agenda)
        now = max(now, moment)
        quarter.checks += 1
        if now < dues[number]:
            check = next_check(certificates[number], dues[number], now, random)
        elif len(recent) == orders and recent[0] > now - PERIOD:
            quarter.delayed += 1
            check = recent[0] + PERIOD
        else:
            quarter.expired += certificates[number].not_after <= now
            quarter.orders[(now - BEGIN).days] += 1
            recent.append(now)
            if len(recent) > orders:
                recent.popleft()
            renewed.add(number)
            certificates[number] = validity = _issued(names + quarter.orders.total(), now)
            dues[number] = renewal_time(validity)
            check = after_issuance(validity, next_check(validity, dues[number], now, random), now)
        heappush(agenda, (check, number))
    quarter.expired += sum(each.not_after <= end for each in certificates)
    quarter.old = names - len(renewed)
    return quarter


def measure(_place: Path) -> list[Figure]:
    """
    Return the figures of a quarter.
    """
    progress(f"{TITLE}: simulating {NAMES} names")
    quarter = simulate(NAMES)
    progress(f"{TITLE}: {quarter}")
    return [
        Figure(TITLE, "certificates that expired", quarter.expired, "", 0),
        Figure(TITLE, "orders that the limit delayed", quarter.delayed, ""),
        Figure(TITLE, "orders of the busiest day, of the mean", quarter.bunching(), "x", 1.3),
    ]


def _issued(number: int, now: datetime) -> Validity:
    begin = now - BACKDATED
    return Validity(begin, begin + LIFETIME, f"{number:x}")
