"""
Keys of which the first writer within a time wins.

`SET … NX EX` alone trusts the expiry of a key that is there. Another program may have written it without one,
or with a longer one, and nothing would happen any more. Such a key counts as expired here.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

#: What PTTL answers for a key without expiry; below that, there is no key.
NEVER = -1

#: KEYS: the key. ARGV: its value, the milliseconds that it lasts. 1 if it is ours now.
_FIRST = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class Once:
    """
    Writes keys that last for a time, each unless it is there.

    Args:
        connection: To Redis.
        lasts: How long each key lasts.
    """

    def __init__(self, connection: Redis, lasts: timedelta) -> None:
        self._milliseconds = lasts // timedelta(milliseconds=1)
        self._first = connection.register_script(_FIRST)

    def first(self, key: str, value: str = "") -> bool:
        """
        Return whether *key* was not there; it has *value* then.
        """
        return bool(self._first([key], [value, self._milliseconds]))


def bound_expiry(connection: Redis, key: str, most: timedelta) -> bool:
    """
    Let *key* expire after *most* if it expires later or never; return whether there is such a key.
    """
    left = connection.pttl(key)
    if left == NEVER or left > most // timedelta(milliseconds=1):
        connection.expire(key, most)
    return left >= NEVER
