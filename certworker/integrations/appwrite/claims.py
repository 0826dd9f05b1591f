"""
The claims of a worker: messages that it has taken from Appwrite's queue and not yet settled.

::

    its queue ──► claims ──► settled: success, or on the list of failures
                    ▲
                    └── claims of a dead worker

Until a success, a message is always in one of these lists. Each arrow is atomic, in a Lua script. After
another worker has taken over a claim, the first worker can no longer settle the message.
"""

from __future__ import annotations

import logging
from typing import Protocol

from redis import Redis

from certworker.errors import CertworkerError, printable
from certworker.redis.codec import decode_text
from certworker.worker.payload import LARGEST

logger = logging.getLogger(__name__)

KEY_PREFIX = "certworker:appwrite"

#: Milliseconds. A worker that has not taken messages for this time counts as dead.
DEAD_AFTER = 10_000

#: The maximum number of claims of a worker.
MAX_CLAIMS = 100

#: The maximum number of bytes of an invalid message that are displayed.
MAX_DISPLAYED = 200

# KEYS: the queue, the worker's claims, the workers.
# ARGV: the worker's id, the prefix of the keys of claims, the prefix of the keys of heartbeats, milliseconds
# until a worker counts as dead, the maximum number of claims, the end of the queue with the oldest message,
# bytes of the largest message.
# Returns the claims, and the removed keys of another type.
# A message above the largest size is cut to one byte more than that size, so that it is still refused. A
# heartbeat that expires later than certworker's own, or never, does not count: another program wrote it.
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
    A queue of Appwrite's core, of either format.
    """

    def exists(self) -> bool:
        """
        Return whether Appwrite has used the queue.
        """

    def take(self) -> list[bytes]:
        """
        Claim the waiting messages, and return all claims of this worker, oldest first.
        """

    def settle(self, raw: bytes, failure: CertworkerError | None = None) -> None:
        """
        Remove the claim of the message *raw*, and report its *failure* to Appwrite; None: it succeeded.
        """


class Claims:
    """
    The claims of one worker in one format, and the takeover from dead workers.

    Args:
        queue_format: `utopia` or `resque`, a part of the keys of the claims.
        queue: The key of Appwrite's queue.
        worker: The id of this worker.
        out: The end of the queue with the oldest message: `LEFT` or `RIGHT`.
        script: Lua that defines `taken`, a function that is called with each message from the queue.
    """

    def __init__(
        self, connection: Redis, queue_format: str, queue: str, worker: str, out: str, script: str
    ) -> None:
        self._keys = [
            queue,
            f"{KEY_PREFIX}:{queue_format}:claims:{worker}",
            f"{KEY_PREFIX}:{queue_format}:workers",
        ]
        self._arguments: list[str | int] = [
            worker,
            f"{KEY_PREFIX}:{queue_format}:claims:",
            f"{KEY_PREFIX}:{queue_format}:alive:",
            DEAD_AFTER,
            MAX_CLAIMS,
            out,
            LARGEST,
        ]
        self._take = connection.register_script(script + _TAKE)
        self.key = self._keys[1]

    def take(self, *more: str) -> list[bytes]:
        """
        Claim the waiting messages, take over the claims of dead workers, and return all claims, oldest first.

        A worker has at most :data:`MAX_CLAIMS` claims. Further messages stay where they are.
        """
        claims: list[bytes]
        claims, removed = self._take(self._keys, [*self._arguments, *more])
        for key in removed:
            logger.warning(
                "removed a key of the wrong type from Redis: %s is not a list of claims",
                printable(decode_text(key), 200),
                extra={"code": "redis.wrong_type"},
            )
        return claims[::-1]


def displayed(raw: bytes) -> str:
    """
    Return the beginning of the message *raw* in a printable form.
    """
    return printable(raw[:MAX_DISPLAYED].decode(errors="backslashreplace"))
