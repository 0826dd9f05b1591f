"""
One worker at a time for a name: locks with a lease, and a token that tells the older from the newer.

A lock alone cannot promise that: a worker that was frozen may wake up after its lease and still believe it
is alone. So each hold has a fencing token, higher than every one before, and the volume refuses to publish
under a lower token than it has seen.

Three small scripts instead of redis-py's `Lock`, which has one name each: here a set of names is taken
together with its token in one atomic step and one round trip, and a command that redis-py sends twice
because the connection broke finds its own lock, not a stranger's.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors.redis import RedisFault
from certworker.errors.worker import AlreadyInProgress
from certworker.redis.failures import address_of, explainer
from certworker.supervision import BEAT_SECONDS, Faults, Loop, Postponed, beat

logger = logging.getLogger(__name__)

FENCE = "certworker:fence"
LOCKS = "certworker:lock:"

#: How long the names and jobs of a worker that died stay its own. The worker renews each lease several times
#: meanwhile, so a short lease costs nothing, and a name is issued again soon after a crash.
LEASE_SECONDS = 20

#: A lease is renewed when this share of it has passed: three renewals in a row may fail.
RENEWAL_SHARE = 1 / 4

#: The name of a generation has twelve digits for it.
HIGHEST_TOKEN = 10**12 - 1

#: A counter in Redis that is further ahead of the volume was not counted: that would be 30 locks a second for
#: a year, and no certificate stored.
LONGEST_LEAP = 10**9

#: Milliseconds. No worker takes a longer lease, so a lock that lasts longer, or for ever, is not a worker's.
LONGEST_LEASE = 3_600_000

#: KEYS: the counter, then the locks. ARGV: our mark, the lease in milliseconds, the highest token known.
#: The token; or, below zero, which of the locks somebody else holds. Without effect in that case.
#: A counter that makes no sense counts as lost.
_TAKE = f"""
for i = 2, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    if holder and holder ~= ARGV[1] then
        local left = redis.call('PTTL', KEYS[i])
        if left >= 0 and left <= {LONGEST_LEASE} then return 1 - i end
    end
end
for i = 2, #KEYS do
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
end
local counted, highest = redis.call('GET', KEYS[1]) or '', tonumber(ARGV[3])
counted = #counted <= 12 and string.match(counted, '^%d+$') and tonumber(counted) or 0
if counted > highest + {LONGEST_LEAP} then counted = 0 end
local token = math.max(counted, highest) + 1
redis.call('SET', KEYS[1], string.format('%.0f', token))
return token
"""

#: KEYS: the locks. ARGV: our mark, the lease in milliseconds. 1 if all are ours, for another lease.
#: A lock that is gone was evicted, for the caller knows that its lease has not ended; it is taken again.
_RENEW = """
for i = 1, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    if holder and holder ~= ARGV[1] then return 0 end
end
for i = 1, #KEYS do
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
end
return 1
"""

#: KEYS: the locks. ARGV: our mark.
_RELEASE = """
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""


class Lease:
    """
    Names that are ours for a time.

    Attributes:
        names: Which, sorted.
        token: The fencing token: higher than that of every earlier hold.
        duration: How long the names stay ours if this worker dies.
    """

    def __init__(
        self, names: tuple[str, ...], token: int, duration: timedelta, taken: float, renew: Callable[[], bool]
    ) -> None:
        self.names = names
        self.token = token
        self.duration = duration
        self._renew = renew
        self._ends = taken + duration.total_seconds()
        self._lost = False
        self._mutex = threading.Lock()

    def still_held(self) -> bool:
        """
        Whether the names are still ours; if so, they stay so for another whole lease.

        Where Redis does not answer, our own clock decides: nobody else can have them before the lease ends.
        """
        with self._mutex:
            asked = time.monotonic()
            if self._lost or asked >= self._ends:
                self._give_up()
                return False
            try:
                renewed = self._renew()
            except RedisError as error:
                logger.debug("the lease could not be renewed: %s", error, extra={"domain": self.names[0]})
                return time.monotonic() < self._ends
            if not renewed:
                self._give_up()
                return False
            self._ends = asked + self.duration.total_seconds()
            return True

    def _give_up(self) -> None:
        if not self._lost:
            logger.warning(
                "the lock was lost; what is under way will not be published", extra={"domain": self.names[0]}
            )
        self._lost = True

    def end(self, release: Callable[[], object]) -> None:
        """
        Give the names back by *release*; a renewal that is under way ends first and none follows.
        """
        with self._mutex:
            self._lost = True
            release()


