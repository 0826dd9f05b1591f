"""
The state of the queue for operators: positions of requests, workers, suspension, and queues without a worker.

This module does not import RQ, which would slow down `certworker status`: some monitoring systems run this
command every minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar, cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.redis import RedisEvicts
from certworker.errors.worker import QueueUnserved
from certworker.redis.codec import decode_text, decode_time, score_to_time
from certworker.renewal.agenda import Agenda
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.health import reports
from certworker.worker.payload import LARGEST, read_call
from certworker.worker.producer import ISSUE, QUEUE, QUEUE_KEY, queue_length

#: The maximum number of jobs in one command, and in one search. Reading 50,000 jobs takes about a second.
BATCH = 500
MAX_JOBS = 50_000

#: The maximum number of queues, or of workers of a queue, that are read.
MAX_MEMBERS = 1_000
#: The maximum number of bytes of the key of a queue or a worker.
LONGEST_MEMBER = 300

#: The maximum number of queues without a worker in one report.
MAX_UNSERVED = 20

#: KEYS: the queue. ARGV: the first and the last position, the maximum size of the data. Returns the data of
#: these jobs; an empty string for a job whose data is missing or too large.
_DATA = """
local answer = {}
for i, id in ipairs(redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])) do
    local key = 'rq:job:' .. id
    local plain = redis.call('TYPE', key).ok == 'hash'
        and redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[3])
    answer[i] = plain and redis.call('HGET', key, 'data') or ''
end
return answer
"""

#: KEYS: the queue. ARGV: the maximum length of a time. Returns when the next job was enqueued; an empty
#: string if no job is waiting, or if its time is missing or too long.
_HEAD = """
local id = redis.call('LINDEX', KEYS[1], 0)
if not id then return '' end
local key = 'rq:job:' .. id
if redis.call('TYPE', key).ok ~= 'hash' then return '' end
if redis.call('HSTRLEN', key, 'enqueued_at') > tonumber(ARGV[1]) then return '' end
return redis.call('HGET', key, 'enqueued_at') or ''
"""

#: The maximum number of bytes of a time.
LONGEST_TIME = 40

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

#: The key that `rq suspend` sets. An import of RQ would delay `certworker status`.
SUSPENDED = "rq:suspended"

#: The worker repeats its log line about a suspension after this time, because certificates may expire.
REMINDER_SECONDS = 3600.0


@dataclass(frozen=True)
class Queued:
    """
    The position of a request on the queue, and the number of workers.
    """

    #: 1 is the next job. None: the request is not among the first 50,000 jobs on the queue, or Redis does not
    #: permit the command.
    position: int | None
    #: The number of running workers. None: Redis does not permit the command.
    workers: int | None


@dataclass(frozen=True)
class QueueStats:
    """
    The state of the queue and of its Redis.
    """

    waiting: int
    workers: int
    #: Whether a scheduler moves delayed jobs to the queue.
    scheduler: bool
    #: Whether all workers are suspended (`rq suspend`).
    suspended: bool
    #: Queues with jobs and without a worker.
    unserved: tuple[QueueUnserved, ...]
    #: Set if Redis may evict jobs when its memory is full. None: Redis does not evict jobs, or does not
    #: permit the command.
    evicts: RedisEvicts | None


def queue_stats(connection: Redis) -> QueueStats:
    """
    Return the state of the queue.

    Raises:
        redis.RedisError: Redis does not respond, or does not permit a command.
    """
    return QueueStats(
        waiting=queue_length(connection),
        workers=registered_workers(connection, QUEUE),
        scheduler=bool(connection.exists(f"rq:scheduler-lock:{QUEUE}")),
        suspended=is_suspended(connection),
        unserved=tuple(islice(_unserved(connection), MAX_UNSERVED)),
        evicts=_evicts(connection),
    )


def head_age(connection: Redis, now: datetime) -> float:
    """
    Return how many seconds the next job on the queue has waited; 0 if no job is waiting, or its time is
    invalid.

    Raises:
        redis.RedisError: Redis does not respond, or does not permit the command.
    """
    enqueued = decode_time(decode_text(connection.eval(_HEAD, 1, QUEUE_KEY, str(LONGEST_TIME))))
    return max(0.0, (now - enqueued).total_seconds()) if enqueued else 0.0


def scheduler_lag(connection: Redis, agenda: Agenda, now: datetime) -> float:
    """
    Return how many seconds the earliest delayed job or planned check is late; 0 if none is late.

    Raises:
        redis.RedisError: Redis does not respond, or does not permit a command.
    """
    delayed = connection.zrange(SCHEDULED_KEY, 0, 0, withscores=True)
    planned = score_to_time(float(delayed[0][1])) if delayed else None
    late = [(now - moment).total_seconds() for moment in (planned, agenda.earliest()) if moment]
    return max(0.0, *late) if late else 0.0


def job_position(connection: Redis, job_id: str) -> int | None:
    """
    Return the position of the job *job_id* on the queue; None if it is not on the queue, or if Redis does not
    permit the command.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    index: Any = _permitted(lambda: connection.lpos(QUEUE_KEY, job_id))
    return None if index is None else index + 1


