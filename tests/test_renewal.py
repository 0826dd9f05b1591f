"""
When to look again, for every lifetime of today and of the years to come.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.errors import CertworkerError, Retry
from certworker.renewal import LONGEST_PAUSE, Life, Window, due_moment, next_attempt, next_look

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: Let's Encrypt's of today, of February 2027 and of February 2028, its shortest, and those of other CAs.
LIVES = [90 * DAY, 64 * DAY, 45 * DAY, 160 * HOUR, 365 * DAY, HOUR]

#: A certificate of today.
LONG = Life(NOW, NOW + 90 * DAY, "04ab")

moments = st.integers(0, 15 * 365 * 24 * 60).map(lambda minutes: NOW + minutes * MINUTE)
lives = st.timedeltas(MINUTE, 400 * DAY)
serials = st.integers(1, 2**159).map("{:x}".format)


class Punctual(Random):
    """
    Adds nothing to a pause.
    """

    def random(self) -> float:
        """
        The least of all numbers.
        """
        return 0.0


class Failed(CertworkerError):
    """
    Some failure; it has no code, so that it is not in the catalogue.
    """

    says = "It failed."
    cure = "Wait."


def failure(retry: Retry, until: datetime | None = None) -> CertworkerError:
    """
    A failure that is tried again by *retry*.
    """
    return type("FailedSo", (Failed,), {"retry": retry})(until=until)  # type: ignore[no-any-return]


class TestDueMoment:
    @pytest.mark.parametrize("life", LIVES)
    def test_it_is_a_share_of_the_life(self, life: timedelta) -> None:
        """
        Thirty days before the end would be never for a short certificate, and at once for one of 45 days.
        """
        share = 1 / 2 if life < 10 * DAY else 1 / 3

        left = NOW + life - due_moment(Life(NOW, NOW + life, "04ab"))

        assert life * share <= left <= life * (share + 1 / 20)

    @given(moments, lives, serials)
    def test_it_comes_early_enough_and_never_before_the_first_third(
        self, begins: datetime, life: timedelta, serial: str
    ) -> None:
        """
        A third of the life is time for many attempts; a certificate renewed at birth would be a loop.
        """
        due = due_moment(Life(begins, begins + life, serial))

        assert begins + life * 0.4 <= due <= begins + life * 0.7

    def test_it_is_the_same_at_every_look(self) -> None:
        """
        Several workers, and the same one after a restart, plan the same moment and need not tell each other.
        """
        assert due_moment(Life(NOW, NOW + 90 * DAY, "04ab")) == due_moment(Life(NOW, NOW + 90 * DAY, "04ab"))

    def test_certificates_issued_together_are_renewed_apart(self) -> None:
        """
        A volume that was filled in an hour does not become an hour in which everything is renewed.
        """
        days = Counter(due_moment(Life(NOW, NOW + 90 * DAY, f"{number:x}")).date() for number in range(5000))

        assert len(days) >= 5
        assert max(days.values()) < 5000 / 3


class TestAdvice:
    @given(serials, st.timedeltas(MINUTE, 30 * DAY), st.timedeltas(timedelta(0), 50 * DAY))
    def test_a_window_is_kept_to(self, serial: str, length: timedelta, start: timedelta) -> None:
        """
        A uniformly random moment in it (RFC 9773, section 4.2), the same at every look.
        """
        window = Window(NOW + start, NOW + start + length)
        due = due_moment(Life(NOW, NOW + 90 * DAY, serial), window)

        assert max(window.start, NOW + 2 * HOUR) <= due <= max(window.end, NOW + 2 * HOUR)
        assert due == due_moment(Life(NOW, NOW + 90 * DAY, serial), window)

    def test_moments_are_spread_over_the_window(self) -> None:
        """
        Each tenth of it gets its share.
        """
        window = Window(NOW + DAY, NOW + 11 * DAY)
        dues = [due_moment(Life(NOW, NOW + 90 * DAY, f"{number:x}"), window) for number in range(5000)]
        days = Counter((due - window.start).days for due in dues)

        assert all(400 < days[day] < 600 for day in range(10))

    def test_a_moved_window_means_another_moment(self) -> None:
        """
        A mass revocation moves it into the past, and that means at once; but no certificate is renewed at
        birth, lest a CA that says so again and again is asked again and again.
        """
        assert due_moment(LONG, Window(NOW - 2 * DAY, NOW - DAY)) == NOW + 2 * HOUR

    def test_no_advice_lets_a_certificate_end(self) -> None:
        """
        With a twentieth of its life left it is renewed, whatever the window says.
        """
        window = Window(NOW + 89 * DAY, NOW + 100 * DAY)

        assert due_moment(LONG, window) <= LONG.not_after - LONG.length / 20


class TestNextLook:
    @given(moments, lives, serials, st.floats(0, 1.5), st.randoms(use_true_random=False))
    def test_it_is_ahead_and_never_after_the_moment_or_half_a_day(
        self, begins: datetime, life: timedelta, serial: str, elapsed: float, random: Random
    ) -> None:
        """
        Twice a day at least, so that no news of the CA or the volume is older, and on time when it is due.
        """
        now, due = begins + life * elapsed, due_moment(Life(begins, begins + life, serial))

        look = next_look(Life(begins, begins + life, serial), due, now, random)

        assert now <= look <= now + LONGEST_PAUSE
        assert look <= max(due, now)

    def test_looks_lead_to_the_moment_and_not_past_it(self) -> None:
        """
        The whole walk of one certificate: no look is forgotten and none runs in circles.
        """
        now, looks, random = NOW, 0, Random(5)
        while now < due_moment(LONG):
            now, looks = next_look(LONG, due_moment(LONG), now, random), looks + 1

        assert now == due_moment(Life(NOW, NOW + 90 * DAY, "04ab"))
        assert 2 * 55 <= looks <= 4 * 60


class TestNextAttempt:
    def pauses(self, retry: Retry, attempts: int) -> list[timedelta]:
        """
        The pause after each of the first *attempts*, at its shortest.
        """
        found = []
        for attempt in range(1, attempts + 1):
            moment = next_attempt(failure(retry), attempt, NOW, Punctual())
            assert moment is not None
            found.append(moment - NOW)
        return found

    def test_the_ca_is_asked_with_patience_that_grows_to_a_day(self) -> None:
        """
        Let's Encrypt's own advice; twice a day for three years would pause the account.
        """
        assert self.pauses(Retry.CA, 6) == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY]

    def test_a_check_of_our_own_is_repeated_often_at_first(self) -> None:
        """
        It costs no limit, and somebody is just changing a record.
        """
        pauses = self.pauses(Retry.PREFLIGHT, 30)

        assert pauses[:5] == [MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR]
        assert pauses[27:] == [HOUR, DAY, DAY]

    def test_a_passing_fault_is_tried_again_soon(self) -> None:
        """
        A cut connection heals by itself, and an outage should not be hammered.
        """
        pauses = self.pauses(Retry.SOON, 9)

        assert pauses[:3] == [timedelta(seconds=10), timedelta(seconds=30), MINUTE]
        assert pauses == sorted(pauses)
        assert pauses[-1] == DAY

    def test_the_failures_of_an_hour_stay_below_the_limit_of_the_ca(self) -> None:
        """
        Five failed validations of a name in an hour would lock it.
        """
        moments = list(accumulate(self.pauses(Retry.CA, 10), initial=timedelta()))

        for moment in moments:
            assert len([other for other in moments if moment <= other < moment + HOUR]) <= 3

    def test_what_is_wrong_for_good_is_not_tried_again(self) -> None:
        """
        The same job would get the same answer.
        """
        assert next_attempt(failure(Retry.NEVER), 1, NOW, Random(1)) is None

    def test_a_wrong_configuration_is_told_once_a_day(self) -> None:
        """
        Only a restart changes it, but the log must not forget it.
        """
        assert next_attempt(failure(Retry.CONFIG), 7, NOW, Random(1)) == NOW + DAY

    @pytest.mark.parametrize("until", [NOW + HOUR, NOW - HOUR])
    def test_a_moment_that_was_named_is_kept(self, until: datetime) -> None:
        """
        Never before it, and a little after: it was told to everybody.
        """
        moment = next_attempt(failure(Retry.UNTIL, until), 1, NOW, Random(1))

        assert moment is not None
        assert max(until, NOW) <= moment <= max(until, NOW) + MINUTE

    def test_a_limit_without_a_moment_is_an_hour(self) -> None:
        """
        The refill of most limits; a minute would be another hit.
        """
        moment = next_attempt(failure(Retry.UNTIL), 1, NOW, Random(1))

        assert moment is not None
        assert moment >= NOW + HOUR

    @given(st.sampled_from(sorted(set(Retry) - {Retry.NEVER}, key=str)), st.integers(1, 10**6), st.integers())
    def test_it_never_gives_up(self, retry: Retry, attempts: int, seed: int) -> None:
        """
        The millionth failure has a next moment too: at most a day away, never at once.
        """
        moment = next_attempt(failure(retry), attempts, NOW, Random(seed))

        assert moment is not None
        assert timedelta(seconds=10) <= moment - NOW <= DAY * 1.1

    @pytest.mark.parametrize(("retry", "least"), [(Retry.SOON, 10 * MINUTE), (Retry.CA, HOUR)])
    def test_the_closer_the_end_the_less_patience(self, retry: Retry, least: timedelta) -> None:
        """
        After an outage of 40 hours one of 160 hours has no day left to wait; a limit of the CA is kept.
        """
        far, near, last = (
            next_attempt(failure(retry), 99, NOW, Punctual(), NOW + left)
            for left in (60 * DAY, 16 * HOUR, MINUTE)
        )

        assert (NOW + DAY, NOW + 2 * HOUR, NOW + least) == (far, near, last)
