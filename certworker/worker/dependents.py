"""
Jobs that wait for another job, by `depends_on` of RQ.

RQ reads the dependents of a job while it records the end of that job. An invalid dependent would make the job
fail, although the certificate was issued. certworker records the end first. Then a script moves each
dependent without unmet dependencies to the queue, and skips invalid dependents.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError
from rq.job import Job
from rq.queue import Queue

from certworker.errors import printable
from certworker.redis.shared_trips import Reply, send_with_next
from certworker.worker.job_class import JOB_ID
from certworker.worker.producer import QUEUE, QUEUE_KEY

logger = logging.getLogger(__name__)

#: The sorted set in which RQ registers the jobs of this queue that wait for other jobs.
DEFERRED_KEY = f"rq:deferred:{QUEUE}"

#: The maximum number of dependents of a job, and of deferred jobs in one sweep. Another program may write
#: millions of them.
MAX_DEPENDENTS = 1_000

#: KEYS: the hash of the dependent, its dependencies, the registry of deferred jobs, the queue. ARGV: its id,
#: the name of the queue, the current time in RQ's format, the maximum number of dependencies. In RQ, a
#: dependency is met if it has finished or no longer exists. If failures are allowed, a failed dependency is
#: also met. Commands that may fail come first: Redis does not undo the earlier commands of a failed script.
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


class CertificateQueue(Queue):
    """
    RQ's queue, which leaves dependents to :class:`Dependents`.
    """

    def move_dependents_to_ready(self, *_: Any, **__: Any) -> dict[str, list[str]]:
        """
        Do nothing while the end of a job is recorded.
        """
        return {}


class Dependents:
    """
    Releases jobs of this queue whose dependencies have ended.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._release = connection.register_script(_RELEASE)

    def ask(self, job_id: str) -> Reply:
        """
        Request the dependents of *job_id* together with the next command; return the reply, which may still
        be waiting.
        """
        return send_with_next(self._connection, "SRANDMEMBER", f"rq:job:{job_id}:dependents", MAX_DEPENDENTS)

    def release(self, job_id: str, dependents: Reply) -> None:
        """
        Enqueue those of the *dependents* that were waiting only for *job_id*. The end of that job must have
        been recorded.

        This method logs jobs of other queues, which stay deferred. The producer of *job_id* may have no
        permission to write to those queues.

        Raises:
            redis.RedisError: Redis failed; the next :meth:`sweep` releases them.
        """
        try:
            members: list[bytes] = dependents.value()
        except ResponseError:
            return  # it is not a set
        for raw_id in members:
            if self._outcome(raw_id) == b"foreign":
                logger.warning(
                    "job %s of another queue depends on job %s: certworker starts only jobs of its own queue",
                    printable(raw_id.decode("ascii", "backslashreplace"), 100),
                    job_id,
                )

    def sweep(self) -> None:
        """
        Enqueue the deferred jobs whose dependencies are met, because an earlier release may have failed.

        This method also removes entries of the registry that are not deferred jobs.

        Raises:
            redis.RedisError: Redis failed.
        """
        # The members are random, so that jobs whose dependencies never end do not hide the others.
        for raw_id in cast("list[bytes]", self._connection.zrandmember(DEFERRED_KEY, MAX_DEPENDENTS) or []):
            if self._outcome(raw_id) in (b"unknown", b"over"):
                self._connection.zrem(DEFERRED_KEY, raw_id)

    def _outcome(self, raw_id: bytes) -> bytes:
        job_id = raw_id.decode("ascii", "backslashreplace")
        if not JOB_ID.fullmatch(job_id):
            return b"unknown"
        job = Job(job_id, connection=self._connection)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        keys = [job.key, job.dependencies_key, DEFERRED_KEY, QUEUE_KEY]
        return cast("bytes", self._release(keys, [job_id, QUEUE, now, MAX_DEPENDENTS]))
