"""
One writer per zone among all workers, in the order in which they asked.

Many DNS APIs replace all values of a name at once, so that of two writers one would lose its value. The lock
itself is a lease of :class:`~certworker.state.locks.DomainLocks`; before it, writers wait in a line in Redis.
A writer that is killed while it waits leaves the line after some seconds.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors.dns01 import ZoneBusy
from certworker.errors.worker import AlreadyInProgress
from certworker.state.locks import DomainLocks, Lease
from certworker.supervision import beat

logger = logging.getLogger(__name__)

LINES = "certworker:dns01:line:"
SEEN = "certworker:dns01:seen:"

#: The lock of a zone is the lock of a name that no request can have.
LOCK_PREFIX = "dns01-zone:"

#: How long a writer waits: a job has 15 minutes for two waits, the propagation, and the validation.
PATIENCE_SECONDS = 300.0

#: A writer asks again after this time for each writer before it, within these limits.
PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

#: Milliseconds. A writer that has not asked for this long is gone.
GONE_MS = 5_000
#: Milliseconds. A line that no writer uses expires.
LINE_MS = 60_000

# KEYS: the line, when each writer asked last. ARGV: the writer. Returns how many writers are before it.
_WAIT = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - {GONE_MS})) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('ZREM', KEYS[2], gone)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, redis.call('ZRANK', KEYS[1], ARGV[1]))) do
    if not redis.call('ZSCORE', KEYS[2], other) then redis.call('ZREM', KEYS[1], other) end
end
redis.call('PEXPIRE', KEYS[1], {LINE_MS})
redis.call('PEXPIRE', KEYS[2], {LINE_MS})
return redis.call('ZRANK', KEYS[1], ARGV[1])
"""


class ZoneLocks:
    """
    The locks of zones, shared by all workers of one Redis.

    Args:
        connection: To Redis.
        locks: The leases.
        pause: Waits for some seconds.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        connection: Redis,
        locks: DomainLocks,
        *,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._locks = locks
        self._pause = pause
        self._clock = clock
        self._wait = connection.register_script(_WAIT)

    @contextmanager
    def hold(self, zone: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Lease]:
        """
        Wait for the turn of this writer, and lock *zone* for the length of the block.

        A block that locks a second zone could wait for a writer that waits for it: lock one zone at a time.

        Args:
            patience_seconds: How long to wait.

        Raises:
            ZoneBusy: Other writers had the zone for too long.
            redis.RedisError: Redis failed.
        """
        with ExitStack() as stack:
            yield self._in_turn(zone, patience_seconds, stack)

    def _in_turn(self, zone: str, patience: float, stack: ExitStack) -> Lease:
        writer = secrets.token_hex(16)
        keys = [LINES + zone, SEEN + zone]
        until = self._clock() + patience
        try:
            while True:
                before = int(self._wait(keys, [writer]))
                if not before:
                    with suppress(AlreadyInProgress):
                        return stack.enter_context(self._locks.hold([LOCK_PREFIX + zone]))
                if self._clock() > until:
                    raise ZoneBusy(zone=zone, seconds=f"{patience:g}")
                beat()
                self._pause(min(PAUSE_SECONDS * (before + 1), LONGEST_PAUSE_SECONDS))
        finally:
            self._leave(keys, writer)

    def _leave(self, keys: Sequence[str], writer: str) -> None:
        try:
            with self._connection.pipeline(transaction=True) as pipe:
                for key in keys:
                    pipe.zrem(key, writer)
                pipe.execute()
        except RedisError as error:
            logger.debug("a place in a line was not removed and ends after %d ms: %s", GONE_MS, error)
