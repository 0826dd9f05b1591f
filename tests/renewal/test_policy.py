"""
The time of the next check and of the next attempt, for all current and future validity periods.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.renewal_info import RenewalSuggestion
from certworker.errors import CertworkerError, Retry, catalogue
from certworker.renewal.policy import (
    MAX_CHECK_INTERVAL,
    RETRY_PAUSES,
    RenewalDecision,
    RenewalPolicy,
    after_issuance,
    detail_of,
    in_words,
    next_attempt,
    next_check,
    renewal_time,
    shortened,
)
from certworker.storage.metadata import CertificateMetadata
from certworker.validity import Validity, Window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: Let's Encrypt's of today, of February 2027 and of February 2028, its shortest, and those of other CAs.
VALIDITIES = [90 * DAY, 64 * DAY, 45 * DAY, 160 * HOUR, 365 * DAY, HOUR]

#: Of private CAs.
SHORT_VALIDITIES = [DAY, HOUR, 15 * MINUTE]

#: A day, and the tenth that keeps names apart.
LATEST = 1.1 * DAY

#: A certificate of today.
LONG = Validity(NOW, NOW + 90 * DAY, "04ab")

moments = st.integers(0, 15 * 365 * 24 * 60).map(lambda minutes: NOW + minutes * MINUTE)
validities = st.timedeltas(MINUTE, 400 * DAY)
serials = st.integers(1, 2**159).map("{:x}".format)


class Punctual(Random):
    """
    Adds nothing to a pause.
    """

    def random(self) -> float:
        """
        Return the least of all numbers.
        """
        return 0.0


class Failed(CertworkerError):
    """
    A failure without a code, so that it is not in the catalogue.
    """

    message_template = "It failed."
    remedy_template = "Wait."


def failure(retry: Retry, until: datetime | None = None) -> CertworkerError:
    """
    Return a failure that is tried again by *retry*.
    """
    kind: type[CertworkerError] = type("FailedSo", (Failed,), {"retry": retry})
    return kind(until=until)


def ending(length: timedelta, left: timedelta) -> Validity:
    """
    Return the validity of a certificate of *length*, of which *left* remains.
    """
    return Validity(NOW + left - length, NOW + left, "04ab")


class TestRenewalTime:
    @pytest.mark.parametrize("validity", VALIDITIES)
    def test_it_is_a_share_of_the_life(self, validity: timedelta) -> None:
        """
        A fixed number of days would be wrong: short certificates would never be renewed, long ones in a loop.
        """
        share = 1 / 2 if validity < 10 * DAY else 1 / 3

        left = NOW + validity - renewal_time(Validity(NOW, NOW + validity, "04ab"))

        assert validity * share <= left <= validity * (share + 1 / 20)

    @given(moments, validities, serials)
    def test_it_comes_early_enough_and_never_before_the_first_third(
        self, begins: datetime, validity: timedelta, serial: str
    ) -> None:
        """
        A third of the validity period leaves time for many attempts, and a new certificate is never due.
        """
        due = renewal_time(Validity(begins, begins + validity, serial))

        assert begins + validity * 0.4 <= due <= begins + validity * 0.7

    def test_it_is_the_same_at_every_check(self) -> None:
        """
        All workers, also after a restart, compute the same time without storing it.
        """
        assert renewal_time(Validity(NOW, NOW + 90 * DAY, "04ab")) == renewal_time(
            Validity(NOW, NOW + 90 * DAY, "04ab")
        )

    def test_certificates_issued_together_are_renewed_apart(self) -> None:
        """
        Certificates that were issued within an hour are renewed over a longer time.
        """
        days = Counter(
            renewal_time(Validity(NOW, NOW + 90 * DAY, f"{number:x}")).date() for number in range(5000)
        )

        assert len(days) >= 5
        assert max(days.values()) < 5000 / 3


class TestWindow:
    @given(serials, st.timedeltas(MINUTE, 30 * DAY), st.timedeltas(timedelta(0), 50 * DAY))
    def test_a_window_is_kept_to(self, serial: str, length: timedelta, start: timedelta) -> None:
        """
        The time is uniformly random in the window (RFC 9773, section 4.2), and the same at every check.
        """
        window = Window(NOW + start, NOW + start + length)
        due = renewal_time(Validity(NOW, NOW + 90 * DAY, serial), window)

        assert max(window.start, NOW + 2 * HOUR) <= due <= max(window.end, NOW + 2 * HOUR)
        assert due == renewal_time(Validity(NOW, NOW + 90 * DAY, serial), window)

    def test_moments_are_spread_over_the_window(self) -> None:
        """
        Each tenth of the window gets its share.
        """
        window = Window(NOW + DAY, NOW + 11 * DAY)
        dues = [renewal_time(Validity(NOW, NOW + 90 * DAY, f"{number:x}"), window) for number in range(5000)]
        days = Counter((due - window.start).days for due in dues)

        assert all(400 < days[day] < 600 for day in range(10))

    def test_a_moved_window_means_another_moment(self) -> None:
        """
        A mass revocation moves the window into the past, which means now. A new certificate is not renewed,
        even if the CA suggests it again and again.
        """
        assert renewal_time(LONG, Window(NOW - 2 * DAY, NOW - DAY)) == NOW + 2 * HOUR

    def test_no_advice_lets_a_certificate_end(self) -> None:
        """
        With a twentieth of its validity period left it is due, whatever the window is.
        """
        window = Window(NOW + 89 * DAY, NOW + 100 * DAY)

        assert renewal_time(LONG, window) <= LONG.not_after - LONG.length / 20


class TestNextCheck:
    @given(moments, validities, serials, st.floats(0, 1.5), st.randoms(use_true_random=False))
    def test_it_is_ahead_and_never_after_the_moment_or_half_a_day(
        self, begins: datetime, validity: timedelta, serial: str, elapsed: float, random: Random
    ) -> None:
        """
        A check twice a day finds changes at the CA and on the volume; the last one is on time.
        """
        now, due = begins + validity * elapsed, renewal_time(Validity(begins, begins + validity, serial))

        look = next_check(Validity(begins, begins + validity, serial), due, now, random)

        assert now <= look <= now + MAX_CHECK_INTERVAL
        assert look <= max(due, now)

    def test_checks_lead_to_the_moment_and_not_past_it(self) -> None:
        """
        The checks of one certificate, from its start to its renewal, never stop and never loop.
        """
        now, looks, random = NOW, 0, Random(5)
        while now < renewal_time(LONG):
            now, looks = next_check(LONG, renewal_time(LONG), now, random), looks + 1

        assert now == renewal_time(Validity(NOW, NOW + 90 * DAY, "04ab"))
        assert 2 * 55 <= looks <= 4 * 60


class TestAfterIssuance:
    @pytest.mark.parametrize(
        ("validity", "pause"),
        [
            (Validity(NOW, NOW + timedelta(seconds=3), "04ab"), timedelta(seconds=5)),
            (Validity(NOW - HOUR, NOW + MINUTE, "04ab"), 15 * timedelta(seconds=1)),
            (Validity(NOW - DAY, NOW + HOUR, "04ab"), 15 * MINUTE),
            (LONG, 2 * HOUR),
        ],
    )
    def test_a_certificate_that_is_due_at_its_issuance_is_not_ordered_at_once_again(
        self, validity: Validity, pause: timedelta
    ) -> None:
        """
        A CA with very short or backdated certificates does not cause a loop of orders.
        """
        assert after_issuance(validity, NOW, NOW) == NOW + pause

    def test_a_later_plan_stays(self) -> None:
        """
        Most certificates are checked half a day later.
        """
        assert after_issuance(LONG, NOW + 9 * HOUR, NOW) == NOW + 9 * HOUR


class TestShortened:
    @pytest.mark.parametrize(
        ("length", "left", "expected"),
        [
            (90 * DAY, 30 * DAY, 15 * MINUTE),
            (15 * MINUTE, 8 * MINUTE, MINUTE),
            (15 * MINUTE, timedelta(seconds=43), 15 * timedelta(seconds=1)),
            (90 * DAY, timedelta(0), 15 * MINUTE),
        ],
    )
    def test_a_wait_is_in_proportion_to_what_is_left(
        self, length: timedelta, left: timedelta, expected: timedelta
    ) -> None:
        """
        A lost request is noticed in time, also for a certificate of 15 minutes.
        """
        assert shortened(15 * MINUTE, ending(length, left), NOW) == expected
        assert shortened(15 * MINUTE, None, NOW) == 15 * MINUTE


class TestNextAttempt:
    def pauses(self, retry: Retry, attempts: int) -> list[timedelta]:
        """
        Return the shortest pause after each of the first *attempts*.
        """
        return [
            next_attempt(failure(retry), attempt, NOW, Punctual()) - NOW for attempt in range(1, attempts + 1)
        ]

    def test_the_ca_is_asked_with_patience_that_grows_to_a_day(self) -> None:
        """
        The pauses follow Let's Encrypt's guide; two attempts a day for three years would pause the account.
        """
        assert self.pauses(Retry.CA, 6) == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY]

    def test_a_failed_preflight_check_is_repeated_often_at_first(self) -> None:
        """
        A failed preflight costs no limit, and the cause is often fixed soon.
        """
        pauses = self.pauses(Retry.PREFLIGHT, 30)

        assert pauses[:5] == [MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR]
        assert pauses[27:] == [HOUR, DAY, DAY]

    def test_a_passing_fault_is_tried_again_soon(self) -> None:
        """
        A cut connection recovers soon, and an outage should not be flooded.
        """
        pauses = self.pauses(Retry.SOON, 9)

        assert pauses[:3] == [timedelta(seconds=10), timedelta(seconds=30), MINUTE]
        assert pauses == sorted(pauses)
        assert pauses[-1] == DAY

    def test_the_failures_of_an_hour_stay_below_the_limit_of_the_ca(self) -> None:
        """
        Five failed validations of a name within an hour would lock it.
        """
        moments = list(accumulate(self.pauses(Retry.CA, 10), initial=timedelta()))

        for moment in moments:
            assert len([other for other in moments if moment <= other < moment + HOUR]) <= 3

    def test_what_a_person_has_to_change_is_tried_once_a_day(self) -> None:
        """
        Only an operator can end it, but the log shows it and the certificate is tried again.
        """
        assert self.pauses(Retry.CONFIG, 3) == [DAY, DAY, DAY]

    @pytest.mark.parametrize("until", [NOW + HOUR, NOW - HOUR])
    def test_a_moment_that_was_named_is_kept(self, until: datetime) -> None:
        """
        The attempt is never before that time, and a little after it: all names know the same time.
        """
        moment = next_attempt(failure(Retry.UNTIL, until), 1, NOW, Random(1))

        assert max(until, NOW) <= moment <= max(until, NOW) + MINUTE

    def test_a_moment_that_is_far_away_is_asked_for_within_a_day(self) -> None:
        """
        The budget refuses an early attempt without a request to the CA; the log shows it once a day.
        """
        moment = next_attempt(failure(Retry.UNTIL, NOW + 8 * DAY), 1, NOW, Punctual())

        assert moment == NOW + DAY

    def test_a_limit_without_a_moment_is_an_hour(self) -> None:
        """
        Most limits refill within the hour; a minute would be too early.
        """
        assert next_attempt(failure(Retry.UNTIL), 1, NOW, Random(1)) >= NOW + HOUR

    @given(st.sampled_from(sorted(Retry, key=str)), st.integers(1, 10**6), st.integers())
    def test_it_never_gives_up(self, retry: Retry, attempts: int, seed: int) -> None:
        """
        The millionth failure has a next attempt, too: within a day and a tenth, never at once.
        """
        moment = next_attempt(failure(retry), attempts, NOW, Random(seed))

        assert timedelta(seconds=10) <= moment - NOW <= LATEST

    @pytest.mark.parametrize(("retry", "least"), [(Retry.SOON, 10 * MINUTE), (Retry.CA, HOUR)])
    def test_the_closer_the_end_the_less_patience(self, retry: Retry, least: timedelta) -> None:
        """
        The pause after an expiry grows again; a limit of the CA is obeyed.
        """
        far, near, last = (
            next_attempt(failure(retry), 99, NOW, Punctual(), ending(90 * DAY, left))
            for left in (60 * DAY, 16 * HOUR, MINUTE)
        )

        assert (NOW + DAY, NOW + 2 * HOUR, NOW + least) == (far, near, last)

    def test_the_pauses_grow_again_after_the_end(self) -> None:
        """
        A site that moved away does not cost a validation an hour for years: the CA would pause its name.
        """
        pauses = [
            next_attempt(failure(Retry.CA), 99, NOW, Punctual(), ending(90 * DAY, -ago)) - NOW
            for ago in (timedelta(0), HOUR, DAY, 8 * DAY, 800 * DAY)
        ]

        assert pauses == [HOUR, HOUR, 3 * HOUR, DAY, DAY]

    @pytest.mark.parametrize("validity", SHORT_VALIDITIES)
    def test_no_wait_outlives_a_short_certificate(self, validity: timedelta) -> None:
        """
        A fixed pause of ten minutes is two thirds of a certificate of fifteen.
        """
        for retry in Retry:
            for share in (0.5, 0.2, 0.1, 0.02, 0.0):
                moment = next_attempt(failure(retry), 99, NOW, Random(1), ending(validity, validity * share))

                assert moment - NOW <= 1.1 * max(validity * share / 8, validity / 60)


class TestEveryFailure:
    """
    Each failure of the catalogue has a finite next attempt within its bounds, in each situation.
    """

    @pytest.mark.parametrize("until", [None, NOW - DAY, NOW + HOUR, NOW + 8 * DAY, NOW + 99_999 * DAY])
    @pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.code)
    def test_it_has_a_next_attempt(self, kind: type[CertworkerError], until: datetime | None) -> None:
        """
        First issue: within a day and a tenth. Renewal with less than a fifth left: within a few hours. At the
        end: within the hour. A time that the failure names is obeyed, up to a day.
        """
        failure_of = type(
            "One",
            (kind,),
            {
                "__init__": CertworkerError.__init__,
                "message_template": "It failed.",
                "remedy_template": "Wait.",
            },
        )
        for attempts in (1, 2, 7, 1_000):
            for seed in range(5):
                first = next_attempt(failure_of(until=until), attempts, NOW, Random(seed)) - NOW
                assert self.least(kind, until) <= first <= LATEST
                for validity in VALIDITIES:
                    for share, longest in ((0.3, DAY), (0.19, 4 * HOUR), (0.1, 4 * HOUR), (0.0, HOUR)):
                        renewal = next_attempt(
                            failure_of(until=until),
                            attempts,
                            NOW,
                            Random(seed),
                            ending(validity, validity * share),
                        )
                        named = kind.retry is Retry.UNTIL and until is not None
                        latest = first + MINUTE if named else 1.1 * longest
                        assert timedelta(0) <= renewal - NOW <= latest

    def least(self, kind: type[CertworkerError], until: datetime | None) -> timedelta:
        """
        Return the shortest pause after the first failure.
        """
        if kind.retry is Retry.UNTIL and until is not None:
            return min(max(until - NOW, timedelta(0)), DAY)
        return timedelta(seconds=10)

    def test_a_person_is_needed_only_where_nothing_else_ends_it(self) -> None:
        """
        Failures caused by a limit or an outage end without an operator.
        """
        alone = {
            kind.code.partition(".")[0] for kind in catalogue() if kind.retry in (Retry.SOON, Retry.UNTIL)
        }
        person = {kind.code.partition(".")[0] for kind in catalogue() if kind.retry is Retry.CONFIG}

        assert {"ca", "net", "rate", "redis"} <= alone
        assert {"config", "acct", "proxy"} <= person
        assert set(RETRY_PAUSES) == set(Retry)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=90) - timedelta(seconds=1), "89 days"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=2) - timedelta(seconds=1), "47 hours"),
        (timedelta(hours=2) - timedelta(seconds=1), "119 minutes"),
        (timedelta(seconds=119.9), "119 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_span_in_words_is_rounded_down(span: timedelta, words: str) -> None:
    """
    Log, status and doctor show the same number, and never more than is left.
    """
    assert words == in_words(span)


def test_only_a_failure_has_a_finer_state() -> None:
    """
    A failure is critical only without a valid certificate in service.
    """
    now = datetime(2026, 11, 28, tzinfo=UTC)
    later = now + timedelta(days=1)

    assert "failing" == detail_of("failed", later, now)
    assert "no_certificate" == detail_of("failed", now, now)
    assert "no_certificate" == detail_of("failed", None, now)
    assert "waiting" == detail_of("waiting", None, now)


def plan(window: Window | None, ask_again: timedelta = DAY, age: timedelta = timedelta(0)) -> RenewalDecision:
    """
    Return the decision for a certificate of ninety days and this *age*, for which the CA suggests *window*.
    """
    suggestion = RenewalSuggestion(window, NOW + age + ask_again)
    metadata = CertificateMetadata(
        names=("shop.example.org",),
        not_before=NOW,
        not_after=NOW + 90 * DAY,
        serial="04ab",
        issuer="issuer",
        renewal_id="aki.serial",
        authority="letsencrypt",
        kind="public",
        generation=1,
    )
    return RenewalPolicy(lambda _: suggestion, Random(1)).decide(metadata, NOW + age)


class TestDecide:
    def test_a_window_that_is_over_means_now(self) -> None:
        """
        A CA announces a mass revocation this way.
        """
        assert plan(Window(NOW - 2 * DAY, NOW - DAY), age=DAY).due

    def test_nobody_is_asked_about_a_certificate_that_has_expired(self) -> None:
        """
        RFC 9773, section 4.3: the certificate is due without a suggestion.
        """
        ahead = Window(NOW + 95 * DAY, NOW + 96 * DAY)

        assert plan(ahead, age=91 * DAY).due
        assert not plan(ahead, age=91 * DAY).ca_requested

    def test_a_window_ahead_means_not_yet_whatever_the_age(self) -> None:
        """
        The suggestion of the CA counts more than the age, until a twentieth is left.
        """
        ahead = Window(NOW + 80 * DAY, NOW + 82 * DAY)

        assert not plan(ahead, age=75 * DAY).due
        assert plan(None, age=75 * DAY).due

    def test_the_safety_net_beats_the_window(self) -> None:
        """
        With a twentieth of the validity period left no suggestion counts.
        """
        assert plan(Window(NOW + 100 * DAY, NOW + 101 * DAY), age=86 * DAY).due

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (-1 * DAY, DAY, True),
            (-2 * DAY, -1 * DAY, False),
            (0 * DAY, DAY, True),
            (-1 * DAY, 0 * DAY, False),
        ],
    )
    def test_it_knows_whether_the_window_is_open(
        self, start: timedelta, end: timedelta, expected: bool
    ) -> None:
        """
        A window in the past means now, but does not exempt from a limit.
        """
        age = 30 * DAY

        assert plan(Window(NOW + age + start, NOW + age + end), age=age).window_open is expected
        assert not plan(None, age=age).window_open

    def test_the_next_check_is_not_after_the_retry_after_of_the_ca(self) -> None:
        """
        A moved window is found within one check.
        """
        soon = plan(Window(NOW + 60 * DAY, NOW + 61 * DAY), ask_again=timedelta(minutes=5))

        assert soon.next_check <= NOW + timedelta(minutes=5)
