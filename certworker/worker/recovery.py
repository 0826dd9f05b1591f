"""
What a dead worker left behind: jobs it was at, and ids that were changing hands.

A worker at work keeps a lease on each job. A lease that has ended is nobody's any more; the first to see
it puts the job back at the head of the queue, once. A second death with the same job fails it, so that a
job that kills workers cannot go on for ever. All registered functions may run twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from redis import Redis
from rq.executions import Execution
from rq.job_lifecycle import record_job_failure
from rq.queue import Queue
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from certworker.errors.worker import BadJob, JobAbandoned
from certworker.worker.job_class import AllowlistedJob

logger = logging.getLogger(__name__)

#: A job that was taken from dead workers so often has to do with their death.
MOST_RECOVERIES = 1

#: Planted entries by the million must not keep heartbeats waiting.
MOST_A_SWEEP = 1_000

# One script, so that of two workers that see the same lease end only one recovers the job. What may fail
# comes first in each script: Redis does not undo what a script has done before its error.
RECLAIM = """
local leases, job, list = unpack(KEYS)
local lease, id, now, count, most = unpack(ARGV)
local ends = redis.call('ZSCORE', leases, lease)
if not ends or tonumber(ends) > tonumber(now) then return 'alive' end
if redis.call('HGET', job, 'status') ~= 'started' then
    redis.call('ZREM', leases, lease)
    return 'over'
end
local found = redis.call('HGET', job, 'abandoned') or ''
local times = (string.match(found, '^%d%d?%d?$') and tonumber(found) or 0) + count
if times > tonumber(most) then return 'hopeless' end
redis.call('LPUSH', list, id)
redis.call('ZREM', leases, lease)
redis.call('HSET', job, 'status', 'queued', 'abandoned', times)
return 'queued'
"""

REQUEUE = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return redis.call('LREM', KEYS[1], 1, ARGV[1])
"""


class Recovery:
    """
    Looks after the leases of a queue; every worker has one of these and does the same work.

    Args:
        find: Reads a job, see :meth:`AllowlistedJob.find`.
        lease_seconds: How long an id may be between the lists before its worker counts as dead.
    """

    def __init__(
        self, queue: Queue, find: Callable[[bytes, Redis], AllowlistedJob], lease_seconds: float
    ) -> None:
        self._connection = queue.connection
        self._queue = queue
        self._find = find
        self._leases = queue.started_job_registry.key
        self._in_between = queue.intermediate_queue_key
        self._lease_seconds = lease_seconds
        self._seen: dict[bytes, float] = {}

    def sweep(self) -> None:
        """
        Recover what dead workers had, and forget what has had its time.
        """
        now = datetime.now(UTC).timestamp()
        ended = self._connection.zrangebyscore(self._leases, "-inf", now, start=0, num=MOST_A_SWEEP)
        for lease in cast("list[bytes]", ended):
            self._reclaim(lease, now)
        self._recover_in_between()
        self._queue.finished_job_registry.cleanup()
        self._queue.failed_job_registry.cleanup()
        self._forget_dead_workers()

    def requeue(self, execution: Execution) -> None:
        """
        Put the job of *execution*, which this worker has no time to finish, back at the head of the queue.
        """
        lease, raw_id = execution.composite_key.encode(), execution.job_id.encode()
        self._run_reclaim(lease, raw_id, now="+inf", count=0, most="+inf")

    def _reclaim(self, lease: bytes, now: float) -> None:
        raw_id = lease.partition(b":")[0]
        try:
            job = self._find(raw_id, self._connection)
            outcome = self._run_reclaim(lease, raw_id, now=now, count=1, most=MOST_RECOVERIES)
        except BadJob as failure:
            discard_invalid(self._connection, self._leases, lease, failure)
            return
        if outcome == b"queued":
            logger.warning("job %s was left behind by a worker that died; it runs again", job.id)
        elif outcome == b"hopeless":
            self._fail(job, lease)

    def _run_reclaim(
        self, lease: bytes, raw_id: bytes, *, now: float | str, count: int, most: int | str
    ) -> bytes:
        keys = (self._leases, b"rq:job:" + raw_id, self._queue.key)
        values = (lease, raw_id, str(now), str(count), str(most))
        outcome: bytes = self._connection.eval(RECLAIM, len(keys), *keys, *values)
        return outcome

    def _fail(self, job: AllowlistedJob, lease: bytes) -> None:
        failure = JobAbandoned(times=MOST_RECOVERIES + 1)
        with self._connection.pipeline() as pipeline:
            record_job_failure(job, str(failure), pipeline)
            pipeline.zrem(self._leases, lease)
            pipeline.execute()
        logger.warning("job %s: %s", job.id, failure, extra={"event": "failed", "code": failure.code})

    def _recover_in_between(self) -> None:
        # An id is there for milliseconds. One that stays for a lease belonged to a worker that died.
        now = time.monotonic()
        present = cast("list[bytes]", self._connection.lrange(self._in_between, 0, MOST_A_SWEEP))
        self._seen = {raw: self._seen.get(raw, now) for raw in present}
        for raw, since in self._seen.items():
            if now - since >= self._lease_seconds:
                self._connection.eval(REQUEUE, 2, self._in_between, self._queue.key, raw)

    def _forget_dead_workers(self) -> None:
        for registry in (REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY % self._queue.name):
            # By chance, so that a million planted ones do not hide the dead.
            for worker in cast("list[bytes]", self._connection.srandmember(registry, MOST_A_SWEEP)):
                if not self._connection.exists(worker):
                    self._connection.srem(registry, worker)


def discard_invalid(connection: Redis, key: str, raw: bytes, failure: BadJob) -> None:
    """
    Remove *raw* from the list or sorted set *key*, because there is no job behind it.
    """
    if connection.type(key) == b"list":
        connection.lrem(key, 1, raw)  # type: ignore[arg-type] # redis-py takes bytes, too
    else:
        connection.zrem(key, raw)
    logger.warning("%s: %s", key, failure, extra={"event": "failed", "code": failure.code})
