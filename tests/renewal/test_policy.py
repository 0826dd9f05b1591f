"""
Tests of the times of the next check and of the next attempt, for current and future lifetimes.
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
from certworker.errors import CertworkerError, Retry, catalog
from certworker.renewal.policy import (
    MAX_CHECK_INTERVAL,
    RETRY_PAUSES,
    RenewalDecision,
    RenewalPolicy,
    after_issuance,
    common_moment,
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

#: The lifetimes of Let's Encrypt today, from February 2027 and 2028, and the shortest; and of other CAs.
VALIDITIES = [90 * DAY, 64 * DAY, 45 * DAY, 160 * HOUR, 365 * DAY, HOUR]

#: The times that failures name.
TIMES = [None, NOW - DAY, NOW + HOUR, NOW + 8 * DAY, NOW + 99_999 * DAY]

#: The lifetimes of private CAs.
SHORT_VALIDITIES = [DAY, HOUR, 15 * MINUTE]

#: A day, and the random tenth that spreads the attempts.
LATEST = 1.1 * DAY

#: A certificate with the lifetime of today.
LONG = Validity(NOW, NOW + 90 * DAY, "04ab")

times = st.integers(0, 15 * 365 * 24 * 60).map(lambda minutes: NOW + minutes * MINUTE)
validities = st.timedeltas(MINUTE, 400 * DAY)
serials = st.integers(1, 2**159).map("{:x}".format)


class Punctual(Random):
    """
    Add nothing to a pause.
    """

    def random(self) -> float:
        """
        Return the smallest random number.
        """
        return 0.0


class Failed(CertworkerError):
    """
    Fail without a code, so that the catalog does not contain the failure.
    """

    message_template = "It failed."
    remedy_template = "Wait."


def failure(retry: Retry, until: datetime | None = None) -> CertworkerError:
    """
    Return a failure with the retry policy *retry*.
    """
    kind: type[CertworkerError] = type("FailedSo", (Failed,), {"retry": retry})
    return kind(until=until)


def ending(length: timedelta, left: timedelta) -> Validity:
    """
    Return the validity of a certificate with the lifetime *length*, of which *left* remains.
    """
    return Validity(NOW + left - length, NOW + left, "04ab")


class TestRenewalTime:
    @pytest.mark.parametrize("validity", VALIDITIES)
    def test_the_renewal_is_after_a_share_of_the_lifetime(self, validity: timedelta) -> None:
        """
        A certificate is renewed when a third of its lifetime remains, or a half if it is short.
        """
        share = 1 / 2 if validity < 10 * DAY else 1 / 3

        left = NOW + validity - renewal_time(Validity(NOW, NOW + validity, "04ab"))

        assert validity * share <= left <= validity * (share + 1 / 20)

    @given(times, validities, serials)
    def test_the_renewal_is_in_the_middle_of_the_lifetime(
        self, begins: datetime, validity: timedelta, serial: str
    ) -> None:
        """
        The renewal leaves time for many attempts, and a new certificate is never due.
        """
        due = renewal_time(Validity(begins, begins + validity, serial))

        assert begins + validity * 0.4 <= due <= begins + validity * 0.7

    def test_the_renewal_time_is_the_same_at_each_check(self) -> None:
        """
        Each check and each worker computes the same renewal time.
        """
        assert renewal_time(Validity(NOW, NOW + 90 * DAY, "04ab")) == renewal_time(
            Validity(NOW, NOW + 90 * DAY, "04ab")
        )

    def test_the_renewals_of_certificates_issued_together_are_spread(self) -> None:
        """
        The renewals of certificates that were issued together are spread over several days.
        """
        days = Counter(
            renewal_time(Validity(NOW, NOW + 90 * DAY, f"{number:x}")).date() for number in range(5000)
        )

        assert len(days) >= 5
        assert max(days.values()) < 5000 / 3


class TestWindow:
    @given(serials, st.timedeltas(MINUTE, 30 * DAY), st.timedeltas(timedelta(0), 50 * DAY))
    def test_the_renewal_time_is_in_the_window(
        self, serial: str, length: timedelta, start: timedelta
    ) -> None:
        """
        The renewal time is in the window (RFC 9773, section 4.2), and the same at each check.
        """
        window = Window(NOW + start, NOW + start + length)
        due = renewal_time(Validity(NOW, NOW + 90 * DAY, serial), window)

        assert max(window.start, NOW + 2 * HOUR) <= due <= max(window.end, NOW + 2 * HOUR)
        assert due == renewal_time(Validity(NOW, NOW + 90 * DAY, serial), window)

    def test_the_renewal_times_are_spread_over_the_window(self) -> None:
        """
        The renewal times are spread uniformly over the window.
        """
        window = Window(NOW + DAY, NOW + 11 * DAY)
        dues = [renewal_time(Validity(NOW, NOW + 90 * DAY, f"{number:x}"), window) for number in range(5000)]
        days = Counter((due - window.start).days for due in dues)

        assert all(400 < days[day] < 600 for day in range(10))

    def test_a_window_in_the_past_is_due_two_hours_after_the_issuance(self) -> None:
        """
        A window in the past is due two hours after the issuance, so that no loop of renewals occurs.
        """
        assert renewal_time(LONG, Window(NOW - 2 * DAY, NOW - DAY)) == NOW + 2 * HOUR

    def test_a_certificate_is_due_before_its_expiry_despite_a_later_window(self) -> None:
        """
        A certificate is due when a twentieth of its lifetime remains, regardless of its window.
        """
        window = Window(NOW + 89 * DAY, NOW + 100 * DAY)

        assert renewal_time(LONG, window) <= LONG.not_after - LONG.length / 20


class TestNextCheck:
    @given(times, validities, serials, st.floats(0, 1.5), st.randoms(use_true_random=False))
    def test_the_next_check_is_within_half_a_day_and_not_after_the_renewal(
        self, begins: datetime, validity: timedelta, serial: str, elapsed: float, random: Random
    ) -> None:
        """
        The next check is within half a day, and not after the renewal time.
        """
        now, due = begins + validity * elapsed, renewal_time(Validity(begins, begins + validity, serial))

        check = next_check(Validity(begins, begins + validity, serial), due, now, random)

        assert now <= check <= now + MAX_CHECK_INTERVAL
        assert check <= max(due, now)

    def test_the_last_check_is_at_the_renewal_time(self) -> None:
        """
        The last check of a certificate is at its renewal time, after two to four checks a day.
        """
        now, checks, random = NOW, 0, Random(5)
        while now < renewal_time(LONG):
            now, checks = next_check(LONG, renewal_time(LONG), now, random), checks + 1

        assert now == renewal_time(Validity(NOW, NOW + 90 * DAY, "04ab"))
        assert 2 * 55 <= checks <= 4 * 60


class TestCommonMoments:
    def test_many_checks_are_planned_for_few_moments(self) -> None:
        """
        The checks of many names within half a day have a common moment every 30 seconds.
        """
        random = Random(7)
        starts = [NOW + timedelta(milliseconds=number) for number in range(10_000)]

        checks = {next_check(LONG, renewal_time(LONG), start, random) for start in starts}

        assert {0} == {
            (check - min(checks)) % timedelta(seconds=30) // timedelta(microseconds=1) for check in checks
        }
        assert 600 <= len(checks) <= 6 * 120 + 1

    @given(times, st.timedeltas(HOUR, DAY))
    def test_a_moment_moves_by_less_than_30_seconds(self, now: datetime, pause: timedelta) -> None:
        """
        A moment moves in the given direction only.
        """
        moment, longest = now + pause, timedelta(seconds=30)

        assert timedelta(0) <= moment - common_moment(moment, now) < longest
        assert timedelta(0) <= common_moment(moment, now, later=True) - moment < longest

    def test_a_moment_within_an_hour_is_exact(self) -> None:
        """
        A retry, or a check of a certificate with a short validity period, is not moved.
        """
        moment = NOW + timedelta(minutes=59, microseconds=123)

        assert moment == common_moment(moment, NOW) == common_moment(moment, NOW, later=True)

    def test_a_suggestion_is_not_requested_before_the_retry_after_of_the_ca(self) -> None:
        """
        The check at the Retry-After of the CA is at a common moment, too, but not earlier.
        """
        retry_after = timedelta(hours=5, seconds=1, milliseconds=1)
        check = plan(Window(NOW + 60 * DAY, NOW + 61 * DAY), retry_after=retry_after).next_check

        assert NOW + retry_after <= check < NOW + retry_after + timedelta(seconds=30)
        assert check == common_moment(check, NOW)


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
    def test_a_certificate_that_is_due_at_its_issuance_is_not_ordered_at_once(
        self, validity: Validity, pause: timedelta
    ) -> None:
        """
        A certificate that is due at its issuance is checked after a pause, so that no loop of orders
        occurs.
        """
        assert after_issuance(validity, NOW, NOW) == NOW + pause

    def test_a_later_check_is_unchanged(self) -> None:
        """
        A check that is planned later than the pause is unchanged.
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
    def test_a_pause_is_in_proportion_to_the_remaining_time(
        self, length: timedelta, left: timedelta, expected: timedelta
    ) -> None:
        """
        The pause before a lost request is repeated is in proportion to the certificate's remaining
        time.
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

    def test_the_pauses_after_refusals_of_the_ca_grow_to_a_day(self) -> None:
        """
        The pauses after refusals of the CA grow to a day, as Let's Encrypt's guide recommends.
        """
        assert self.pauses(Retry.CA, 6) == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY]

    def test_the_pauses_after_failed_preflights_are_short_at_first(self) -> None:
        """
        The pauses after failed preflights are short at first, because a preflight does not count at the
        CA.
        """
        pauses = self.pauses(Retry.PREFLIGHT, 30)

        assert pauses[:5] == [MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR]
        assert pauses[27:] == [HOUR, DAY, DAY]

    def test_the_pauses_after_temporary_failures_grow_from_seconds_to_a_day(self) -> None:
        """
        The pauses after temporary failures grow from seconds to a day.
        """
        pauses = self.pauses(Retry.SOON, 9)

        assert pauses[:3] == [timedelta(seconds=10), timedelta(seconds=30), MINUTE]
        assert pauses == sorted(pauses)
        assert pauses[-1] == DAY

    def test_the_failures_of_an_hour_stay_below_the_limit_of_the_ca(self) -> None:
        """
        At most three attempts take place within an hour. The CA limits failed validations to five.
        """
        times = list(accumulate(self.pauses(Retry.CA, 10), initial=timedelta()))

        for attempt_time in times:
            assert len([other for other in times if attempt_time <= other < attempt_time + HOUR]) <= 3

    def test_a_configuration_error_is_retried_daily(self) -> None:
        """
        A configuration error is retried daily, although only the operator can fix it.
        """
        assert self.pauses(Retry.CONFIG, 3) == [DAY, DAY, DAY]

    @pytest.mark.parametrize("until", [NOW + HOUR, NOW - HOUR])
    def test_the_time_of_a_failure_is_respected(self, until: datetime) -> None:
        """
        The attempt is within a minute after the failure's time, or after now if that time is in the
        past.
        """
        attempt_time = next_attempt(failure(Retry.UNTIL, until), 1, NOW, Random(1))

        assert max(until, NOW) <= attempt_time <= max(until, NOW) + MINUTE

    @pytest.mark.parametrize("validity", [None, Validity(NOW - 80 * DAY, NOW + 10 * DAY, "04ab")])
    def test_a_later_retry_after_of_a_slow_ca_is_respected(self, validity: Validity | None) -> None:
        """
        The attempt after a passing failure waits for a later Retry-After of the CA; an earlier one changes
        nothing.
        """
        usual, earlier, later = (
            next_attempt(failure(Retry.SOON, until), 1, NOW, Punctual(), validity)
            for until in (None, NOW + timedelta(seconds=5), NOW + HOUR)
        )

        assert (usual, usual, NOW + HOUR) == (earlier, NOW + MINUTE / 6, later)

    def test_a_distant_time_of_a_failure_leads_to_an_attempt_within_a_day(self) -> None:
        """
        The attempt after a failure with a distant time is within a day, and the budget refuses it.
        """
        attempt_time = next_attempt(failure(Retry.UNTIL, NOW + 8 * DAY), 1, NOW, Punctual())

        assert attempt_time == NOW + DAY

    def test_a_rate_limit_without_a_time_lasts_an_hour(self) -> None:
        """
        A rate limit without a time lasts an hour, within which most limits refill.
        """
        assert next_attempt(failure(Retry.UNTIL), 1, NOW, Random(1)) >= NOW + HOUR

    @given(st.sampled_from(sorted(Retry, key=str)), st.integers(1, 10**6), st.integers())
    def test_each_failure_has_a_next_attempt(self, retry: Retry, attempts: int, seed: int) -> None:
        """
        Each failure has a next attempt within a day and a tenth, even the millionth.
        """
        attempt_time = next_attempt(failure(retry), attempts, NOW, Random(seed))

        assert timedelta(seconds=10) <= attempt_time - NOW <= LATEST

    @pytest.mark.parametrize(("retry", "least"), [(Retry.SOON, 10 * MINUTE), (Retry.CA, HOUR)])
    def test_the_pauses_are_shorter_near_the_expiry(self, retry: Retry, least: timedelta) -> None:
        """
        The pauses are shorter near the expiry of the certificate in service.
        """
        far, near, last = (
            next_attempt(failure(retry), 99, NOW, Punctual(), ending(90 * DAY, left))
            for left in (60 * DAY, 16 * HOUR, MINUTE)
        )

        assert (NOW + DAY, NOW + 2 * HOUR, NOW + least) == (far, near, last)

    def test_the_pauses_grow_after_the_expiry(self) -> None:
        """
        The pauses grow after the expiry, so that a site that moved away does not exhaust the CA's
        limits.
        """
        pauses = [
            next_attempt(failure(Retry.CA), 99, NOW, Punctual(), ending(90 * DAY, -ago)) - NOW
            for ago in (timedelta(0), HOUR, DAY, 8 * DAY, 800 * DAY)
        ]

        assert pauses == [HOUR, HOUR, 3 * HOUR, DAY, DAY]

    @pytest.mark.parametrize("validity", SHORT_VALIDITIES)
    def test_the_pauses_of_a_short_lived_certificate_are_a_share_of_its_lifetime(
        self, validity: timedelta
    ) -> None:
        """
        The pauses of a short-lived certificate are a share of its remaining time.
        """
        for retry in Retry:
            for share in (0.5, 0.2, 0.1, 0.02, 0.0):
                attempt_time = next_attempt(
                    failure(retry), 99, NOW, Random(1), ending(validity, validity * share)
                )

                assert attempt_time - NOW <= 1.1 * max(validity * share / 8, validity / 60)


class TestEveryFailure:
    """
    Test that each failure of the catalog has a next attempt within its bounds, in each situation.
    """

    @pytest.mark.parametrize("until", TIMES)
    @pytest.mark.parametrize("retry", Retry)
    def test_a_failure_has_a_next_attempt_within_its_bounds(
        self, retry: Retry, until: datetime | None
    ) -> None:
        """
        A first issuance is retried within a day, and a late renewal within hours. A failure's time is
        respected.
        """
        failed = failure(retry, until)
        for attempts in (1, 2, 7, 1_000):
            for seed in range(5):
                first = next_attempt(failed, attempts, NOW, Random(seed)) - NOW
                assert self.least(retry, until) <= first <= LATEST
                for validity in VALIDITIES:
                    for share, longest in ((0.3, DAY), (0.19, 4 * HOUR), (0.1, 4 * HOUR), (0.0, HOUR)):
                        renewal = next_attempt(
                            failed, attempts, NOW, Random(seed), ending(validity, validity * share)
                        )
                        named = retry in (Retry.UNTIL, Retry.SOON) and until is not None
                        latest = max(first, 1.1 * longest) + MINUTE if named else 1.1 * longest
                        assert timedelta(0) <= renewal - NOW <= latest

    @pytest.mark.parametrize("until", TIMES)
    def test_each_failure_of_the_catalog_has_the_next_attempt_of_its_retry(
        self, until: datetime | None
    ) -> None:
        """
        Two failures with the same retry and the same time have the same next attempt.
        """
        texts = {"message_template": "It failed.", "remedy_template": "Wait."}
        for kind in catalog():
            failed = type("One", (kind,), {"__init__": CertworkerError.__init__, **texts})(until=until)
            for validity in (None, ending(90 * DAY, 9 * DAY)):
                assert next_attempt(failed, 2, NOW, Random(1), validity) == next_attempt(
                    failure(kind.retry, until), 2, NOW, Random(1), validity
                ), kind.code

    def least(self, retry: Retry, until: datetime | None) -> timedelta:
        """
        Return the shortest pause after the first failure.
        """
        named = min(max(until - NOW, timedelta(0)), DAY) if until else timedelta(0)
        if retry is Retry.UNTIL and until is not None:
            return named
        usual = timedelta(seconds=10)
        return max(usual, named) if retry is Retry.SOON else usual

    def test_only_configuration_errors_require_the_operator(self) -> None:
        """
        Failures caused by a limit or an outage do not have the retry policy of configuration errors.
        """
        automatic = {
            kind.code.partition(".")[0] for kind in catalog() if kind.retry in (Retry.SOON, Retry.UNTIL)
        }
        config = {kind.code.partition(".")[0] for kind in catalog() if kind.retry is Retry.CONFIG}

        assert {"ca", "net", "rate", "redis"} <= automatic
        assert {"config", "acct", "proxy"} <= config
        assert set(RETRY_PAUSES) == set(Retry)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=90) - timedelta(seconds=1), "89 days"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=2) - timedelta(seconds=1), "47 hours"),
        (timedelta(hours=2) - timedelta(seconds=1), "119 minutes"),
        (timedelta(seconds=119.9), "119 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_time_span_in_words_is_rounded_down(span: timedelta, text: str) -> None:
    """
    A time span is rounded down, so that the log, the status and doctor never show too much time.
    """
    assert text == in_words(span)


def test_the_detail_of_a_failure_depends_on_the_certificate_in_service() -> None:
    """
    A failure has the detail `no_certificate` only without a valid certificate in service.
    """
    now = datetime(2026, 11, 28, tzinfo=UTC)
    later = now + timedelta(days=1)

    assert "failing" == detail_of("failed", later, now)
    assert "no_certificate" == detail_of("failed", now, now)
    assert "no_certificate" == detail_of("failed", None, now)
    assert "waiting" == detail_of("waiting", None, now)


def plan(
    window: Window | None, retry_after: timedelta = DAY, age: timedelta = timedelta(0)
) -> RenewalDecision:
    """
    Return the decision for a certificate of 90 days with *age*, for which the CA suggests *window*.
    """
    suggestion = RenewalSuggestion(window, NOW + age + retry_after)
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
    def test_a_certificate_whose_window_is_over_is_due(self) -> None:
        """
        A certificate whose window has ended is due. A CA announces a mass revocation this way.
        """
        assert plan(Window(NOW - 2 * DAY, NOW - DAY), age=DAY).due

    def test_an_expired_certificate_is_due_without_a_suggestion(self) -> None:
        """
        An expired certificate is due, and the suggestion of the CA is ignored (RFC 9773, section 4.3).
        """
        ahead = Window(NOW + 95 * DAY, NOW + 96 * DAY)

        assert plan(ahead, age=91 * DAY).due
        assert not plan(ahead, age=91 * DAY).ca_requested

    def test_a_certificate_before_its_window_is_not_due(self) -> None:
        """
        A certificate before its window is not due, regardless of its age.
        """
        ahead = Window(NOW + 80 * DAY, NOW + 82 * DAY)

        assert not plan(ahead, age=75 * DAY).due
        assert plan(None, age=75 * DAY).due

    def test_a_certificate_near_its_expiry_is_due_despite_its_window(self) -> None:
        """
        A certificate is due when less than a twentieth of its lifetime remains, regardless of its window.
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
    def test_the_decision_shows_whether_the_window_is_open(
        self, start: timedelta, end: timedelta, expected: bool
    ) -> None:
        """
        The decision shows whether the window is open, because an open window exempts from some limits.
        """
        age = 30 * DAY

        assert plan(Window(NOW + age + start, NOW + age + end), age=age).window_open is expected
        assert not plan(None, age=age).window_open

    def test_the_next_check_is_not_after_the_retry_after_of_the_ca(self) -> None:
        """
        The next check is not after the Retry-After of the CA, so that a moved window is found.
        """
        soon = plan(Window(NOW + 60 * DAY, NOW + 61 * DAY), retry_after=timedelta(minutes=5))

        assert soon.next_check <= NOW + timedelta(minutes=5)
