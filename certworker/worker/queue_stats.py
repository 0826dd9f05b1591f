"""
The state of the queue for people: positions of requests, workers, suspension, and queues without a worker.

This module imports no RQ: some monitoring systems run `certworker status` every minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.redis import RedisEvicts
from certworker.errors.worker import QueueUnserved
from certworker.redis.codec import decode_text
from certworker.worker.health import reports
from certworker.worker.payload import LARGEST, read_call
from certworker.worker.producer import ISSUE, QUEUE, QUEUE_KEY, queue_length

#: Jobs in one command, and in all of them. Reading 50,000 jobs takes about a second.
BATCH = 500
MAX_JOBS = 50_000

#: Queues, or workers of a queue, and the bytes of a key of RQ.
MAX_MEMBERS = 1_000
LONGEST_MEMBER = 300

#: Queues without a worker in one report.
MAX_UNSERVED = 20

#: KEYS: the queue. ARGV: the first and the last position, the largest data. Returns the data of these jobs;
#: an empty text for a job without valid data.
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

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

#: RQ's key of `rq suspend`. Importing it from RQ would delay `certworker status`.
SUSPENDED = "rq:suspended"

#: Certificates that are not renewed expire, so the log repeats the suspension.
REMINDER_SECONDS = 3600.0


@dataclass(frozen=True)
class Queued:
    """
    The position of a request on the queue.
    """

    #: 1 is the next one; None: it is not on the queue, or Redis does not permit the question.
    position: int | None
    #: How many workers run; None: Redis does not permit the question.
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
    #: Whether a person suspended all workers (`rq suspend`).
    suspended: bool
    #: Queues with jobs and without a worker.
    unserved: tuple[QueueUnserved, ...]
    #: Redis may evict jobs when its memory is full; None: it does not, or does not permit the question.
    evicts: RedisEvicts | None


def queue_stats(connection: Redis) -> QueueStats:
    """
    Return the state of the queue.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    return QueueStats(
        waiting=queue_length(connection),
        workers=registered_workers(connection, QUEUE),
        scheduler=bool(connection.exists(f"rq:scheduler-lock:{QUEUE}")),
        suspended=is_suspended(connection),
        unserved=tuple(_unserved(connection)),
        evicts=_evicts(connection),
    )


def job_position(connection: Redis, job_id: str) -> int | None:
    """
    Return where the job *job_id* is on the queue: 1 is the next one; None as in :class:`Queued`.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    index: Any = _permitted(lambda: connection.lpos(QUEUE_KEY, job_id))
    return None if index is None else index + 1


def queued_name(connection: Redis, name: str) -> Queued:
    """
    Return where the first request for *name* is on the queue, whichever program sent it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    requests = enumerate(_requests(connection), start=1)
    position = next((position for position, names in requests if name in names), None)
    return Queued(position, running_workers(connection))


def running_workers(connection: Redis) -> int | None:
    """
    Return how many workers run; None if Redis does not permit the question.

    A worker that stops removes its registration. A killed worker reports no health after 30 seconds.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    return _permitted(lambda: min(registered_workers(connection, QUEUE), len(reports(connection))))


def are_suspended(connection: Redis) -> bool:
    """
    Return whether a person suspended all workers; False if Redis does not permit the question.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    return bool(_permitted(lambda: is_suspended(connection)))


def registered_workers(connection: Redis, queue: str) -> int:
    """
    Return how many workers of *queue* are registered.

    The set of workers includes killed ones; the hashes of those have expired and are not counted.
    """
    workers = _members(connection, f"rq:workers:{queue}")
    return int(connection.exists(*workers)) if workers else 0


def _members(connection: Redis, key: str) -> list[str]:
    """
    Return the keys in the set *key*, sorted: a random 1,000 of them at most; none if it is no set.
    """
    try:
        members = cast("list[bytes]", connection.srandmember(key, MAX_MEMBERS))
    except NoPermissionError:
        raise
    except ResponseError:
        return []  # the key of another program has another type
    texts = {decode_text(member) for member in members if len(member) <= LONGEST_MEMBER}
    return sorted(text for text in texts if text.isprintable())


def _unserved(connection: Redis) -> Iterator[QueueUnserved]:
    queues = [key for key in _members(connection, "rq:queues") if key != QUEUE_KEY]
    with connection.pipeline(transaction=False) as pipe:
        for key in queues:
            pipe.llen(key)
        # A key of another type has an error instead of a length.
        lengths = pipe.execute(raise_on_error=False)
    waiting = [(key, length) for key, length in zip(queues, lengths, strict=True) if isinstance(length, int)]
    for key, length in [each for each in waiting if each[1]][:MAX_UNSERVED]:
        name = key.removeprefix("rq:queue:")
        if not registered_workers(connection, name):
            yield QueueUnserved(queue=name, waiting=length, own=QUEUE)


def _evicts(connection: Redis) -> RedisEvicts | None:
    try:
        settings = connection.config_get("maxmemory*")
    except ResponseError:
        return None  # some providers forbid it
    policy = settings.get("maxmemory-policy") or ""
    if settings.get("maxmemory") in (None, "0") or not policy.startswith("allkeys"):
        return None
    return RedisEvicts(policy=policy)


def _permitted(question: Callable[[], Answer]) -> Answer | None:
    # A producer with a Redis user of its own has few rights: docs/guides/redis.md.
    try:
        return question()
    except NoPermissionError:
        return None


def _requests(connection: Redis) -> Iterator[set[str]]:
    """
    Yield the names of each job on the queue, the next job first; none for a job that is no request.
    """
    read = connection.register_script(_DATA)
    for start in range(0, MAX_JOBS, BATCH):
        batch = read([QUEUE_KEY], [start, start + BATCH - 1, LARGEST])
        yield from (set(_names(data)) for data in batch)
        if len(batch) < BATCH:
            return


def _names(data: bytes) -> Iterator[str]:
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
    Return whether a person suspended all workers of this Redis.

    Raises:
        redis.RedisError: Redis does not answer, or does not permit the question.
    """
    return bool(connection.exists(SUSPENDED))


class Suspension:
    """
    `rq suspend` as one worker sees it: logs its start, its end, and a reminder each hour.

    Args:
        connection: To Redis.
        clock: Returns monotonic seconds.
    """

    def __init__(self, connection: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._logged: float | None = None

    @property
    def known(self) -> bool:
        """
        Return whether the last call of :meth:`lasts` found a suspension.
        """
        return self._logged is not None

    def lasts(self) -> bool:
        """
        Return whether no job may start now.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        now = self._clock()
        if not is_suspended(self._connection):
            if self._logged is not None:
                logger.info("resumed: jobs start again", extra={"event": "resumed"})
            self._logged = None
            return False
        if self._logged is None or now - self._logged >= REMINDER_SECONDS:
            logger.warning(
                "suspended by `rq suspend`: no job starts and no certificate is renewed until `rq resume`",
                extra={"event": "suspended"},
            )
            self._logged = now
        return True