class DomainLocks:
    """
    The locks of the names, shared by all workers of one Redis.

    One thread renews all leases of this object, see :data:`RENEWAL_SHARE`.

    Attributes:
        duration: How long names stay locked after their worker died.
        loop: The loop of that thread and its heartbeat; it begins with the first lease.
    """

    def __init__(
        self,
        connection: Redis,
        lease_seconds: float = LEASE_SECONDS,
        *,
        highest_token: Callable[[], int],
    ) -> None:
        """
        Args:
            connection: To Redis.
            lease_seconds: How long names stay locked after their worker died.
            highest_token: The highest token on the volume. An emptied Redis counts on from there.
        """
        self._connection = connection
        self.duration = timedelta(seconds=lease_seconds)
        self._milliseconds = max(1, int(lease_seconds * 1000))
        self._highest_token = highest_token
        self._take = connection.register_script(_TAKE)
        self._renew = connection.register_script(_RENEW)
        self._release = connection.register_script(_RELEASE)
        #: Each with what gives its names back.
        self._leases: dict[Lease, Callable[[], None]] = {}
        self._mutex = threading.Lock()
        self._faults = Faults("the renewal of a lease", explainer(connection))
        self.loop = Loop("leases", self._renew_all, seconds=max(lease_seconds * RENEWAL_SHARE, BEAT_SECONDS))

    @contextmanager
    def hold(self, names: Iterable[str]) -> Iterator[Lease]:
        """
        Have *names* to oneself: all of them, or none.

        Raises:
            AlreadyInProgress: Somebody else has one of them. Said at once, there is no waiting.
        """
        wanted = tuple(sorted(set(names)))
        keys = [LOCKS + name for name in wanted]
        mark = secrets.token_hex(16)
        lease = self._acquire(wanted, keys, mark)
        with self._mutex:
            self._leases[lease] = partial(self._released, keys, mark)
        self.loop.start()
        try:
            yield lease
        finally:
            with self._mutex:
                give_back = self._leases.pop(lease)
            lease.end(give_back)

    def release_all(self) -> None:
        """
        Give all names back, for this process ends: whoever comes next need not wait for the end of a lease.

        What is still under way is fenced by the token of whoever has the names next.
        """
        with self._mutex:
            leases = dict(self._leases)
        for lease, give_back in leases.items():
            lease.end(give_back)

    def is_held(self, name: str) -> bool:
        """
        Whether a worker has *name*. A lock without end is not a worker's.
        """
        return 0 <= self._connection.pttl(LOCKS + name) <= LONGEST_LEASE

    def _acquire(self, names: tuple[str, ...], keys: list[str], mark: str) -> Lease:
        asked = time.monotonic()
        try:
            token = self._token(keys, mark)
        except BaseException:
            # The command may have arrived although its answer did not.
            self._released(keys, mark)
            raise
        if token < 0:
            raise AlreadyInProgress(name=names[-token - 1])
        return Lease(
            names,
            token,
            self.duration,
            asked,
            renew=lambda: bool(self._renew(keys, [mark, self._milliseconds])),
        )

    def _token(self, keys: list[str], mark: str) -> int:
        highest = min(max(self._highest_token(), 0), HIGHEST_TOKEN)
        token = int(self._take([FENCE, *keys], [mark, self._milliseconds, highest]))
        if not (0 < token <= HIGHEST_TOKEN or -len(keys) <= token < 0):
            reason = f"the fencing token {token} is out of bounds"
            raise RedisFault(address=address_of(self._connection), reason=reason)
        return token

    def _released(self, keys: list[str], mark: str) -> None:
        try:
            self._release(keys, [mark])
        except RedisError as error:
            logger.debug("a lock was not given back and ends with its lease: %s", error)

    def _renew_all(self) -> float:
        with self._mutex:
            leases = list(self._leases)
        pauses = []
        for lease in leases:
            try:
                lease.still_held()
            except BaseException as error:
                # Whatever a broken connection raises: all other leases depend on this one thread.
                pauses.append(self._faults.failed(error))
            else:
                beat()
        pause = self.duration.total_seconds() * RENEWAL_SHARE
        if pauses:
            raise Postponed(min(pause, *pauses))
        self._faults.over()
        return pause
