"""
A lock for each zone, which the writers of all workers get in the order of their requests.

Many DNS APIs replace all values of a name with each request. So one of two concurrent writers would lose its
value. The lock is a lease of :class:`~certworker.state.locks.DomainLocks`. Redis stores the line of waiting
writers for each zone. A writer that is killed while it waits disappears from the line after a few seconds.
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

#: The lock on a zone is the lock on a name with this prefix, which no requested name can have.
LOCK_PREFIX = "dns01-zone:"

#: How long a writer waits. A job has 15 minutes for two such waits, the propagation, and the validation.
TIMEOUT_SECONDS = 300.0

#: The seconds between two attempts of the first writer in the line. Each following writer pauses this much
#: longer than the one before it, up to the maximum.
PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

#: Milliseconds. A writer without an attempt for this time counts as gone.
GONE_MS = 5_000
#: Milliseconds. A line that no writer uses for this time expires.
LINE_MS = 60_000

# KEYS: the line, the last attempt of each writer. ARGV: the writer. Returns how many writers are ahead of it.
# In Lua, `'(' .. now` has 14 digits, tenths of a millisecond: it would remove writers of this moment.
WAIT = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - {GONE_MS})) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('ZREM', KEYS[2], gone)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], string.format('(%.17g', now), '+inf')
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
    The locks on zones, shared by all workers that use the same Redis.

    Args:
        connection: To Redis.
        locks: The leases.
        pause: Waits for a number of seconds.
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
        self._wait = connection.register_script(WAIT)

    @contextmanager
    def hold(self, zone: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Lease]:
        """
        Wait for the turn of this writer, and lock *zone* during the block.

        To avoid a deadlock, a block must not lock a second zone.

        Args:
            zone: The name of the zone.
            timeout_seconds: How long to wait.

        Raises:
            ZoneBusy: This writer did not get the lock within *timeout_seconds*.
            TokenOutOfBounds: The next fencing token has too many digits.
            VolumeReadOnly, VolumeFault: The highest token on the volume cannot be read.
            redis.RedisError: Redis failed.
        """
        with ExitStack() as stack:
            yield self._in_turn(zone, timeout_seconds, stack)

    def _in_turn(self, zone: str, timeout_seconds: float, stack: ExitStack) -> Lease:
        writer = secrets.token_hex(16)
        keys = [LINES + zone, SEEN + zone]
        until = self._clock() + timeout_seconds
        try:
            while True:
                before = int(self._wait(keys, [writer]))
                if not before:
                    with suppress(AlreadyInProgress):
                        return stack.enter_context(self._locks.hold([LOCK_PREFIX + zone]))
                if self._clock() > until:
                    raise ZoneBusy(zone=zone, seconds=f"{timeout_seconds:g}")
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
            logger.debug("could not remove a writer, which expires after %d ms: %s", GONE_MS, error)
