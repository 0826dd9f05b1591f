"""
The state of each DNS provider, which all workers share: its pause after a rate limit, and its extra wait.

A provider with several servers behind one address may return a record to certworker but not yet to the CA.
After a validation that failed despite visible records, the extra wait of the provider becomes longer: orders
wait between the moment at which all name servers return the records and the validation. Each success shortens
the extra wait.
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
EXTRA_WAITS = "certworker:dns01:settling:"

#: The default pause, and the longest one: the periods of rate limits are no longer than a day.
PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)

#: The extra wait after the first failed validation. Each further failure doubles it.
FIRST_EXTRA_WAIT_MS = 4_000
LONGEST_EXTRA_WAIT_MS = 60_000
#: An extra wait that becomes shorter than this is removed.
SHORTEST_EXTRA_WAIT_MS = 500
#: An extra wait expires after this time without a change.
EXTRA_WAIT_TTL_MS = timedelta(days=30) // timedelta(milliseconds=1)

# KEYS: the extra wait of a provider in milliseconds. ARGV: the first value, the longest one, the expiry.
_LENGTHEN = """
local found = redis.call('GET', KEYS[1]) or ''
found = #found <= 6 and string.match(found, '^%d+$') and tonumber(found) or 0
local longer = math.min(math.max(2 * found, tonumber(ARGV[1])), tonumber(ARGV[2]))
redis.call('SET', KEYS[1], longer, 'PX', ARGV[3])
return longer
"""

# KEYS: the extra wait of a provider in milliseconds. ARGV: the shortest value, the expiry. The script
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

        Return the end of the pause, which is at least a second and at most a day away.

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

    def extra_wait_seconds(self, label: str) -> float:
        """
        Return how long an order waits after all name servers return its records.

        Raises:
            redis.RedisError: Redis failed.
        """
        return min(count_in(self._connection.get(EXTRA_WAITS + label)), LONGEST_EXTRA_WAIT_MS) / 1000

    def validation_failed(self, label: str) -> None:
        """
        Lengthen the extra wait: the CA did not find a record that all name servers returned.
        """
        try:
            arguments = [
                FIRST_EXTRA_WAIT_MS,
                LONGEST_EXTRA_WAIT_MS,
                EXTRA_WAIT_TTL_MS,
            ]
            milliseconds = int(self._lengthen([EXTRA_WAITS + label], arguments))
        except RedisError as error:
            logger.debug("could not store the extra wait of %s: %s", label, error)
            return
        logger.info(
            "the CA did not find a record that all name servers returned: the extra wait of %s is now %g s",
            label,
            milliseconds / 1000,
        )

    def validated(self, label: str) -> None:
        """
        Shorten the extra wait by a tenth, or remove it if it is then too short.
        """
        try:
            arguments = [SHORTEST_EXTRA_WAIT_MS, EXTRA_WAIT_TTL_MS]
            self._shorten([EXTRA_WAITS + label], arguments)
        except RedisError as error:
            logger.debug("could not store the extra wait of %s: %s", label, error)
