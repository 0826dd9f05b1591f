"""
What all workers remember about each DNS provider: until when it refuses requests, and how long it settles.

A provider with hidden servers behind one address may show a record to certworker and not yet to the CA. After
a validation that failed in spite of visible records, orders wait longer. Each success shortens that time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from certworker.redis.codec import count_in, decode_text, decode_time, encode_time

logger = logging.getLogger(__name__)

PAUSES = "certworker:dns01:paused:"
SETTLING = "certworker:dns01:settling:"

#: A pause without an end, and the longest one: no API counts requests for more than a day.
PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)

#: The wait after the first failed validation, in milliseconds; each further failure doubles it.
FIRST_SETTLING_MS = 4_000
LONGEST_SETTLING_MS = 60_000
#: A shorter wait ends.
SHORTEST_SETTLING_MS = 500
#: A time that is not needed for this long is forgotten.
SETTLING_TTL = timedelta(days=30)

# KEYS: the time of a provider in milliseconds. ARGV: its first value, the longest one, how long it is stored.
_LENGTHEN = """
local found = redis.call('GET', KEYS[1]) or ''
found = #found <= 6 and string.match(found, '^%d+$') and tonumber(found) or 0
local longer = math.min(math.max(2 * found, tonumber(ARGV[1])), tonumber(ARGV[2]))
redis.call('SET', KEYS[1], longer, 'PX', ARGV[3])
return longer
"""

# KEYS: the time of a provider in milliseconds. ARGV: the shortest time, how long it is stored. Takes a tenth
# off.
_SHORTEN = """
local found = redis.call('GET', KEYS[1])
if not found then return 0 end
found = #found <= 6 and string.match(found, '^%d+$') and tonumber(found) or 0
local shorter = math.floor(found * 0.9)
if shorter < tonumber(ARGV[1]) then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], shorter, 'PX', ARGV[2])
return shorter
"""


class ProviderState:
    """
    The state of the DNS providers, each by its label.

    Args:
        connection: To Redis.
        clock: Returns the time in UTC.
    """

    def __init__(self, connection: Redis, *, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock
        self._lengthen = connection.register_script(_LENGTHEN)
        self._shorten = connection.register_script(_SHORTEN)

    def pause(self, label: str, until: datetime | None) -> datetime:
        """
        Store that the provider accepts no request before *until*; None: for a short time. Return the end.

        Raises:
            redis.RedisError: Redis failed.
        """
        now = self._clock()
        end = min(max(until or now + PAUSE, now + timedelta(seconds=1)), now + LONGEST_PAUSE)
        self._connection.set(PAUSES + label, encode_time(end), px=end - now)
        return end

    def paused_until(self, label: str) -> datetime | None:
        """
        Return when the pause of the provider ends; None if there is no pause, or if its time is invalid.

        Raises:
            redis.RedisError: Redis failed.
        """
        until = decode_time(decode_text(self._connection.get(PAUSES + label)))
        now = self._clock()
        return until if until and now < until <= now + LONGEST_PAUSE else None

    def settling_seconds(self, label: str) -> float:
        """
        Return how long an order waits after all name servers show its records.

        Raises:
            redis.RedisError: Redis failed.
        """
        return min(count_in(self._connection.get(SETTLING + label)), LONGEST_SETTLING_MS) / 1000

    def validation_failed(self, label: str) -> None:
        """
        Let the next orders wait longer: the CA did not see a record that all name servers showed.
        """
        try:
            arguments = [FIRST_SETTLING_MS, LONGEST_SETTLING_MS, SETTLING_TTL // timedelta(milliseconds=1)]
            milliseconds = int(self._lengthen([SETTLING + label], arguments))
        except RedisError as error:
            logger.debug("the settle time of %s was not stored: %s", label, error)
            return
        logger.info(
            "the CA did not see a record that all name servers showed: the settle time of %s is now %g s",
            label,
            milliseconds / 1000,
        )

    def validated(self, label: str) -> None:
        """
        Let the next orders wait a little shorter.
        """
        try:
            arguments = [SHORTEST_SETTLING_MS, SETTLING_TTL // timedelta(milliseconds=1)]
            self._shorten([SETTLING + label], arguments)
        except RedisError as error:
            logger.debug("the settle time of %s was not stored: %s", label, error)
