"""
When to look again: pure arithmetic on moments.

All of it is a share of the certificate's own life. A number of days would be wrong for 160-hour
certificates today and for the 45-day ones of 2028.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from certworker.errors import CertworkerError, Retry

#: Let's Encrypt's integration guide: renew when a third is left, or half of a life under ten days.
SHARE_LEFT = 1 / 3
SHARE_LEFT_OF_A_SHORT_LIFE = 1 / 2
SHORT_LIFE = timedelta(days=10)

#: Whatever the CA suggests, no certificate is left alone with less than this of its life.
SHARE_LEFT_AT_LAST = 1 / 20

#: A window in the past means now, even for a new certificate; but never again and again. Let's Encrypt dates
#: its certificates one hour back.
LEAST_AGE = timedelta(hours=2)
LEAST_AGE_OF_A_SHORT_LIFE = 1 / 4

#: Certificates issued together are renewed apart, over this share of their life before the moment above.
SPREAD = 1 / 20

#: A look at least twice a day, so that news from the CA or the volume are never older.
LONGEST_PAUSE = timedelta(hours=12)

#: After the CA refused a validation (integration guide): patient at first, then once a day.
CA_PAUSES = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100), timedelta(days=1))
SOON_PAUSES = (
    timedelta(seconds=10),
    timedelta(seconds=30),
    timedelta(minutes=1),
    timedelta(minutes=5),
    *CA_PAUSES[1:],
)
#: A limit of which the CA did not say when it ends; most of its limits refill within the hour.
UNTIL_PAUSES = (timedelta(hours=1),)
PREFLIGHT_PAUSES = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30)),
    *(timedelta(hours=1),) * 24,
    timedelta(days=1),
)

#: A day's pause is long for a certificate of 160 hours: no pause is longer than this share of what is left …
SHARE_OF_WHAT_IS_LEFT = 1 / 8

#: … but the CA counts validations that fail, five in an hour.
LEAST_PATIENCE = {
    Retry.PREFLIGHT: timedelta(minutes=10),
    Retry.CA: timedelta(hours=1),
    Retry.UNTIL: timedelta(hours=1),
    Retry.SOON: timedelta(minutes=10),
}

#: A moment that everybody was told is nobody's: each waits up to this share longer.
JITTER = 1 / 10


@dataclass(frozen=True)
class Life:
    """
    What the arithmetic needs to know of a certificate.
    """

    not_before: datetime
    not_after: datetime
    #: It seeds the random part, so that every look, every worker and every restart finds the same moment
    #: without keeping it anywhere.
    serial: str

    @property
    def length(self) -> timedelta:
        """
        How long the certificate is valid in all.
        """
        return self.not_after - self.not_before

    def left(self, now: datetime) -> float:
        """
        The share of the life that is left at *now*: 1 is new, 0 or less has expired.
        """
        return (self.not_after - now) / self.length


@dataclass(frozen=True)
class Window:
    """
    When a CA suggests to renew a certificate (RFC 9773, section 4.2).
    """

    start: datetime
    end: datetime
    #: A page of the CA that says why; empty if there is none.
    explanation_url: str = ""


def due_moment(life: Life, window: Window | None = None) -> datetime:
    """
    When the certificate is to be renewed: at a random moment in *window*, or by its age where there is none.

    The moment stays the same as long as the window does.
    """
    if window is None:
        share = SHARE_LEFT_OF_A_SHORT_LIFE if life.length < SHORT_LIFE else SHARE_LEFT
        return life.not_after - life.length * (share + SPREAD * Random(life.serial).random())
    seed = f"{life.serial} {window.start.timestamp()} {window.end.timestamp()}"
    chosen = window.start + (window.end - window.start) * Random(seed).random()
    old_enough = life.not_before + min(LEAST_AGE, life.length * LEAST_AGE_OF_A_SHORT_LIFE)
    return min(max(chosen, old_enough), life.not_after - life.length * SHARE_LEFT_AT_LAST)


def next_look(life: Life, due: datetime, now: datetime, random: Random) -> datetime:
    """
    When to look at a certificate again that is *due* at another moment: then, and twice a day until then.
    """
    # A short life has short halves; looks that are all the same would meet at the same second.
    pause = min(LONGEST_PAUSE, life.length / 4) * random.uniform(0.5, 1)
    return min(now + pause, max(due, now))


def pause_after_deaths(deaths: int) -> timedelta:
    """
    How much longer than a lease to wait after *deaths* workers in a row died of the same names.

    One may happen to anybody: what it left is gone on with at once.
    """
    return CA_PAUSES[min(deaths, len(CA_PAUSES)) - 1] if deaths else timedelta(0)


def next_attempt(
    failure: CertworkerError,
    attempts: int,
    now: datetime,
    random: Random,
    expires: datetime | None = None,
) -> datetime | None:
    """
    When to try again after *failure*, the *attempts*-th in a row (from 1); None: not by itself.

    Args:
        expires: When the certificate in service ends; the closer that is, the less patience there is.
    """
    if failure.retry is Retry.NEVER:
        return None
    if failure.retry is Retry.UNTIL and failure.until is not None:
        return max(failure.until, now) + timedelta(seconds=60) * random.random()
    if failure.retry is Retry.CONFIG:
        return now + timedelta(days=1)
    pauses = {
        Retry.PREFLIGHT: PREFLIGHT_PAUSES,
        Retry.CA: CA_PAUSES,
        Retry.UNTIL: UNTIL_PAUSES,
        Retry.SOON: SOON_PAUSES,
    }[failure.retry]
    pause = pauses[min(attempts, len(pauses)) - 1]
    if expires and expires > now:
        pause = min(pause, max((expires - now) * SHARE_OF_WHAT_IS_LEFT, LEAST_PATIENCE[failure.retry]))
    return now + pause * (1 + JITTER * random.random())
