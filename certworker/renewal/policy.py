"""
When a certificate is renewed and when a name is checked again.

The CA's suggestion and the age of a certificate determine when it is renewed. Most times are shares of the
validity period. A fixed number of days would be wrong for the 160-hour certificates of today and for the
45-day certificates of 2028.

After a failed attempt, another attempt follows. :data:`RETRY_PAUSES` lists the pauses. :func:`next_attempt`
shortens them while the certificate in service approaches its expiry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from random import Random
from socket import gethostname
from typing import TYPE_CHECKING
from zlib import crc32

from certworker.errors import CertworkerError, Retry
from certworker.storage.metadata import CertificateMetadata
from certworker.storage.metadata_index import CertificateSummary
from certworker.validity import Validity, Window, wait_within

if TYPE_CHECKING:
    # This import would take most of the time of `certworker status`.
    from certworker.acme.renewal_info import RenewalSuggestion

#: Let's Encrypt's integration guide: renew with a third of the period left, or with half of a period below
#: ten days.
SHARE_LEFT = 1 / 3
SHARE_LEFT_SHORT_VALIDITY = 1 / 2
SHORT_VALIDITY = timedelta(days=10)

#: With less than this share of its validity period left, a certificate is due, whatever the CA suggests.
MIN_SHARE_LEFT = 1 / 20

#: A suggested window in the past means a renewal now, but not before this age, or this share of the validity
#: period if that is less. Let's Encrypt backdates its certificates by one hour.
MIN_AGE = timedelta(hours=2)
MIN_AGE_SHARE = 1 / 4

#: The minimum pause between two renewals, even with a very short validity period.
LEAST_PAUSE_BETWEEN_RENEWALS = timedelta(seconds=5)

#: Renewals of certificates that were issued together are spread over this share of their validity period.
SPREAD = 1 / 20

#: A check at least twice a day finds new suggestions of the CA and changes on the volume.
MAX_CHECK_INTERVAL = timedelta(hours=12)

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

#: The seconds between two common moments, at which one wake-up of a worker checks many names. A wake-up takes
#: as much processor time as the checks of 50 names. The moments differ between hosts, so that the hosts of
#: many users do not send their requests to a CA in the same second.
COMMON_MOMENTS_SECONDS = 30
_OFFSET_SECONDS = crc32(gethostname().encode()) % COMMON_MOMENTS_SECONDS

#: The renewal time of a certificate that certworker does not renew.
NEVER = datetime.max.replace(tzinfo=UTC)

#: The pauses after a failed validation: they grow to a day (Let's Encrypt's integration guide).
CA_PAUSES = (MINUTE, 10 * MINUTE, 100 * MINUTE, DAY)

#: The pauses after the second, the third … crash in a row. The first pauses are short: if a deployment or a
#: lack of memory ends many workers at the same time, their names are not the cause.
CRASH_PAUSES = (timedelta(seconds=5), timedelta(seconds=30), *CA_PAUSES)


@dataclass(frozen=True)
class RetryPauses:
    """
    The pauses after one type of failure.
    """

    #: After the first, the second … failure in a row; the last pause repeats.
    pauses: tuple[timedelta, ...]
    #: The minimum to which the approaching expiry of a certificate shortens a pause; less for a short
    #: validity period.
    least: timedelta
    #: What ends the failure, for the documentation.
    ends: str


#: The pauses after each type of failure. `docs/concepts/renewal-and-retries.md` has the same pauses, and a
#: test checks each failure class.
RETRY_PAUSES: Mapping[Retry, RetryPauses] = {
    Retry.NEVER: RetryPauses((DAY,), HOUR, "a correct request; no attempt begins before it"),
    Retry.CONFIG: RetryPauses((DAY,), HOUR, "a change by the operator"),
    Retry.PREFLIGHT: RetryPauses(
        (MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, *(HOUR,) * 24, DAY),
        10 * MINUTE,
        "a change by the operator",
    ),
    # Let's Encrypt allows five failed validations of a name per hour.
    Retry.CA: RetryPauses(CA_PAUSES, HOUR, "a change by the operator"),
    # The pause applies to a limit without a known time of reset; most limits refill within an hour.
    Retry.UNTIL: RetryPauses((HOUR,), HOUR, "the time in the message"),
    Retry.SOON: RetryPauses(
        (MINUTE / 6, MINUTE / 2, MINUTE, 5 * MINUTE, *CA_PAUSES[1:]), 10 * MINUTE, "time, without any change"
    ),
}

#: The types of failures whose :attr:`CertworkerError.until` determines or delays the next attempt.
NAMES_THE_TIME = (Retry.UNTIL, Retry.SOON)

#: After every failure, the next attempt follows within this time plus the share :data:`JITTER` of it, even if
#: the failure names a later time.
LONGEST_PAUSE_AFTER_A_FAILURE = DAY

#: A pause is at most this share of the time that the certificate in service has left. After the expiry, it is
#: at most this share of the time since then. It does not get shorter than its minimum.
MAX_SHARE_OF_REMAINDER = 1 / 8

#: With less than this share of the validity period left, a pause is at most four hours.
CLOSE_SHARE = 1 / 5
LONGEST_PAUSE_WHEN_CLOSE = 4 * HOUR

#: Each pause is longer by a random part of this share, so that names are tried at different times.
JITTER = 1 / 10


@dataclass(frozen=True)
class RenewalDecision:
    """
    Whether a certificate is due, and when it is checked next.
    """

    due: bool
    next_check: datetime
    #: Whether the CA suggested the window of the renewal.
    ca_requested: bool
    #: Whether that window is open. Only then does Let's Encrypt exempt an order that replaces the certificate
    #: from its rate limits.
    window_open: bool = False


@dataclass(frozen=True)
class RenewalPolicy:
    """
    Decides when certificates are renewed, by the CA's suggestion and by their age.
    """

    #: Returns the suggestion of the CA for a certificate; None: there is none, or the CA is not configured.
    suggestion: Callable[[CertificateMetadata], RenewalSuggestion | None]
    random: Random

    def decide(self, metadata: CertificateMetadata, now: datetime) -> RenewalDecision:
        """
        Return the decision at *now* for the certificate with this *metadata*.
        """
        if metadata.is_imported:
            check = next_check(metadata.validity, NEVER, now, self.random)
            return RenewalDecision(due=False, next_check=check, ca_requested=False)
        # No renewal information is requested for an expired certificate (RFC 9773, section 4.3).
        suggestion = self.suggestion(metadata) if now < metadata.not_after else None
        window = suggestion.window if suggestion else None
        due = renewal_time(metadata.validity, window)
        check = next_check(metadata.validity, due, now, self.random)
        if suggestion:
            check = min(check, common_moment(max(suggestion.retry_after, now), now, later=True))
        is_open = window is not None and window.contains(now)
        return RenewalDecision(
            due=now >= due, next_check=check, ca_requested=window is not None, window_open=is_open
        )


def planned_renewal(metadata: CertificateMetadata | CertificateSummary) -> datetime | None:
    """
    Return when the certificate with this *metadata* is due by its age; None: certworker does not renew it.
    """
    return None if metadata.is_imported else renewal_time(metadata.validity)


def is_surely_early(begin: float, end: float, now: float) -> bool:
    """
    Return whether a certificate is not due by its age yet, whatever its serial number.

    The arguments are Unix times. This takes a tenth of the time of :func:`renewal_time`.
    """
    length = end - begin
    share = SHARE_LEFT_SHORT_VALIDITY if length < SHORT_VALIDITY.total_seconds() else SHARE_LEFT
    return now < end - length * (share + SPREAD) - 1


def renewal_time(validity: Validity, window: Window | None = None) -> datetime:
    """
    Return when the certificate is due: at a random time in *window*, or by its age without a window.

    Each call with the same arguments returns the same time. With a window, the certificate is due at the age
    :data:`MIN_AGE` at the earliest (less for a short validity period), and at :data:`MIN_SHARE_LEFT` at the
    latest.
    """
    if window is None:
        share = SHARE_LEFT_SHORT_VALIDITY if validity.length < SHORT_VALIDITY else SHARE_LEFT
        return validity.not_after - validity.length * (share + SPREAD * Random(validity.serial).random())
    seed = f"{validity.serial} {window.start.timestamp()} {window.end.timestamp()}"
    chosen = window.start + (window.end - window.start) * Random(seed).random()
    old_enough = validity.not_before + min(MIN_AGE, validity.length * MIN_AGE_SHARE)
    return min(max(chosen, old_enough), validity.not_after - validity.length * MIN_SHARE_LEFT)


def next_check(validity: Validity, due: datetime, now: datetime, random: Random) -> datetime:
    """
    Return the time of the next check of a certificate: within twelve hours, and at the time *due* if that is
    earlier.
    """
    # The pause is random, so that many certificates are not checked at the same moment.
    pause = min(MAX_CHECK_INTERVAL, validity.length / 4) * random.uniform(0.5, 1)
    return min(common_moment(now + pause, now), max(due, now))


def common_moment(moment: datetime, now: datetime, *, later: bool = False) -> datetime:
    """
    Return the last common moment before *moment*, or the first one after it if *later*.

    A *moment* within the next hour is returned unchanged.
    """
    if moment - now < HOUR:
        return moment
    second = ceil(moment.timestamp()) if later else floor(moment.timestamp())
    since = (second - _OFFSET_SECONDS) % COMMON_MOMENTS_SECONDS
    missing = -since % COMMON_MOMENTS_SECONDS
    return datetime.fromtimestamp(second + missing if later else second - since, UTC)


def after_issuance(validity: Validity, planned: datetime, now: datetime) -> datetime:
    """
    Return the *planned* first check of a certificate that was issued at *now*, or a later time.

    A certificate can be due when it is issued, because it is backdated or valid for a very short time.
    Without a minimum pause, it would be ordered in a loop.
    """
    pause = min(MIN_AGE, (validity.not_after - now) * MIN_AGE_SHARE)
    return max(planned, now + max(pause, LEAST_PAUSE_BETWEEN_RENEWALS))


def shortened(
    pause: timedelta, validity: Validity | None, now: datetime, least: timedelta | None = None
) -> timedelta:
    """
    Return *pause*, or less shortly before and after the expiry of the certificate in service.

    Args:
        validity: The validity of the certificate in service; None: there is none.
        least: The minimum of the result; less for a short validity period. The default is *pause*.
    """
    if validity is None:
        return pause
    left = validity.not_after - now
    longest = abs(left) * MAX_SHARE_OF_REMAINDER
    if timedelta(0) < left < validity.length * CLOSE_SHARE:
        longest = min(longest, LONGEST_PAUSE_WHEN_CLOSE)
    return min(pause, max(longest, wait_within(validity, pause if least is None else least)))


def crash_backoff(crashes: int, validity: Validity | None, now: datetime) -> timedelta:
    """
    Return the pause for an attempt that follows *crashes* crashed attempts in a row.

    If this attempt also crashes, the next attempt begins after the lease of this attempt and the pause.
    The first crash causes no pause: most crashes are deployments.

    Args:
        validity: The validity of the certificate in service; None: there is none.
    """
    if not crashes:
        return timedelta(0)
    return shortened(
        CRASH_PAUSES[min(crashes, len(CRASH_PAUSES)) - 1], validity, now, RETRY_PAUSES[Retry.CA].least
    )


def next_attempt(
    failure: CertworkerError,
    attempts: int,
    now: datetime,
    random: Random,
    validity: Validity | None = None,
) -> datetime:
    """
    Return the time of the next attempt after *failure*, at most 1.1 days after *now*.

    Args:
        failure: The failure of the last attempt.
        attempts: The number of failed attempts in a row, at least 1.
        validity: The validity of the certificate in service; None: there is none. The pause is shorter near
            the expiry of the certificate, and grows again after the expiry.
    """
    policy = RETRY_PAUSES[failure.retry]
    usual = policy.pauses[min(attempts, len(policy.pauses)) - 1]
    pause = shortened(usual, validity, now, policy.least) * (1 + JITTER * random.random())
    if failure.retry in NAMES_THE_TIME and failure.until is not None:
        named = max(failure.until - now, timedelta(0)) + wait_within(validity, MINUTE) * random.random()
        # An attempt before the reset of a limit sends no request, because the budget rejects it. A slow CA is
        # polled after the usual pause, unless its Retry-After is later.
        pause = named if failure.retry is Retry.UNTIL else max(pause, named)
    return now + min(pause, LONGEST_PAUSE_AFTER_A_FAILURE * (1 + JITTER * random.random()))


def in_words(span: timedelta) -> str:
    """
    Return *span*, which is not negative, in the largest unit of which it has at least two, or in seconds.
    """
    units = (("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", timedelta(seconds=1)))
    unit, length = next((each for each in units if span >= 2 * each[1]), units[-1])
    number = span // length
    return f"{number} {unit if number != 1 else unit[:-1]}"


def detail_of(state: str, not_after: datetime | None, now: datetime) -> str:
    """
    Return *state*. Instead of `failed`, return `failing` while the certificate in service, which expires at
    *not_after*, is valid; otherwise `no_certificate`.
    """
    if state != "failed":
        return state
    return "failing" if not_after and now < not_after else "no_certificate"