def queued_name(connection: Redis, name: str) -> Queued:
    """
    Return the number of workers, and the position of the first request for *name* from any program. Each is
    None if Redis does not permit a command. The position is also None if there is no such request.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    return Queued(_permitted(lambda: _position(connection, name)), running_workers(connection))


def running_workers(connection: Redis) -> int | None:
    """
    Return the number of running workers; None if Redis does not permit the command.

    A worker that stops removes its registration. The health report of a killed worker expires after 30
    seconds.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    return _permitted(lambda: min(registered_workers(connection, QUEUE), len(reports(connection))))


def are_suspended(connection: Redis) -> bool:
    """
    Return whether all workers are suspended; False if Redis does not permit the command.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    return bool(_permitted(lambda: is_suspended(connection)))


def registered_workers(connection: Redis, queue: str) -> int:
    """
    Return the number of registered workers of *queue*.

    The set of workers may include killed workers, which count until their hashes expire.
    """
    workers = members(connection, f"rq:workers:{queue}")
    return int(connection.exists(*workers)) if workers else 0


def members(connection: Redis, key: str) -> list[str]:
    """
    Return up to 1,000 random members of the set *key*, sorted; none if *key* is not a set.

    Members that are not printable, or are longer than :data:`LONGEST_MEMBER`, are left out.
    """
    try:
        members = cast("list[bytes]", connection.srandmember(key, MAX_MEMBERS))
    except NoPermissionError:
        raise
    except ResponseError:
        return []  # another program wrote a key of another type
    texts = {decode_text(member) for member in members if len(member) <= LONGEST_MEMBER}
    return sorted(text for text in texts if text.isprintable())


def _unserved(connection: Redis) -> Iterator[QueueUnserved]:
    queues = [key for key in members(connection, "rq:queues") if key != QUEUE_KEY]
    with connection.pipeline(transaction=False) as pipe:
        for key in queues:
            pipe.llen(key)
        # For a key of another type, Redis returns an error instead of a length.
        lengths = pipe.execute(raise_on_error=False)
    for key, length in zip(queues, lengths, strict=True):
        name = key.removeprefix("rq:queue:")
        if isinstance(length, int) and length and not registered_workers(connection, name):
            yield QueueUnserved(queue=name, waiting=length, own=QUEUE)


def _evicts(connection: Redis) -> RedisEvicts | None:
    try:
        settings = connection.config_get("maxmemory*")
    except ResponseError:
        return None  # some providers forbid this command
    policy = settings.get("maxmemory-policy") or ""
    if settings.get("maxmemory") in (None, "0") or not policy.startswith("allkeys"):
        return None
    return RedisEvicts(policy=policy)


def _permitted(query: Callable[[], Answer]) -> Answer | None:
    # A producer with its own Redis user has few permissions: docs/guides/redis.md.
    try:
        return query()
    except NoPermissionError:
        return None


def _position(connection: Redis, name: str) -> int | None:
    requests = enumerate(_requests(connection), start=1)
    return next((position for position, names in requests if name in names), None)


def _requests(connection: Redis) -> Iterator[set[str]]:
    """
    Yield the names of each job on the queue, the next job first; an empty set for a job that is not a
    request.
    """
    read = connection.register_script(_DATA)
    for start in range(0, MAX_JOBS, BATCH):
        batch = read([QUEUE_KEY], [start, start + BATCH - 1, LARGEST])
        yield from (set(names_of(data)) for data in batch)
        if len(batch) < BATCH:
            return


def names_of(data: bytes) -> Iterator[str]:
    """
    Yield the normalized names of the request with the *data* of a job; none if the job is not a request.
    """
    try:
        call = read_call(data)
    except CertworkerError:
        return
    if call.function == ISSUE:
        positional = dict(zip(("domain", "domains"), call.arguments, strict=False))
        arguments = positional | call.keywords
        domains = arguments.get("domains")
        yield from _normalized([arguments.get("domain"), *(domains if isinstance(domains, list) else ())])


def _normalized(texts: Iterable[object]) -> Iterator[str]:
    for text in texts:
        if isinstance(text, str):
            try:
                yield normalize(text, private=True, wildcards=True)
            except CertworkerError:
                continue


def is_suspended(connection: Redis) -> bool:
    """
    Return whether all workers that use this Redis are suspended.

    Raises:
        redis.RedisError: Redis does not respond, or does not permit the command.
    """
    return bool(connection.exists(SUSPENDED))


class Suspension:
    """
    Logs the start and the end of a suspension by `rq suspend`, and a reminder each hour.

    Args:
        connection: The connection to Redis.
        clock: Returns monotonic seconds.
    """

    def __init__(self, connection: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._logged: float | None = None

    @property
    def known(self) -> bool:
        """
        Return whether the last check found a suspension.
        """
        return self._logged is not None

    def lasts(self) -> bool:
        """
        Check and return whether the workers are suspended; log a change, or the hourly reminder.

        Raises:
            redis.RedisError: Redis does not respond, or does not permit the command.
        """
        return self.note(is_suspended(self._connection))

    def note(self, is_suspended: bool) -> bool:
        """
        Log a change of the suspension, or the hourly reminder; return *is_suspended*.
        """
        now = self._clock()
        if not is_suspended:
            if self._logged is not None:
                logger.info("resumed: new jobs start", extra={"event": "resumed"})
            self._logged = None
            return False
        if self._logged is None or now - self._logged >= REMINDER_SECONDS:
            logger.warning(
                "suspended by `rq suspend`: no job starts, and no certificate is renewed. To resume the "
                "workers: rq resume --url redis://HOST:PORT",
                extra={"event": "suspended"},
            )
            self._logged = now
        return True
