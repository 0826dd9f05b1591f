"""
What a dead worker left behind: jobs it was at, and ids that were changing hands.

A worker at work keeps a lease on each job. A lease that has ended is nobody's any more; the first to see
it puts the job back at the head of the queue, once. A second death with the same job fails it, so that a
job that kills workers cannot go on for ever. All registered functions may run twice.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import cast

from redis import Redis
from rq.executions import Execution
from rq.job_lifecycle import record_job_failure
from rq.queue import Queue
from rq.worker_registration import clean_worker_registry

from certworker.errors.machine import Abandoned, BadJob
from certworker.intake.jobs import RegisteredJob

logger = logging.getLogger(__name__)

#: A job that was taken from dead workers so often has to do with their death.
MOST_RECOVERIES = 1

# One script, so that of two workers that see the same lease end only one recovers the job.
TAKE_BACK = """
local leases, job, list = unpack(KEYS)
local lease, id, now, most = unpack(ARGV)
local ends = redis.call('ZSCORE', leases, lease)
if not ends or tonumber(ends) > tonumber(now) then return 'alive' end
if redis.call('HGET', job, 'status') ~= 'started' then
    redis.call('ZREM', leases, lease)
    return 'over'
end
if redis.call('HINCRBY', job, 'abandoned', 1) > tonumber(most) then return 'hopeless' end
redis.call('ZREM', leases, lease)
redis.call('HSET', job, 'status', 'queued')
redis.call('LPUSH', list, id)
return 'queued'
"""

PUT_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
return redis.call('LPUSH', KEYS[2], ARGV[1])
"""


class Recovery:
    """
    Looks after the leases of a queue; every worker has one of these and does the same work.
    """

    def __init__(
        self, connection: Redis, queue: Queue, job_class: type[RegisteredJob], lease_seconds: float
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._leases = queue.started_job_registry.key
        self._in_between = queue.intermediate_queue_key
        self._job_class = job_class
        self._lease_seconds = lease_seconds
        self._seen: dict[bytes, float] = {}

    def sweep(self) -> None:
        """
        Recover what dead workers had, and forget what has had its time.
        """
        now = datetime.now(UTC).timestamp()
        ended = cast("list[bytes]", self._connection.zrangebyscore(self._leases, "-inf", now))
        for lease in ended:
            self._take_back(lease, now)
        self._recover_in_between()
        self._queue.finished_job_registry.cleanup()
        self._queue.failed_job_registry.cleanup()
        clean_worker_registry(self._queue)

    def give_back(self, execution: Execution) -> None:
        """
        Put the job of *execution*, which this worker has no time to finish, back at the head of the queue.
        """
        self._run_take_back(execution.composite_key.encode(), execution.job_id.encode(), "+inf", "+inf")

    def _take_back(self, lease: bytes, now: float) -> None:
        raw_id = lease.partition(b":")[0]
        try:
            job = self._job_class.find(raw_id, self._connection)
        except BadJob as failure:
            discard(self._connection, self._leases, lease, failure)
            return
        outcome = self._run_take_back(lease, raw_id, str(now), str(MOST_RECOVERIES))
        if outcome == b"queued":
            logger.warning("job %s was left behind by a worker that died; it runs again", job.id)
        elif outcome == b"hopeless":
            self._fail(job, lease)

    def _run_take_back(self, lease: bytes, raw_id: bytes, now: str, most: str) -> bytes:
        keys = (self._leases, b"rq:job:" + raw_id, self._queue.key)
        outcome: bytes = self._connection.eval(TAKE_BACK, len(keys), *keys, lease, raw_id, now, most)
        return outcome

    def _fail(self, job: RegisteredJob, lease: bytes) -> None:
        failure = Abandoned(times=MOST_RECOVERIES + 1)
        with self._connection.pipeline() as pipeline:
            record_job_failure(job, str(failure), pipeline)
            pipeline.zrem(self._leases, lease)
            pipeline.execute()
        logger.warning("job %s: %s", job.id, failure, extra={"event": "failed", "code": failure.code})

    def _recover_in_between(self) -> None:
        # An id is there for milliseconds. One that stays for a lease belonged to a worker that died.
        now = time.monotonic()
        present = cast("list[bytes]", self._connection.lrange(self._in_between, 0, -1))
        self._seen = {raw: self._seen.get(raw, now) for raw in present}
        for raw, since in self._seen.items():
            if now - since >= self._lease_seconds:
                self._connection.eval(PUT_BACK, 2, self._in_between, self._queue.key, raw)


def discard(connection: Redis, key: str, raw: bytes, failure: BadJob) -> None:
    """
    Remove *raw* from the list or sorted set *key*, because there is no job behind it.
    """
    if connection.type(key) == b"list":
        connection.lrem(key, 1, raw)  # type: ignore[arg-type] # redis-py takes bytes, too
    else:
        connection.zrem(key, raw)
    logger.warning("%s: %s", key, failure, extra={"event": "failed", "code": failure.code})
