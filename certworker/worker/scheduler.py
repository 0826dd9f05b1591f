"""
Moves delayed jobs to the queue at their time: RQ's scheduler, in a thread of the worker.

RQ forks a second process for its scheduler, which is unsafe in a process with threads. RQ's scheduler also
reads each job with RQ's own class, so one malformed hash ends it. This scheduler uses the same lock,
heartbeat, and registry, so other programs see no difference. Because of the lock, only one of the workers'
schedulers moves jobs at a time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq.job import JobStatus
from rq.scheduler import RQScheduler
from rq.utils import now, utcformat

from certworker.errors.worker import BadJob
from certworker.redis.failures import explainer
from certworker.state.once_per import bound_expiry
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.supervision import Faults, Loop, beat
from certworker.worker.job_class import JOB_ID, silence_rq_logging
from certworker.worker.producer import QUEUE, QUEUE_KEY
from certworker.worker.recovery import discard_invalid

INTERVAL_SECONDS = 1.0

#: The scheduler counts as stalled after twice this time without a beat.
BEAT_SECONDS = 15.0

#: RQ's heartbeat takes twice as long as the rest of a pass. It renews the lock, which expires after a minute.
HEARTBEAT_SECONDS = 10.0

LOCK = f"rq:scheduler-lock:{QUEUE}"
#: Without this limit, a forged lock might never expire.
LONGEST_LOCK = timedelta(minutes=5)

BATCH = 1_000
STATUSES = {status.value.encode() for status in JobStatus}

# Commands that may fail come first: Redis does not undo the earlier commands of a failed script.
MOVE = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HSET', KEYS[2], 'status', 'queued', 'enqueued_at', ARGV[2])
"""


class Scheduler:
    """
    The scheduler, whose loop continues after any error.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        # A new mover has the same name, so that it can use the lock of its predecessor.
        self._name = uuid4().hex
        self._mover: _Mover | None = None
        self.loop = Loop(
            "scheduler",
            self._pass,
            seconds=BEAT_SECONDS,
            faults=Faults("the scheduler", explainer(connection)),
        )

    def start(self) -> None:
        """
        Start the loop, which takes the lock as soon as the lock is free.
        """
        silence_rq_logging()
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the loop, and release the lock for another worker.
        """
        self.loop.stop()
        if mover := self._mover:
            with suppress(RedisError):  # a lock that cannot be released expires
                mover.stop()

    def alive(self) -> bool:
        """
        Return whether the loop is running and not stalled. The loop has the lock, or is trying to take it.
        """
        return self.loop.heartbeat.silence() is not None and not self.loop.heartbeat.is_stalled()

    def _pass(self) -> float:
        mover, self._mover = self._mover, None
        if mover is None:
            mover = _Mover(self._connection, self._name)
            mover.register_birth()
        if not mover.acquired_locks:
            mover.acquire_locks()
            if not mover.acquired_locks:
                bound_expiry(self._connection, LOCK, LONGEST_LOCK)
        mover.beat()
        mover.enqueue_scheduled_jobs()
        # After an error, the next pass creates a new mover.
        self._mover = mover
        return INTERVAL_SECONDS


class _Mover(RQScheduler):
    """
    RQ's scheduler, changed so that it moves ids, and reads only the status of each job.
    """

    def __init__(self, connection: Redis, name: str) -> None:
        super().__init__([QUEUE], connection, name=name)
        self._worker_connection = connection
        self._next_heartbeat = 0.0

    def beat(self) -> None:
        """
        Report that the scheduler is running and renew its lock, unless this was done a few seconds ago.
        """
        if time.monotonic() >= self._next_heartbeat:
            self.heartbeat()
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    @property
    def connection(self) -> Redis:
        """
        Return the worker's connection.

        RQ would open a second connection, which does not follow a failover by Sentinel.
        """
        return self._worker_connection

    def enqueue_scheduled_jobs(self) -> None:
        """
        Move due jobs from the registry to the queue, and remove entries that are not valid jobs.
        """
        while self.acquired_locks and (due := self._due()):
            for raw_id in due:
                beat()
                try:
                    self._move(raw_id)
                except BadJob as failure:
                    discard_invalid(self.connection, SCHEDULED_KEY, raw_id, failure)

    def _due(self) -> list[bytes]:
        due = self.connection.zrangebyscore(SCHEDULED_KEY, "-inf", time.time(), start=0, num=BATCH)
        return cast("list[bytes]", due)

    def _move(self, raw_id: bytes) -> None:
        job_id = raw_id.decode("ascii", "backslashreplace")
        if not JOB_ID.fullmatch(job_id):
            raise BadJob(reason=f"{job_id} is not a valid job id")
        key = f"rq:job:{job_id}"
        try:
            # HGET comes before EXISTS: the guard of the connection removes a key of another type.
            status = cast("bytes | None", self.connection.hget(key, "status"))
            known = self.connection.exists(key)
        except ResponseError:
            raise BadJob(reason=f"{key} is not a hash") from None
        if not known:
            raise BadJob(reason=f"Redis does not know the job {job_id}")
        if status and status not in STATUSES:
            raise BadJob(
                reason=f"the job {job_id} has the status {status.decode('ascii', 'backslashreplace')}"
            )
        self.connection.eval(MOVE, 3, SCHEDULED_KEY, key, QUEUE_KEY, job_id, utcformat(now()))
