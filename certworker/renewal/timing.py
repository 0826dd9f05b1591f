"""
When to check again: pure arithmetic on moments.

All of it is a share of the certificate's own life. A number of days would be wrong for 160-hour
certificates today and for the 45-day ones of 2028.

Every failure has a next attempt: :data:`PATIENCE` has the pauses, :func:`next_attempt` shortens them while a
certificate in service loses its life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from certworker.errors import CertworkerError, Retry
from certworker.validity import Validity, Window, wait_within

#: Let's Encrypt's integration guide: renew when a third is left, or half of a life under ten days.
SHARE_LEFT = 1 / 3
SHARE_LEFT_SHORT_VALIDITY = 1 / 2
SHORT_VALIDITY = timedelta(days=10)

#: Whatever the CA suggests, no certificate is left alone with less than this of its life.
MIN_SHARE_LEFT = 1 / 20

#: A window in the past means now, even for a new certificate; but never again and again. Let's Encrypt dates
#: its certificates one hour back.
MIN_AGE = timedelta(hours=2)
MIN_AGE_SHARE = 1 / 4

#: However short a certificate lives.
LEAST_PAUSE_BETWEEN_RENEWALS = timedelta(seconds=5)

#: Certificates issued together are renewed apart, over this share of their life before the moment above.
SPREAD = 1 / 20

#: A look at least twice a day, so that news from the CA or the volume are never older.
MAX_CHECK_INTERVAL = timedelta(hours=12)

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

#: After the CA refused a validation: patient at first, then once a day (integration guide).
CA_PAUSES = (MINUTE, 10 * MINUTE, 100 * MINUTE, DAY)

#: After the second, the third … worker in a row that died of the same names. What kills many workers at once,
#: a deployment or a machine without memory, blames names that are innocent: the first pauses are short.
CRASH_PAUSES = (timedelta(seconds=5), timedelta(seconds=30), *CA_PAUSES)


@dataclass(frozen=True)
class Patience:
    """
    The pauses after failures of one kind.
    """

    #: After the first, the second … failure in a row; the last one repeats.
    pauses: tuple[timedelta, ...]
    #: No pause is shorter, however little life a certificate in service has left; scaled to a short life.
    least: timedelta
    #: What ends the failure, for the documentation.
    ends: str


#: The whole policy. `docs/concepts/renewal-and-retries.md` shows it, and a test tries every failure with it.
PATIENCE: Mapping[Retry, Patience] = {
    Retry.NEVER: Patience((DAY,), HOUR, "a correct request; no attempt begins before"),
    Retry.CONFIG: Patience((DAY,), HOUR, "a person who changes what the remedy names"),
    Retry.PREFLIGHT: Patience(
        (MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, *(HOUR,) * 24, DAY),
        10 * MINUTE,
        "a person who changes what the remedy names",
    ),
    # The CA counts validations that fail: five in an hour.
    Retry.CA: Patience(CA_PAUSES, HOUR, "a person who changes what the remedy names"),
    # A limit that names no moment; most limits refill within the hour.
    Retry.UNTIL: Patience((HOUR,), HOUR, "the moment that the failure names"),
    Retry.SOON: Patience(
        (MINUTE / 6, MINUTE / 2, MINUTE, 5 * MINUTE, *CA_PAUSES[1:]), 10 * MINUTE, "time, without any change"
    ),
}

#: Whatever the failure, and whatever moment it names: certworker tries again within a day.
LONGEST_PAUSE_AFTER_A_FAILURE = DAY

#: A day is long for a certificate of 160 hours: no pause is longer than this share of what is left of it.
MAX_SHARE_OF_REMAINDER = 1 / 8

#: With less than this share of the life left, no pause is longer than a few hours.
CLOSE_SHARE = 1 / 5
LONGEST_PAUSE_WHEN_CLOSE = 4 * HOUR

#: Many names get the same moment. Each waits up to this share longer.
JITTER = 1 / 10


def renewal_time(life: Validity, window: Window | None = None) -> datetime:
    """
    When the certificate is to be renewed: at a random moment in *window*, or by its age where there is none.

    The moment stays the same as long as the window does.
    """
    if window is None:
        share = SHARE_LEFT_SHORT_VALIDITY if life.length < SHORT_VALIDITY else SHARE_LEFT
        return life.not_after - life.length * (share + SPREAD * Random(life.serial).random())
    seed = f"{life.serial} {window.start.timestamp()} {window.end.timestamp()}"
    chosen = window.start + (window.end - window.start) * Random(seed).random()
    old_enough = life.not_before + min(MIN_AGE, life.length * MIN_AGE_SHARE)
    return min(max(chosen, old_enough), life.not_after - life.length * MIN_SHARE_LEFT)


def next_check(life: Validity, due: datetime, now: datetime, random: Random) -> datetime:
    """
    When to look at a certificate again that is *due* at another moment: then, and twice a day until then.
    """
    # A short life has short halves; looks that are all the same would meet at the same second.
    pause = min(MAX_CHECK_INTERVAL, life.length / 4) * random.uniform(0.5, 1)
    return min(now + pause, max(due, now))


def after_issuance(life: Validity, planned: datetime, now: datetime) -> datetime:
    """
    Return the *planned* moment of the first check of a certificate that was issued at *now*, or a later one.

    A certificate can be due when it is issued: it is dated back, or its CA signs for seconds. Without a least
    pause certworker would order again and again.
    """
    pause = min(MIN_AGE, (life.not_after - now) * MIN_AGE_SHARE)
    return max(planned, now + max(pause, LEAST_PAUSE_BETWEEN_RENEWALS))


def shortened(
    pause: timedelta, life: Validity | None, now: datetime, least: timedelta | None = None
) -> timedelta:
    """
    Return *pause*, or less while the certificate in service loses its *life*; None: there is none.

    Args:
        least: The result is not shorter than this, or than what is in proportion to a short life.
    """
    if life is None:
        return pause
    left = life.not_after - now
    longest = abs(left) * MAX_SHARE_OF_REMAINDER
    if timedelta(0) < left < life.length * CLOSE_SHARE:
        longest = min(longest, LONGEST_PAUSE_WHEN_CLOSE)
    return min(pause, max(longest, wait_within(life, pause if least is None else least)))


def crash_backoff(deaths: int, life: Validity | None, now: datetime) -> timedelta:
    """
    Return how much longer than a lease to wait after *deaths* workers in a row died of the same names.

    After a single death there is no such pause: most deaths are deployments.

    Args:
        life: Of the certificate in service; None without one.
    """
    if not deaths:
        return timedelta(0)
    return shortened(CRASH_PAUSES[min(deaths, len(CRASH_PAUSES)) - 1], life, now, PATIENCE[Retry.CA].least)


def next_attempt(
    failure: CertworkerError,
    attempts: int,
    now: datetime,
    random: Random,
    life: Validity | None = None,
) -> datetime:
    """
    Return when to try again after *failure*: at most a day and a tenth after *now*.

    Args:
        attempts: How many attempts in a row have failed, at least 1.
        life: Of the certificate in service; None without one. The closer its end, the shorter the pause.
            After the end the pauses grow again.
    """
    patience = PATIENCE[failure.retry]
    usual = patience.pauses[min(attempts, len(patience.pauses)) - 1]
    pause = shortened(usual, life, now, patience.least) * (1 + JITTER * random.random())
    if failure.retry is Retry.UNTIL and failure.until is not None:
        # A limit of the CA is obeyed, but its end may come early: the budget knows it and costs no request.
        pause = max(failure.until - now, timedelta(0)) + wait_within(life, MINUTE) * random.random()
    return now + min(pause, LONGEST_PAUSE_AFTER_A_FAILURE * (1 + JITTER * random.random()))


def in_words(span: timedelta) -> str:
    """
    Return *span*, which is not negative, rounded down to its largest unit of which it has two: `89 days`.
    """
    units = (("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", timedelta(seconds=1)))
    unit, length = next((each for each in units if span >= 2 * each[1]), units[-1])
    return f"{span // length} {unit}"


def detail_of(state: str, not_after: datetime | None, now: datetime) -> str:
    """
    Return *state*, where `failed` is `failing` while the certificate in service is valid until *not_after*,
    and `no_certificate` otherwise.
    """
    if state != "failed":
        return state
    return "failing" if not_after and now < not_after else "no_certificate"
