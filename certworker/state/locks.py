"""
Locks on names with a lease and a fencing token: one worker at a time issues for a name.

A lease alone is not safe, because a suspended worker may continue after its lease has expired. Each lease
therefore has a fencing token that is higher than all previous tokens. The volume rejects a certificate whose
token is lower than that of the current certificate of the name.

A job that a killed worker has left behind does not wait until that worker's lease expires: its next run
takes over the locks of the abandoned run. If that worker is alive after all, its lease is lost.

redis-py's `Lock` locks one name. A script in this module locks a set of names and increments the token in one
atomic step. If redis-py repeats this command after a broken connection, the command finds its own lock.
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
from typing import Any, TypeVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from certworker.errors.redis import TokenOutOfBounds
from certworker.errors.worker import AlreadyInProgress
from certworker.job_slot import current_slot
from certworker.redis.failures import address_of, explainer
from certworker.redis.shared_trips import send_with_next
from certworker.supervision import BEAT_SECONDS, Faults, Loop, Postponed, beat
from certworker.tracing.steps import step

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")

FENCE = "certworker:fence"
LOCKS = "certworker:lock:"

#: How long the names and jobs of a killed worker stay locked. The time is short, so that another worker soon
#: continues after a crash. A worker renews each lease several times within this time.
LEASE_SECONDS = 20

#: The worker renews a lease after this share of its duration, so that two consecutive renewals may fail.
RENEWAL_SHARE = 1 / 4

#: The name of a generation has twelve digits for the token.
HIGHEST_TOKEN = 10**12 - 1

#: A counter that is further ahead of the volume than this is invalid. It would require 30 locks a second for
#: a year without a stored certificate.
LONGEST_LEAP = 10**9

#: The longest lease that a worker takes, in milliseconds. A lock with a longer expiry is invalid.
LONGEST_LEASE = 3_600_000

#: KEYS: the counter, then the locks. ARGV: the owner, the lease in milliseconds, the highest known token, and
#: the beginning of the owners whose locks are taken over, or an empty string. Returns the token. If another
#: owner holds a lock, changes nothing, and returns the negative index of that lock, counted from 1. A lock
#: without a valid expiry does not count. An invalid counter counts as lost.
_TAKE = f"""
for i = 2, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    local is_abandoned = holder and ARGV[4] ~= '' and string.sub(holder, 1, #ARGV[4]) == ARGV[4]
    if holder and holder ~= ARGV[1] and not is_abandoned then
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

#: KEYS: the locks, then the keys of the commands. ARGV: the owner, the lease in milliseconds, the number of
#: locks, the number of commands that must succeed; then each command: the number of its words, and the words.
#: Renews all locks, runs the commands, and returns their replies. Returns nil and changes nothing if another
#: owner holds a lock. The caller knows that the lease has not expired, so a missing lock was evicted, and the
#: script creates it again.
_WRITE = """
local locks = tonumber(ARGV[3])
for i = 1, locks do
    local holder = redis.call('GET', KEYS[i])
    if holder and holder ~= ARGV[1] then return false end
end
for i = 1, locks do
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
end
local replies, at, essential = {}, 5, tonumber(ARGV[4])
while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    local run = #replies < essential and redis.call or redis.pcall
    replies[#replies + 1] = run(unpack(ARGV, at + 1, last))
    at = last + 1
end
return replies
"""

#: KEYS: the locks. ARGV: the owner.
_RELEASE = """
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""

#: The replies to the commands that had to succeed, and the replies to the other commands.
Replies = tuple[list[Any], list[Any]]

#: Adds commands to a pipeline.
AddCommands = Callable[[Pipeline], object]


def _add_none(_pipe: Pipeline) -> None:
    pass


class Lease:
    """
    A lock on names for a limited time.

    Attributes:
        names: The locked names, sorted.
        token: The fencing token, which is higher than that of every earlier lease.
        duration: How long the names stay locked after this worker is killed.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        token: int,
        duration: timedelta,
        taken: float,
        renew: Callable[[AddCommands, AddCommands], Replies | None],
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

        If Redis fails, the lease counts as valid until it expires. Before that, no other worker can lock the
        names, except to take over the locks of an abandoned run.
        """
        with self._mutex:
            try:
                return self._renewed(_add_none, _add_none) is not None
            except RedisError as error:
                logger.debug("could not renew the lease: %s", error, extra={"domain": self.names[0]})
                return time.monotonic() < self._ends

    def write(self, add: AddCommands, clean_up: AddCommands = _add_none) -> Replies | None:
        """
        Renew the lease and run commands, in one atomic step.

        Args:
            add: Adds the commands.
            clean_up: Adds commands that may fail.

        Returns:
            The replies to the commands, and the replies or errors of the commands that may fail. None: the
            lease is lost, and nothing was written.

        Raises:
            redis.RedisError: Redis failed, or rejected one of the commands that must succeed.
        """
        with self._mutex:
            return self._renewed(add, clean_up)

    def _renewed(self, add: AddCommands, clean_up: AddCommands) -> Replies | None:
        asked = time.monotonic()
        replies = None
        if not self._lost and asked < self._ends:
            replies = self._renew(add, clean_up)
        if replies is None:
            self._lose()
        else:
            self._ends = asked + self.duration.total_seconds()
        return replies

    def _lose(self) -> None:
        if not self._lost:
            logger.warning(
                "the lock was lost: its lease has expired, or another worker has locked the name",
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
        on_acquired: Called after names are locked, before the work on them.
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
            highest_token: Returns the highest token on the volume. With an empty Redis, the tokens continue
                from it.
            on_conflict: Called when a lock fails, because another worker or job has locked a name.
        """
        self._connection = connection
        self.duration = timedelta(seconds=lease_seconds)
        self._milliseconds = max(1, int(lease_seconds * 1000))
        self._highest_token = highest_token
        self._on_conflict = on_conflict
        self._write = connection.register_script(_WRITE)
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
            AlreadyInProgress: Another worker or job has locked one of the names. This method does not wait.
            TokenOutOfBounds: The next fencing token has too many digits.
            VolumeReadOnly, VolumeFault: The highest token on the volume cannot be read.
            redis.RedisError: Redis failed.
        """
        with self.hold_and_ask(names, lambda: None) as (lease, _):
            yield lease

    @contextmanager
    def hold_and_ask(self, names: Iterable[str], ask: Callable[[], Asked]) -> Iterator[tuple[Lease, Asked]]:
        """
        Lock *names* as :meth:`hold` does, and read what the holder needs in the same round trip.

        Args:
            names: The names.
            ask: Adds commands to the round trip, after the lock. The block gets what *ask* returns.

        Raises:
            CertworkerError, redis.RedisError: As for :meth:`hold`.
        """
        distinct = tuple(sorted(set(names)))
        keys = [LOCKS + name for name in distinct]
        # Each lease has an owner of its own. The owner contains the run, so that the next run of an abandoned
        # job can take over the locks.
        owner = _owners_of(current_slot().run) + secrets.token_hex(16)
        with step("lock"):
            lease, asked = self._acquire(distinct, keys, owner, ask)
        with self._mutex:
            self._leases[lease] = partial(self._unlock, keys, owner)
        self.loop.start()
        try:
            self.on_acquired()
            yield lease, asked
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
        Return whether a worker has locked *name*. A lock without a valid expiry does not count.
        """
        return 0 <= self._connection.pttl(LOCKS + name) <= LONGEST_LEASE

    def _acquire(
        self, names: tuple[str, ...], keys: list[str], owner: str, ask: Callable[[], Asked]
    ) -> tuple[Lease, Asked]:
        began = time.monotonic()
        try:
            token, asked = self._token(keys, owner, ask)
        except BaseException:
            # Redis may have run the command even if its reply was lost.
            self._unlock(keys, owner)
            raise
        if token < 0:
            self._on_conflict()
            raise AlreadyInProgress(name=names[-token - 1])
        return Lease(names, token, self.duration, began, renew=partial(self._renew, keys, owner)), asked

    def _token(self, keys: list[str], owner: str, ask: Callable[[], Asked]) -> tuple[int, Asked]:
        highest = min(max(self._highest_token(), 0), HIGHEST_TOKEN)
        abandoned = _owners_of(current_slot().abandoned_run)
        arguments = (len(keys) + 1, FENCE, *keys, owner, self._milliseconds, highest, abandoned)
        reply = send_with_next(self._connection, "EVAL", _TAKE, *arguments)
        asked = ask()
        token = int(reply.value())
        if not (0 < token <= HIGHEST_TOKEN or -len(keys) <= token < 0):
            raise TokenOutOfBounds(address=address_of(self._connection), token=token)
        return token, asked

    def _renew(self, keys: list[str], owner: str, add: AddCommands, clean_up: AddCommands) -> Replies | None:
        with self._connection.pipeline() as pipe:
            add(pipe)
            essential = len(pipe.command_stack)
            clean_up(pipe)
            commands = [arguments for arguments, _ in pipe.command_stack]
        words = [word for command in commands for word in (len(command), *command)]
        written = [command[1] for command in commands]
        reply: list[Any] | None = self._write(
            [*keys, *written], [owner, self._milliseconds, len(keys), essential, *words]
        )
        return None if reply is None else (reply[:essential], reply[essential:])

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


def _owners_of(run: str) -> str:
    """
    Return the beginning of the owners of the locks of *run*; empty if *run* is unknown.
    """
    return run and f"{run}/"
