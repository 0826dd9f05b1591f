"""
The claims of a worker: messages that have left Appwrite's queue and are not settled yet.

::

    its queue ──► our claims ──► settled: success, or on the list of failures
                      ▲
                      └── claims of a worker that died

A message is always in one of these lists. Each arrow is one Lua script, and settling a message that
another worker has taken over meanwhile counts nothing.
"""

from __future__ import annotations

import logging
from typing import Protocol

from redis import Redis

from certworker.errors import CertworkerError, printable
from certworker.redis.codec import decode_text
from certworker.worker.payload import LARGEST

logger = logging.getLogger(__name__)

OURS = "certworker:appwrite"

#: Milliseconds. A worker that has not asked for messages for so long is dead.
DEAD_AFTER = 10_000

#: Messages under way at a time.
MAX_CLAIMS = 100

#: What was written in a message that nobody can read is shown up to this length.
MAX_DISPLAYED = 200

# KEYS: the queue, our claims, the workers. ARGV: our id, the beginnings of the keys of claims and of signs of
# life, milliseconds until one counts as dead, how many claims, from which end the queue is emptied, bytes of
# the largest message. The claims, and the keys that were removed because they are no lists. Of a larger
# message the beginning stays, which is too large as well, so that it is refused. A sign of life without end
# is none.
_TAKE = """
local queue, claims, workers = unpack(KEYS)
local us, claims_of, life_of, dead_after, most, out, largest = unpack(ARGV)
local removed = {}
largest = tonumber(largest)
redis.call('SET', life_of .. us, '1', 'PX', dead_after)
redis.call('SADD', workers, us)
for _, other in ipairs(redis.call('SRANDMEMBER', workers, most)) do
    local left = redis.call('PTTL', life_of .. other)
    if left < 0 or left > tonumber(dead_after) then
        local theirs = claims_of .. other
        local kind = redis.call('TYPE', theirs).ok
        if kind ~= 'list' and kind ~= 'none' then
            redis.call('UNLINK', theirs)
            removed[#removed + 1] = string.sub(theirs, 1, 1000)
        end
        while redis.call('LLEN', claims) < tonumber(most) do
            if not redis.call('LMOVE', theirs, claims, 'RIGHT', 'LEFT') then break end
        end
        if redis.call('EXISTS', theirs) == 0 then redis.call('SREM', workers, other) end
    end
end
for _ = redis.call('LLEN', claims) + 1, most do
    local raw = redis.call('LMOVE', queue, claims, out, 'LEFT')
    if not raw then break end
    taken(raw)
end
local found = redis.call('LRANGE', claims, -most, -1)
for i, raw in ipairs(found) do
    if #raw > largest + 1 then
        found[i] = string.sub(raw, 1, largest + 1)
        redis.call('LSET', claims, i - 1 - #found, found[i])
    end
end
return {found, removed}
"""


class AppwriteQueue(Protocol):
    """
    A queue of the core, of either format.
    """

    def exists(self) -> bool:
        """
        Whether a core has ever used it.
        """

    def take(self) -> list[bytes]:
        """
        The messages that this worker has claimed, oldest first, after it has claimed what there is.
        """

    def settle(self, raw: bytes, failure: CertworkerError | None = None) -> None:
        """
        The message *raw* is done with, well or with *failure*.
        """


class Claims:
    """
    What both formats share: claims, and those of dead workers.
    """

    def __init__(self, connection: Redis, form: str, queue: str, worker: str, out: str, told: str) -> None:
        self._keys = [queue, f"{OURS}:{form}:claims:{worker}", f"{OURS}:{form}:workers"]
        self._arguments: list[str | int] = [
            worker,
            f"{OURS}:{form}:claims:",
            f"{OURS}:{form}:alive:",
            DEAD_AFTER,
            MAX_CLAIMS,
            out,
            LARGEST,
        ]
        self._take = connection.register_script(told + _TAKE)
        self.key = self._keys[1]

    def take(self, *more: str) -> list[bytes]:
        """
        The claims, oldest first.
        """
        claims: list[bytes]
        claims, removed = self._take(self._keys, [*self._arguments, *more])
        for key in removed:
            logger.warning(
                "removed a key of another type from Redis: %s is no list of claims",
                printable(decode_text(key), 200),
                extra={"code": "redis.wrong_type"},
            )
        return claims[::-1]


def displayed(raw: bytes) -> str:
    """
    The beginning of a message that nobody can read, for people.
    """
    return printable(raw[:MAX_DISPLAYED].decode(errors="backslashreplace"))
