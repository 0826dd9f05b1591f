"""
Jobs that wait for another job, by `depends_on` of RQ.

RQ reads each dependent of a job while it records the end of that job: one that cannot be read makes a failed
job of a certificate that was issued. Here the end is recorded first. Then each dependent that waits for
nothing else goes to the queue, in one script; what cannot be read is skipped.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError
from rq.job import Job

from certworker.errors import printable
from certworker.worker.job_class import JOB_ID
from certworker.worker.producer import QUEUE, QUEUE_KEY

logger = logging.getLogger(__name__)

#: The sorted set in which RQ registers the jobs of this queue that wait for others.
DEFERRED_KEY = f"rq:deferred:{QUEUE}"

#: Dependents of one job, or deferred jobs of one round; anybody may have planted millions.
MOST = 1_000

#: KEYS: the hash of the dependent, its dependencies, the registry of deferred jobs, the queue. ARGV: its id,
#: the name of the queue, now as RQ writes it, how many dependencies it may have. The rules are those of RQ: a
#: dependency is met when it has finished, has failed where that is allowed, or is forgotten. What may fail
#: comes first: Redis does not undo what a script has done before its error.
_RELEASE = """
local job, dependencies, deferred, list = unpack(KEYS)
local id, queue, now, most = unpack(ARGV)
local function kind(key) return redis.call('TYPE', key).ok end
if kind(job) ~= 'hash' then return 'unknown' end
if redis.call('HGET', job, 'status') ~= 'deferred' then return 'over' end
if redis.call('HGET', job, 'origin') ~= queue then return 'foreign' end
if kind(dependencies) == 'set' then
    if redis.call('SCARD', dependencies) > tonumber(most) then return 'waits' end
    local failures = redis.call('HGET', job, 'allow_dependency_failures') == '1'
    for _, parent in ipairs(redis.call('SMEMBERS', dependencies)) do
        local key = 'rq:job:' .. parent
        local found = kind(key) == 'hash' and redis.call('HGET', key, 'status')
        local met = not found or found == 'finished' or failures and found == 'failed'
        if not met then return 'waits' end
    end
end
redis.call('RPUSH', list, id)
redis.call('ZREM', deferred, id)
redis.call('HSET', job, 'status', 'queued', 'enqueued_at', now)
return 'released'
"""


class Dependents:
    """
    Releases jobs of this queue whose dependencies have ended.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._release = connection.register_script(_RELEASE)

    def release(self, job_id: str) -> None:
        """
        Queue the jobs that waited for *job_id*, whose end is recorded, and for nothing else.

        Jobs of other queues stay where they are, with one line in the log: to put an id on any queue is a
        right that the writer of a job may not have.

        Raises:
            redis.RedisError: Redis failed; the next :meth:`sweep` releases them.
        """
        found = self._members(f"rq:job:{job_id}:dependents")
        for raw_id in found:
            if self._outcome(raw_id) == b"foreign":
                logger.warning(
                    "job %s of another queue depends on job %s: certworker starts jobs of its own queue only",
                    printable(raw_id.decode("ascii", "backslashreplace"), 100),
                    job_id,
                )

    def sweep(self) -> None:
        """
        Queue the deferred jobs that wait for nothing any more, for whatever reason nobody released them.

        Raises:
            redis.RedisError: Redis failed.
        """
        # By chance, so that a thousand that wait for good do not hide the others.
        for raw_id in cast("list[bytes]", self._connection.zrandmember(DEFERRED_KEY, MOST) or []):
            if self._outcome(raw_id) in (b"unknown", b"over"):
                self._connection.zrem(DEFERRED_KEY, raw_id)

    def _members(self, key: str) -> list[bytes]:
        try:
            return cast("list[bytes]", self._connection.srandmember(key, MOST))
        except ResponseError:
            return []  # it is not a set

    def _outcome(self, raw_id: bytes) -> bytes:
        job_id = raw_id.decode("ascii", "backslashreplace")
        if not JOB_ID.fullmatch(job_id):
            return b"unknown"
        job = Job(job_id, connection=self._connection)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        keys = [job.key, job.dependencies_key, DEFERRED_KEY, QUEUE_KEY]
        return cast("bytes", self._release(keys, [job_id, QUEUE, now, MOST]))
