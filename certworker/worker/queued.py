"""
What the queue says of a request that no worker has taken yet: its position, and whether any worker runs.

It needs no RQ, as `certworker status` runs every minute in some monitoring systems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.redis.codec import decode_text
from certworker.worker.health import reports
from certworker.worker.payload import LARGEST, read_call
from certworker.worker.producer import ISSUE, QUEUE, QUEUE_KEY

#: Jobs in one command, and in all of them. Reading 50,000 jobs takes about a second.
PORTION = 500
MOST_JOBS = 50_000

#: RQ's key of `rq suspend`.
SUSPENDED = "rq:suspended"

#: Queues, or workers of a queue, and the bytes of a key of RQ.
MOST_MEMBERS = 1_000
LONGEST_MEMBER = 300

#: KEYS: the queue. ARGV: the first and the last position, the largest data. The data of these jobs; an empty
#: text for each that is no plain job.
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

Found = TypeVar("Found")


@dataclass(frozen=True)
class Queued:
    """
    A request, or its absence, on the queue.
    """

    #: 1 is the next one; None: it is not on the queue, or Redis does not permit the question.
    position: int | None
    #: How many workers run; None: Redis does not permit the question.
    workers: int | None


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

    A worker that stops removes its registration, and one that is killed reports no health after 30 seconds.

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
    return bool(_permitted(lambda: connection.exists(SUSPENDED)))


def registered_workers(connection: Redis, queue: str) -> int:
    """
    Return how many workers of *queue* are registered. The set has those that were killed, too; their hashes
    expire.
    """
    workers = members(connection, f"rq:workers:{queue}")
    return int(connection.exists(*workers)) if workers else 0


def members(connection: Redis, key: str) -> list[str]:
    """
    Return the keys in the set *key*, sorted: at most 1,000 of them, by chance; none if it is no set.
    """
    try:
        found = cast("list[bytes]", connection.srandmember(key, MOST_MEMBERS))
    except NoPermissionError:
        raise
    except ResponseError:
        return []  # the key of another program has another type
    texts = {decode_text(member) for member in found if len(member) <= LONGEST_MEMBER}
    return sorted(text for text in texts if text.isprintable())


def _permitted(question: Callable[[], Found]) -> Found | None:
    # A producer of its own has few rights: docs/guides/redis.md.
    try:
        return question()
    except NoPermissionError:
        return None


def _requests(connection: Redis) -> Iterator[set[str]]:
    """
    Yield the names of each job on the queue, the next job first; none for what is no request.
    """
    read = connection.register_script(_DATA)
    for start in range(0, MOST_JOBS, PORTION):
        found = read([QUEUE_KEY], [start, start + PORTION - 1, LARGEST])
        yield from (set(_names(data)) for data in found)
        if len(found) < PORTION:
            return


def _names(data: bytes) -> Iterator[str]:
    try:
        call = read_call(data)
    except CertworkerError:
        return
    if call.function == ISSUE:
        unnamed = dict(zip(("domain", "domains"), call.arguments, strict=False))
        given = unnamed | call.keywords
        several = given.get("domains")
        yield from _normal([given.get("domain"), *(several if isinstance(several, list) else ())])


def _normal(given: Iterable[object]) -> Iterator[str]:
    for name in given:
        if isinstance(name, str):
            try:
                yield normalize(name, private=True)
            except CertworkerError:
                continue
