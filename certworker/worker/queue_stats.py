"""
How the queue stands, for a person who looks: who waits, who works, and who else uses this Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import ResponseError

from certworker.errors.redis import RedisEvicts
from certworker.errors.worker import QueueUnserved
from certworker.worker.producer import QUEUE, QUEUE_KEY, queue_length
from certworker.worker.queued import members, registered_workers
from certworker.worker.suspension import is_suspended

#: So many queues without a worker are reported.
MOST_FOREIGN = 20


@dataclass(frozen=True)
class QueueStats:
    """
    What was found.
    """

    waiting: int
    workers: int
    #: Whether somebody brings delayed jobs to the queue.
    scheduler: bool
    #: Whether a person suspended all workers (`rq suspend`).
    suspended: bool
    #: Lists with jobs that nobody takes, and how many.
    foreign: tuple[QueueUnserved, ...]
    #: That Redis may forget jobs when its memory is full; None: it does not, or does not say.
    evicts: RedisEvicts | None


def queue_stats(connection: Redis) -> QueueStats:
    """
    Look at the Redis of *connection*.

    Raises:
        redis.RedisError: It does not answer.
    """
    return QueueStats(
        waiting=queue_length(connection),
        workers=registered_workers(connection, QUEUE),
        scheduler=bool(connection.exists(f"rq:scheduler-lock:{QUEUE}")),
        suspended=is_suspended(connection),
        foreign=tuple(_foreign(connection)),
        evicts=_evicts(connection),
    )


def _foreign(connection: Redis) -> Iterator[QueueUnserved]:
    queues = [key for key in members(connection, "rq:queues") if key != QUEUE_KEY]
    with connection.pipeline(transaction=False) as pipe:
        for key in queues:
            pipe.llen(key)
        # A key of another type has an error in its place.
        lengths = pipe.execute(raise_on_error=False)
    found = [(key, length) for key, length in zip(queues, lengths, strict=True) if isinstance(length, int)]
    for key, waiting in [each for each in found if each[1]][:MOST_FOREIGN]:
        name = key.removeprefix("rq:queue:")
        if not registered_workers(connection, name):
            yield QueueUnserved(queue=name, waiting=waiting, own=QUEUE)


def _evicts(connection: Redis) -> RedisEvicts | None:
    try:
        said = connection.config_get("maxmemory*")
    except ResponseError:
        return None  # some hosts forbid it
    policy = said.get("maxmemory-policy") or ""
    if said.get("maxmemory") in (None, "0") or not policy.startswith("allkeys"):
        return None
    return RedisEvicts(policy=policy)
