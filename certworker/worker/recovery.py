"""
Recovers the jobs of killed workers, and the ids that these workers left in the intermediate list.

A worker renews a lease on each job that it runs. The first worker that sees an expired lease moves the job to
the head of the queue, once. The hash of the job names the abandoned run, and the next run takes over its
locks. If a second worker crashes with the same job, the job fails: otherwise it might crash one worker after
another. All registered functions are safe to run twice.
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

#: The maximum number of recoveries of a job. A job that needs more may be the cause of the crashes.
MAX_RECOVERIES = 1

#: RQ's keys of workers begin with this prefix.
WORKER_KEYS = b"rq:worker:"

#: The maximum number of entries in one sweep. Millions of forged entries must not delay the heartbeats.
MAX_PER_SWEEP = 1_000

# This is one script, so that only one of two workers that see the same expired lease recovers the job.
# Commands that may fail come first: Redis does not undo the earlier commands of a failed script.
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
if times > tonumber(most) then return 'exhausted' end
redis.call('LPUSH', list, id)
redis.call('ZREM', leases, lease)
redis.call('HSET', job, 'status', 'queued', 'abandoned', times, 'abandoned_run', lease)
return 'queued'
"""

REQUEUE = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return redis.call('LREM', KEYS[1], 1, ARGV[1])
"""


class Recovery:
    """
    Recovers the jobs with expired leases, and the ids that killed workers left in the intermediate list. Each
    worker does so.

    Args:
        queue: The queue.
        find: Reads a job; see :meth:`AllowlistedJob.find`.
        lease_seconds: How long an id may be in the intermediate list before its worker counts as killed.
    """

    def __init__(
        self, queue: Queue, find: Callable[[bytes, Redis], AllowlistedJob], lease_seconds: float
    ) -> None:
        self._connection = queue.connection
        self._queue = queue
        self._find = find
        self._leases = queue.started_job_registry.key
        self._intermediate = queue.intermediate_queue_key
        self._lease_seconds = lease_seconds
        self._seen: dict[bytes, float] = {}

    def sweep(self) -> None:
        """
        Recover the jobs of killed workers, and remove expired jobs and killed workers from RQ's registries.
        """
        now = datetime.now(UTC).timestamp()
        ended = self._connection.zrangebyscore(self._leases, "-inf", now, start=0, num=MAX_PER_SWEEP)
        for lease in cast("list[bytes]", ended):
            self._reclaim(lease, now)
        self._recover_intermediate()
        self._queue.finished_job_registry.cleanup()
        self._queue.failed_job_registry.cleanup()
        self._remove_killed_workers()

    def requeue(self, execution: Execution) -> bool:
        """
        Move the job of *execution*, which this worker cannot finish in time, to the head of the queue.

        Return whether the job was moved. A job that has just ended, or that another worker has recovered, is
        not moved.
        """
        lease, raw_id = execution.composite_key.encode(), execution.job_id.encode()
        return self._run_reclaim(lease, raw_id, now="+inf", count=0, most="+inf") == b"queued"

    def _reclaim(self, lease: bytes, now: float) -> None:
        raw_id = lease.partition(b":")[0]
        try:
            job = self._find(raw_id, self._connection)
            outcome = self._run_reclaim(lease, raw_id, now=now, count=1, most=MAX_RECOVERIES)
        except BadJob as failure:
            discard_invalid(self._connection, self._leases, lease, failure)
            return
        if outcome == b"queued":
            logger.warning("put job %s back on the queue, because its lease has expired", job.id)
        elif outcome == b"exhausted":
            self._fail(job, lease)

    def _run_reclaim(
        self, lease: bytes, raw_id: bytes, *, now: float | str, count: int, most: int | str
    ) -> bytes:
        keys = (self._leases, b"rq:job:" + raw_id, self._queue.key)
        values = (lease, raw_id, str(now), str(count), str(most))
        outcome: bytes = self._connection.eval(RECLAIM, len(keys), *keys, *values)
        return outcome

    def _fail(self, job: AllowlistedJob, lease: bytes) -> None:
        failure = JobAbandoned(times=MAX_RECOVERIES + 1)
        with self._connection.pipeline() as pipeline:
            record_job_failure(job, str(failure), pipeline)
            pipeline.zrem(self._leases, lease)
            pipeline.execute()
        logger.warning("job %s: %s", job.id, failure, extra={"event": "failed", "code": failure.code})

    def _recover_intermediate(self) -> None:
        # An id is usually in this list for milliseconds. After the time of a lease, its worker counts as
        # killed.
        now = time.monotonic()
        present = cast("list[bytes]", self._connection.lrange(self._intermediate, 0, MAX_PER_SWEEP))
        self._seen = {raw: self._seen.get(raw, now) for raw in present}
        for raw, since in self._seen.items():
            if now - since >= self._lease_seconds:
                self._connection.eval(REQUEUE, 2, self._intermediate, self._queue.key, raw)

    def _remove_killed_workers(self) -> None:
        for registry in (REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY % self._queue.name):
            # The members are random, so that a million forged entries do not hide the killed workers.
            for worker in cast("list[bytes]", self._connection.srandmember(registry, MAX_PER_SWEEP)):
                # The Redis user in docs/guides/redis.md has no access to other keys.
                if not worker.startswith(WORKER_KEYS) or not self._connection.exists(worker):
                    self._connection.srem(registry, worker)


def discard_invalid(connection: Redis, key: str, raw: bytes, failure: BadJob) -> None:
    """
    Remove *raw*, which is not a valid job, from the list or sorted set *key*, and log *failure*.
    """
    if connection.type(key) == b"list":
        connection.lrem(key, 1, raw)  # type: ignore[arg-type] # redis-py also accepts bytes
    else:
        connection.zrem(key, raw)
    logger.warning("%s: %s", key, failure, extra={"event": "failed", "code": failure.code})
