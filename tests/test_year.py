"""
A year without an operator. Validity periods change, the CA has outages, some attempts fail, and no
certificate expires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from redis import Redis

from certworker.errors.ca import CaUnreachable, ServerInternal
from certworker.renewal.policy import next_attempt, renewal_time
from certworker.validity import Validity as Dates
from certworker.validity import Window
from tests.simulation import BEGIN, Simulation, simulated

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

NAMES = [f"shop{number}.localhost" for number in range(100)]

#: The outage of the CA in the middle of the year, by the lifetime of certificates: a week, or a quarter of
#: 160 hours.
OUTAGES = {90 * DAY: 7 * DAY, 64 * DAY: 7 * DAY, 45 * DAY: 7 * DAY, 160 * HOUR: 40 * HOUR}


#: The numbers of names of the certificates, 100 in total.
MANY = (30, 20, 15, 10, 8, 6, 5, 3, 2, 1)
#: The same for certificates with eighty renewals in a year.
FEW = (50, 30, 15, 5)
#: The same for a private CA, with eighty renewals of each.
SMALL = (10, 5, 3, 1)


def certificates(sizes: Iterable[int]) -> list[tuple[str, ...]]:
    """
    Return the names of certificates with *sizes*.
    """
    names = iter(NAMES)
    return [tuple(islice(names, size)) for size in sizes]


def check_nothing_expired(simulation: Simulation, sizes: Sequence[int], renewals: int) -> None:
    """
    Assert that no certificate has expired, that each had more than *renewals*, and that failures occurred.
    """
    metadata = [simulation.app.certificates.metadata(name) for name in NAMES]

    assert [] == simulation.expired
    assert min(each.not_after for each in metadata if each) > simulation.clock.now
    assert len(NAMES) == sum(each is not None for each in metadata)
    assert len(sizes) == len(simulation.orders)
    assert min(map(len, simulation.orders.values())) > renewals
    # The CA failed and had an outage. No attempt reached a limit of the CA or of certworker.
    assert {ServerInternal.code, CaUnreachable.code} == set(simulation.failed)
    # Let's Encrypt's limit: five certificates for the same names in a week.
    assert simulation.most_issued(7 * DAY) <= 5


@pytest.mark.timeout(900)
class TestYear:
    @pytest.mark.parametrize("lifetime", OUTAGES, ids=lambda lifetime: f"{lifetime / HOUR:.0f} h")
    def test_of_one_lifetime(self, tmp_path: Path, connection: Redis, lifetime: timedelta) -> None:
        """
        No certificate of one lifetime expires in a year.
        """
        with simulated(tmp_path, connection) as simulation:
            sizes = FEW if lifetime < 45 * DAY else MANY
            simulation.begin(certificates(sizes), lifetime)
            simulation.simulate(lifetime, 365 * DAY, OUTAGES[lifetime])
            check_nothing_expired(simulation, sizes, renewals=int(365 * DAY / lifetime))

    @pytest.mark.parametrize("lifetime", [DAY, HOUR, HOUR / 4], ids=lambda lifetime: f"{lifetime / HOUR:g} h")
    def test_of_a_private_ca(self, tmp_path: Path, connection: Redis, lifetime: timedelta) -> None:
        """
        No certificate with a lifetime from 15 minutes to a day expires in 80 lifetimes.
        """
        with simulated(tmp_path, connection) as simulation:
            simulation.begin(certificates(SMALL), lifetime)
            simulation.simulate(lifetime, 80 * lifetime, lifetime / 4)
            assert [] == simulation.expired
            assert min(map(len, simulation.orders.values())) > 80

    def test_of_lifetimes_that_change(self, tmp_path: Path, connection: Redis) -> None:
        """
        No certificate expires while the lifetime changes from 90 days to 64 days, 45 days and 160 hours.
        """
        with simulated(tmp_path, connection) as simulation:
            simulation.begin(certificates(MANY), 90 * DAY)
            for lifetime, outage in OUTAGES.items():
                simulation.simulate(lifetime, 365 * DAY / len(OUTAGES), outage)
            check_nothing_expired(simulation, MANY, renewals=15)


class TestSpread:
    """
    The computed renewal times of 20,000 names whose certificates were issued within one day.
    """

    NAMES = 20_000

    def hours(self, dues: list[timedelta]) -> Counter[int]:
        """
        Return the number of renewals in each hour.
        """
        return Counter(int(due / HOUR) for due in dues)

    @pytest.mark.parametrize("lifetime", [160 * HOUR, 45 * DAY, 64 * DAY, 90 * DAY])
    @pytest.mark.parametrize("advised", [True, False])
    def test_no_hour_has_more_than_three_times_its_share(self, lifetime: timedelta, advised: bool) -> None:
        """
        The renewals are spread evenly, with and without the CA's suggested window.
        """
        random, dues = Random(7), []
        for number in range(self.NAMES):
            begin = BEGIN + DAY * random.random()
            dates = Dates(begin, begin + lifetime, f"{number:x}")
            window = Window(begin + lifetime * 0.64, begin + lifetime * 0.68) if advised else None
            dues.append(renewal_time(dates, window) - BEGIN)
        hours = self.hours(dues)
        share = self.NAMES / (max(hours) - min(hours) + 1)

        assert max(hours.values()) <= 3 * share

    def test_the_retries_after_an_outage_are_spread(self) -> None:
        """
        The retries after an outage are spread evenly.
        """
        random, outage, moments = Random(7), 7 * DAY, []
        failure = ServerInternal(authority="the CA", detail="away")
        for _ in range(self.NAMES):
            moment, attempts = BEGIN + outage * random.random(), 0
            while moment < BEGIN + outage:
                attempts += 1
                moment = next_attempt(failure, attempts, moment, random) or moment
            moments.append(moment - BEGIN)
        hours = self.hours(moments)

        assert max(hours.values()) <= 3 * self.NAMES / (max(hours) - min(hours) + 1)
