"""
Keys that mark events as done for a limited time, for all workers that use the same Redis.

`SET … NX EX` alone trusts the expiry of an existing key. Another program may have written the key without an
expiry or with a longer one. The event would then happen too late, or never again. This module treats such a
key as expired.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

#: The prefix of the keys of names for which certworker placed an order despite a probable refusal, at most
#: once a day. More orders would use up the limits of the CA for a name that no longer points to this server.
#: Without any order, a valid name behind a router without NAT loopback would never get a certificate.
DOUBTS = "certworker:doubt:"
DOUBT_TTL = timedelta(days=1)

#: The prefix of the keys of log lines that were already written within :data:`LOGGED_TTL`.
LOGGED = "certworker:said:"
#: This is less than a day, because an hourly check would otherwise log an hour later each day.
LOGGED_TTL = timedelta(hours=23)

#: The reply to PTTL for a key without an expiry. A lower reply means that there is no key.
NEVER = -1

#: KEYS: the key. ARGV: its value, its expiry in milliseconds. Returns 1 if this call wrote the key.
_FIRST = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class OncePer:
    """
    Events that happen at most once within *ttl*. Each has a key that expires.

    Args:
        connection: The connection to Redis.
        prefix: The prefix of each key.
        ttl: The expiry of each key.
    """

    def __init__(self, connection: Redis, prefix: str, ttl: timedelta) -> None:
        self._prefix = prefix
        self._milliseconds = ttl // timedelta(milliseconds=1)
        self._first = connection.register_script(_FIRST)

    def first(self, subject: str, value: str = "") -> bool:
        """
        Return whether *subject* had no valid key. If so, write the key with *value*.

        Raises:
            redis.RedisError: Redis failed.
        """
        return bool(self._first([self._prefix + subject], [value, self._milliseconds]))


def bound_expiry(connection: Redis, key: str, longest: timedelta) -> bool:
    """
    Limit the expiry of *key* to *longest*. Return whether the key exists.

    Raises:
        redis.RedisError: Redis failed.
    """
    left = connection.pttl(key)
    if left == NEVER or left > longest // timedelta(milliseconds=1):
        connection.expire(key, longest)
    return left >= NEVER
