"""
Keys of which the first writer within a time wins, among all workers of one Redis.

`SET … NX EX` alone trusts the expiry of an existing key. Another program may have written the key without an
expiry, or with a longer one, and the event would never happen again. Here such a key counts as expired.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

#: Names that the CA was asked about in spite of a doubt. Without this memory a name that no longer leads here
#: would use up the limits of the CA hour by hour. Without the exception a router that cannot route a host
#: to itself would block a good name.
DOUBTS = "certworker:doubt:"
DOUBT_TTL = timedelta(days=1)

#: Lines that the log has already had today.
LOGGED = "certworker:said:"
#: A little less than a day: an hourly check would otherwise log an hour later each day.
LOGGED_TTL = timedelta(hours=23)

#: The answer of PTTL for a key without expiry; below that, there is no key.
NEVER = -1

#: KEYS: the key. ARGV: its value, the milliseconds that it lasts. 1 if this call wrote the key.
_FIRST = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class OncePer:
    """
    Writes keys that expire, each unless it exists.

    Args:
        connection: To Redis.
        prefix: The beginning of each key.
        ttl: How long each key lasts.
    """

    def __init__(self, connection: Redis, prefix: str, ttl: timedelta) -> None:
        self._prefix = prefix
        self._milliseconds = ttl // timedelta(milliseconds=1)
        self._first = connection.register_script(_FIRST)

    def first(self, subject: str, value: str = "") -> bool:
        """
        Return whether *subject* had no key; the key then exists and has *value*.

        Raises:
            redis.RedisError: Redis failed.
        """
        return bool(self._first([self._prefix + subject], [value, self._milliseconds]))


def bound_expiry(connection: Redis, key: str, longest: timedelta) -> bool:
    """
    Shorten the expiry of *key* to *longest* if it is longer or missing; return whether the key exists.

    Raises:
        redis.RedisError: Redis failed.
    """
    left = connection.pttl(key)
    if left == NEVER or left > longest // timedelta(milliseconds=1):
        connection.expire(key, longest)
    return left >= NEVER
