"""
Left alone for a year: lifetimes change, the CA is away for days, some attempts fail, and nothing expires.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from redis import Redis

from certworker.errors.authority import ServerInternal
from certworker.renewal import Life as Dates
from certworker.renewal import Window, due_moment, next_attempt
from tests.simulation import BEGIN, simulated

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

#: Two hundred names, ten on each certificate.
CERTIFICATES = [tuple(f"shop{number}-{name}.localhost" for name in range(10)) for number in range(20)]

#: Lifetime, how long certificates have it, and how long the CA is away in the middle of that.
QUARTERS = [
    (90 * DAY, 92 * DAY, 7 * DAY),
    (64 * DAY, 91 * DAY, 7 * DAY),
    (45 * DAY, 91 * DAY, 7 * DAY),
    (160 * HOUR, 91 * DAY, 40 * HOUR),
]


@pytest.mark.timeout(600)
def test_a_year_of_changing_lifetimes(tmp_path: Path, connection: Redis) -> None:
    """
    From 90 days to 64, to 45, to 160 hours, as Let's Encrypt goes; nobody touches anything.
    """
    with simulated(tmp_path, connection) as life:
        life.begin(CERTIFICATES)
        for lifetime, length, outage in QUARTERS:
            life.live(lifetime, length, outage)
        ends = [facts.not_after for names in CERTIFICATES if (facts := life.house.volume.facts(names[0]))]

    assert [] == life.expired
    assert len(CERTIFICATES) == len(ends)
    assert min(ends) > life.clock.now
    assert life.issued > 20 * 20
    assert life.failed > life.issued * 0.03
    # Let's Encrypt's limit: five certificates for the same names in a week.
    assert life.most_issued(7 * DAY) <= 5


class TestSpread:
    """
    Arithmetic only: 20,000 names that were issued within one day.
    """

    NAMES = 20_000

    def hours(self, dues: list[timedelta]) -> Counter[int]:
        """
        How many renewals fall into each hour.
        """
        return Counter(int(due / HOUR) for due in dues)

    @pytest.mark.parametrize("lifetime", [160 * HOUR, 45 * DAY, 64 * DAY, 90 * DAY])
    @pytest.mark.parametrize("advised", [True, False])
    def test_no_hour_has_more_than_three_times_its_share(self, lifetime: timedelta, advised: bool) -> None:
        """
        What was issued together is renewed apart, with the CA's advice and without.
        """
        random, dues = Random(7), []
        for number in range(self.NAMES):
            begin = BEGIN + DAY * random.random()
            dates = Dates(begin, begin + lifetime, f"{number:x}")
            window = Window(begin + lifetime * 0.64, begin + lifetime * 0.68) if advised else None
            dues.append(due_moment(dates, window) - BEGIN)
        hours = self.hours(dues)
        share = self.NAMES / (max(hours) - min(hours) + 1)

        assert max(hours.values()) <= 3 * share

    def test_an_outage_is_made_up_for_without_a_rush_a_week_later(self) -> None:
        """
        Attempts that failed together are not repeated together.
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
