"""
Locks on names with a lease and a fencing token: one worker at a time issues for a name.

A lease alone is not safe, because a suspended worker may continue after its lease has expired. Each lease
therefore has a fencing token that is higher than all previous tokens. The volume rejects a token that is
lower than one it has seen.

redis-py's `Lock` locks one name. The script in this module locks a set of names and increments the token in
one atomic step. If redis-py repeats a command after a broken connection, the command finds its own lock.
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
from certworker.redis.shared_trips import send_with_next
from certworker.supervision import BEAT_SECONDS, Faults, Loop, Postponed, beat
from certworker.tracing.steps import step

logger = logging.getLogger(__name__)

FENCE = "certworker:fence"
LOCKS = "certworker:lock:"

#: How long the names and jobs of a killed worker stay locked. The time is short, so that another worker soon
#: continues after a crash. The worker renews each lease several times within it.
LEASE_SECONDS = 20

#: The worker renews a lease after this share of its duration, so that three consecutive renewals may fail.
RENEWAL_SHARE = 1 / 4

#: The name of a generation has twelve digits for the token.
HIGHEST_TOKEN = 10**12 - 1

#: A counter that is further ahead of the volume is invalid. It would require 30 locks a second for a year
#: without a stored certificate.
LONGEST_LEAP = 10**9

#: Milliseconds. No worker takes a longer lease, so a lock with a longer expiry is invalid.
LONGEST_LEASE = 3_600_000

#: KEYS: the counter, then the locks. ARGV: the owner, the lease in milliseconds, the highest known token.
#: Returns the token. If another owner holds a lock, changes nothing, and returns the negative index of that
#: lock. An invalid counter counts as lost.
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

#: KEYS: the locks. ARGV: the owner, the lease in milliseconds. Returns 1 if the owner has renewed all locks.
#: The caller knows that the lease has not expired, so a missing lock was evicted, and the script creates it
#: again.
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

#: KEYS: the locks. ARGV: the owner.
_RELEASE = """
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""


class Lease:
    """
    A lock on names for a limited time.

    Attributes:
        names: The locked names, sorted.
        token: The fencing token, which is higher than that of every earlier lease.
        duration: How long the names stay locked after this worker is killed.
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
        Renew the lease, and return whether it is still valid.

        If Redis does not respond, the lease is valid until it expires, because no other worker can lock the
        names before.
        """
        with self._mutex:
            asked = time.monotonic()
            if self._lost or asked >= self._ends:
                self._lose()
                return False
            try:
                renewed = self._renew()
            except RedisError as error:
                logger.debug("could not renew the lease: %s", error, extra={"domain": self.names[0]})
                return time.monotonic() < self._ends
            if not renewed:
                self._lose()
                return False
            self._ends = asked + self.duration.total_seconds()
            return True

    def _lose(self) -> None:
        if not self._lost:
            logger.warning(
                "the lock was lost; the issuance in progress will not be published",
                extra={"domain": self.names[0]},
            )
        self._lost = True

    def end(self, release: Callable[[], object]) -> None:
        """
        Unlock the names with *release*, after any running renewal. No renewal follows.
        """
        with self._mutex:
            self._lost = True
            release()


class DomainLocks:
    """
    The locks on names, shared by all workers that use the same Redis.

    One thread renews all leases of this object (see :data:`RENEWAL_SHARE`).

    Attributes:
        duration: How long the names of a killed worker stay locked.
        loop: The loop of that thread, with its heartbeat. It starts with the first lease.
        on_acquired: Called after names were locked, before the work on them.
    """

    def __init__(
        self,
        connection: Redis,
        lease_seconds: float = LEASE_SECONDS,
        *,
        highest_token: Callable[[], int],
        on_conflict: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            connection: The connection to Redis.
            lease_seconds: How long the names of a killed worker stay locked.
            highest_token: Returns the highest token on the volume, from which an empty Redis continues.
            on_conflict: Called when another worker or job has locked a name.
        """
        self._connection = connection
        self.duration = timedelta(seconds=lease_seconds)
        self._milliseconds = max(1, int(lease_seconds * 1000))
        self._highest_token = highest_token
        self._on_conflict = on_conflict
        self._take = connection.register_script(_TAKE)
        self._renew = connection.register_script(_RENEW)
        #: The leases, each with the function that unlocks its names.
        self._leases: dict[Lease, Callable[[], None]] = {}
        self._mutex = threading.Lock()
        self.on_acquired: Callable[[], object] = lambda: None
        self._faults = Faults("the renewal of a lease", explainer(connection))
        self.loop = Loop("leases", self._renew_all, seconds=max(lease_seconds * RENEWAL_SHARE, BEAT_SECONDS))

    @contextmanager
    def hold(self, names: Iterable[str]) -> Iterator[Lease]:
        """
        Lock all *names* within the block, or none of them.

        Raises:
            AlreadyInProgress: Another worker has locked one of the names. This method does not wait.
            redis.RedisError: Redis failed.
        """
        distinct = tuple(sorted(set(names)))
        keys = [LOCKS + name for name in distinct]
        owner = secrets.token_hex(16)
        with step("lock"):
            lease = self._acquire(distinct, keys, owner)
        with self._mutex:
            self._leases[lease] = partial(self._unlock, keys, owner)
        self.loop.start()
        try:
            self.on_acquired()
            yield lease
        finally:
            with self._mutex:
                unlock = self._leases.pop(lease)
            lease.end(unlock)

    def release_all(self) -> None:
        """
        Unlock all names at the end of the process, so that no other worker waits for a lease to expire.

        The fencing token of the next lease stops an issuance that is still running.
        """
        with self._mutex:
            leases = dict(self._leases)
        for lease, unlock in leases.items():
            lease.end(unlock)

    def is_held(self, name: str) -> bool:
        """
        Return whether a worker has locked *name*. A lock without expiry is invalid.
        """
        return 0 <= self._connection.pttl(LOCKS + name) <= LONGEST_LEASE

    def _acquire(self, names: tuple[str, ...], keys: list[str], owner: str) -> Lease:
        asked = time.monotonic()
        try:
            token = self._token(keys, owner)
        except BaseException:
            # Redis may have run the command, although its reply was lost.
            self._unlock(keys, owner)
            raise
        if token < 0:
            self._on_conflict()
            raise AlreadyInProgress(name=names[-token - 1])
        return Lease(
            names,
            token,
            self.duration,
            asked,
            renew=lambda: bool(self._renew(keys, [owner, self._milliseconds])),
        )

    def _token(self, keys: list[str], owner: str) -> int:
        highest = min(max(self._highest_token(), 0), HIGHEST_TOKEN)
        token = int(self._take([FENCE, *keys], [owner, self._milliseconds, highest]))
        if not (0 < token <= HIGHEST_TOKEN or -len(keys) <= token < 0):
            reason = f"the fencing token {token} is out of bounds"
            raise RedisFault(address=address_of(self._connection), reason=reason)
        return token

    def _unlock(self, keys: list[str], owner: str) -> None:
        # If Redis fails, the lock ends with its lease.
        send_with_next(self._connection, "EVAL", _RELEASE, len(keys), *keys, owner)

    def _renew_all(self) -> float:
        with self._mutex:
            leases = list(self._leases)
        pauses = []
        for lease in leases:
            try:
                lease.still_held()
            except BaseException as error:
                # Catch any exception, because all other leases depend on this thread.
                pauses.append(self._faults.failed(error))
            else:
                beat()
        pause = self.duration.total_seconds() * RENEWAL_SHARE
        if pauses:
            raise Postponed(min(pause, *pauses))
        self._faults.succeeded()
        return pause
