"""
Brings delayed jobs to the queue when their moment comes: RQ's scheduler, as a thread of the worker.

RQ runs its scheduler in a second process, forked beside threads that it does not know of, and it fetches
each job with RQ's own class, so that one malformed hash ends it. Of RQ's everything is used that other
programs see: its lock (one scheduler for all workers), its heartbeat, its registry.
"""

from __future__ import annotations

import logging
import time
from threading import Event, Thread
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import (
    ConnectionError,  # noqa: A004 (redis-py's own, which is not the built-in one)
    ResponseError,
    TimeoutError,  # noqa: A004
)
from rq.job import JobStatus
from rq.scheduler import RQScheduler
from rq.utils import now, utcformat

from certworker.errors.machine import BadJob
from certworker.intake.jobs import JOB_ID, mute_rq
from certworker.intake.queue import QUEUE, QUEUE_KEY, SCHEDULED_KEY
from certworker.intake.recovery import discard

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0

#: Without a pass for so long it is not well, whatever the reason.
LONGEST_SILENCE_SECONDS = 30.0

BATCH = 1_000
STATUSES = {status.value.encode() for status in JobStatus}

# What may fail comes first: Redis does not undo what a script has done before its error.
MOVE = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HSET', KEYS[2], 'status', 'queued', 'enqueued_at', ARGV[2])
"""


class Scheduler:
    """
    The scheduler's thread. It enters its work again after whatever may happen to it.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        # The same name in every life, so that its own lock does not keep it out.
        self._name = uuid4().hex
        self._stop = Event()
        self._thread = Thread(target=self._supervise, name="scheduler", daemon=True)
        self._last_pass = 0.0
        self._said = ""

    def start(self) -> None:
        """
        Begin; it takes the lock as soon as it is free.
        """
        mute_rq()
        self._last_pass = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """
        End, and leave the lock to another worker.
        """
        self._stop.set()
        if self._thread.ident:
            self._thread.join(timeout=5)

    def alive(self) -> bool:
        """
        Whether it does its work: has the lock, or tries for it.
        """
        return self._thread.is_alive() and time.monotonic() - self._last_pass < LONGEST_SILENCE_SECONDS

    def _supervise(self) -> None:
        while not self._stop.is_set():
            try:
                self._work()
            except (ConnectionError, TimeoutError):
                self._stop.wait(INTERVAL_SECONDS)  # the worker has said so
            except Exception as error:
                if repr(error) != self._said:
                    self._said = repr(error)
                    logger.warning("the scheduler met %r and tries again until it can work", error)
                self._stop.wait(INTERVAL_SECONDS)

    def _work(self) -> None:
        scheduler = _Mover(self._connection, self._name)
        scheduler.register_birth()
        while not self._stop.is_set():
            if not scheduler.acquired_locks:
                scheduler.acquire_locks()
            scheduler.heartbeat()
            scheduler.enqueue_scheduled_jobs()
            self._last_pass = time.monotonic()
            self._stop.wait(INTERVAL_SECONDS)
        scheduler.stop()


class _Mover(RQScheduler):
    """
    RQ's scheduler, which moves ids without reading jobs: there is nothing to stumble over.
    """

    def __init__(self, connection: Redis, name: str) -> None:
        super().__init__([QUEUE], connection, name=name)
        self._ours = connection

    @property
    def connection(self) -> Redis:
        """
        The worker's own. For its second process RQ would make another, which no Sentinel tells of a failover.
        """
        return self._ours

    def enqueue_scheduled_jobs(self) -> None:
        """
        Move what is due from the registry to the queue, and drop what is no job.
        """
        while self.acquired_locks and (due := self._due()):
            for raw_id in due:
                try:
                    self._move(raw_id)
                except BadJob as failure:
                    discard(self.connection, SCHEDULED_KEY, raw_id, failure)

    def _due(self) -> list[bytes]:
        due = self.connection.zrangebyscore(SCHEDULED_KEY, "-inf", time.time(), start=0, num=BATCH)
        return cast("list[bytes]", due)

    def _move(self, raw_id: bytes) -> None:
        job_id = raw_id.decode("ascii", "backslashreplace")
        if not JOB_ID.fullmatch(job_id):
            raise BadJob(reason=f"{job_id} is no id of a job")
        key = f"rq:job:{job_id}"
        try:
            known = self.connection.exists(key)
            status = cast("bytes | None", self.connection.hget(key, "status"))
        except ResponseError:
            raise BadJob(reason=f"{key} is not a hash") from None
        if not known:
            raise BadJob(reason=f"Redis does not know the job {job_id}")
        if status and status not in STATUSES:
            raise BadJob(
                reason=f"the job {job_id} has the status {status.decode('ascii', 'backslashreplace')}"
            )
        self.connection.eval(MOVE, 3, SCHEDULED_KEY, key, QUEUE_KEY, job_id, utcformat(now()))
