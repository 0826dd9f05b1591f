"""
The state of each DNS provider, which all workers share: its pause after a rate limit, and its settle time.

A provider with several servers behind one address may return a record to certworker but not yet to the CA.
After a validation that failed despite visible records, orders wait longer before the validation. Each success
shortens that time.
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

#: The default pause, and the longest one: the periods of rate limits are no longer than a day.
PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)

#: The settle time after the first failed validation. Each further failure doubles it.
FIRST_SETTLING_MS = 4_000
LONGEST_SETTLING_MS = 60_000
#: A shorter settle time is removed.
SHORTEST_SETTLING_MS = 500
#: A settle time expires after this time without a change.
SETTLING_TTL = timedelta(days=30)

# KEYS: the settle time of a provider in milliseconds. ARGV: the first value, the longest one, the expiry.
_LENGTHEN = """
local found = redis.call('GET', KEYS[1]) or ''
found = #found <= 6 and string.match(found, '^%d+$') and tonumber(found) or 0
local longer = math.min(math.max(2 * found, tonumber(ARGV[1])), tonumber(ARGV[2]))
redis.call('SET', KEYS[1], longer, 'PX', ARGV[3])
return longer
"""

# KEYS: the settle time of a provider in milliseconds. ARGV: the shortest value, the expiry. The script
# subtracts a tenth.
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
        Store that the provider accepts no request before *until*, by default for a minute.

        Return the end of the pause, which is at most a day away.

        Raises:
            redis.RedisError: Redis failed.
        """
        now = self._clock()
        end = min(max(until or now + PAUSE, now + timedelta(seconds=1)), now + LONGEST_PAUSE)
        self._connection.set(PAUSES + label, encode_time(end), px=end - now)
        return end

    def paused_until(self, label: str) -> datetime | None:
        """
        Return when the pause of the provider ends; None without a pause, or if the stored time is invalid.

        Raises:
            redis.RedisError: Redis failed.
        """
        until = decode_time(decode_text(self._connection.get(PAUSES + label)))
        now = self._clock()
        return until if until and now < until <= now + LONGEST_PAUSE else None

    def settling_seconds(self, label: str) -> float:
        """
        Return how long an order waits after all name servers return its records.

        Raises:
            redis.RedisError: Redis failed.
        """
        return min(count_in(self._connection.get(SETTLING + label)), LONGEST_SETTLING_MS) / 1000

    def validation_failed(self, label: str) -> None:
        """
        Lengthen the settle time: the CA did not find a record that all name servers returned.
        """
        try:
            arguments = [FIRST_SETTLING_MS, LONGEST_SETTLING_MS, SETTLING_TTL // timedelta(milliseconds=1)]
            milliseconds = int(self._lengthen([SETTLING + label], arguments))
        except RedisError as error:
            logger.debug("could not store the settle time of %s: %s", label, error)
            return
        logger.info(
            "the CA did not find a record that all name servers returned: the settle time of %s is now %g s",
            label,
            milliseconds / 1000,
        )

    def validated(self, label: str) -> None:
        """
        Shorten the settle time by a tenth; remove a short one.
        """
        try:
            arguments = [SHORTEST_SETTLING_MS, SETTLING_TTL // timedelta(milliseconds=1)]
            self._shorten([SETTLING + label], arguments)
        except RedisError as error:
            logger.debug("could not store the settle time of %s: %s", label, error)
