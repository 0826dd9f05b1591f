"""
RQ's worker with slots: each job runs in a thread, and one process is one worker.

Of RQ's worker everything is used that keeps the books: registration, leases, results. Nothing is forked,
nothing listens to commands that anybody may publish in Redis, and no job is taken that cannot start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from math import ceil
from threading import Thread
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.worker import SimpleWorker, WorkerStatus

from certworker.errors.worker import BadJob
from certworker.job_slot import JobSlot, running_in
from certworker.observability import log
from certworker.redis.failures import explainer
from certworker.supervision import log_unexpected
from certworker.worker.dependents import Dependents
from certworker.worker.fair_scheduling import FairScheduler
from certworker.worker.job_class import AllowlistedJob, Deadline
from certworker.worker.producer import QUEUE, queue_length
from certworker.worker.recovery import discard_invalid
from certworker.worker.slots import SlotLease, Slots
from certworker.worker.suspension import Suspension

logger = logging.getLogger(__name__)

#: How long one look at the queue waits for a job; also how long the end may take when nothing runs.
PATIENCE_SECONDS = 0.25

#: While requests wait in the lanes for a slot, a newcomer on the queue is seen after this.
POLL_SECONDS = 0.1


class CertificateQueue(Queue):
    """
    RQ's queue, which leaves the dependents of a job to :class:`certworker.worker.dependents.Dependents`.
    """

    def move_dependents_to_ready(self, *_: Any, **__: Any) -> dict[str, list[str]]:
        """
        Do nothing while the end of a job is recorded.
        """
        return {}


class ThreadedWorker(SimpleWorker):
    """
    An RQ worker for our queue with a number of slots.

    Args:
        slots: How many jobs run at a time.
        lease_seconds: How long a job stays ours after a heartbeat.
        private_names: Whether names are fine that only a private network knows.
        clock: The time in UTC.

    Attributes:
        find: Reads a job, see :meth:`AllowlistedJob.find`.
    """

    death_penalty_class = Deadline

    def __init__(
        self,
        connection: Redis,
        job_class: type[AllowlistedJob],
        *,
        slots: int,
        lease_seconds: int,
        private_names: bool,
        clock: Callable[[], datetime],
    ) -> None:
        # The queue by its name: a Queue object of another job class would bypass ours.
        super().__init__(
            QUEUE,
            connection=connection,
            job_class=job_class,
            queue_class=CertificateQueue,
            serializer="json",
            worker_ttl=lease_seconds,
            job_monitoring_interval=lease_seconds,
        )
        self.find: Callable[[bytes, Redis], AllowlistedJob] = job_class.find
        self._made = job_class.made
        self._slots = Slots(slots)
        self._parking = FairScheduler(connection, self._slots, private_names=private_names, clock=clock)
        self._suspension = Suspension(connection)
        self.dependents = Dependents(connection)

    @property
    def queue(self) -> Queue:
        """
        The one queue it works for; only with one is RQ safe against a death while a job changes hands.
        """
        return self.queues[0]

    def poll(self) -> None:
        """
        Start the next job; return after a moment if there is none, no free slot, or all work is suspended.
        """
        if self._suspension.lasts():
            self._mark(WorkerStatus.SUSPENDED)
            time.sleep(PATIENCE_SECONDS)
            return
        # First the slot, then the job: another worker may have a free one.
        if not self._slots.wait_for_one(PATIENCE_SECONDS):
            self._parking.relieve_backlog()
        elif (raw_id := self._moved()) is not None:
            self._start_or_defer(raw_id)
        elif self._slots.wait_for_room(POLL_SECONDS if self._parking.has_backlog() else 0):
            if not self._dispatch():
                self._wait_for_request()
        elif not self._parking.has_backlog():
            self._wait_for_request()

    def wait_until_idle(self, seconds: float) -> None:
        """
        Return when no job runs any more, at the latest after *seconds*.
        """
        self._slots.wait_until_idle(seconds)

    def beat(self) -> None:
        """
        Say that the worker lives, and renew the lease of each job.
        """
        if not self.connection.hexists(self.key, "birth"):  # at the start, and after Redis was emptied
            self.connection.delete(self.key)
            self.register_birth()
        if self._suspension.known:
            self.set_state(WorkerStatus.SUSPENDED)
        else:
            self.set_state(WorkerStatus.BUSY if self.executions else WorkerStatus.IDLE)
        self.heartbeat()
        for execution in list(self.executions.values()):
            self.maintain_heartbeats(execution.job, execution)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """
        Renew the lease of *job*.

        RQ's method writes into the hash of the job, too, and deletes a hash that had no such field before. A
        job that begins at that moment would lose what its producer wrote.
        """
        with self.connection.pipeline() as pipeline:
            ttl = self.get_heartbeat_ttl(job)
            execution.heartbeat(job.started_job_registry, ttl, pipeline=pipeline)
            pipeline.execute()

    @property
    def dequeue_timeout(self) -> int:
        """
        Seconds that a look at the queue waits; RQ derives the time-out of its connection from it.
        """
        return ceil(PATIENCE_SECONDS)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 (RQ's signature)
        """
        Seconds that a job stays ours after a heartbeat, however long it may run.
        """
        return self.worker_ttl

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """
        Log what went wrong, unless a failure with a sentence was logged where it happened.
        """
        if _failure_of(job):
            return
        if failure := explainer(self.connection)(exc_info[1]):
            logger.warning("job %s: %s", job.id, failure, extra={"event": "failed", "code": failure.code})
        else:
            log_unexpected(f"job {job.id}", exc_info[1])

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """
        Keep the sentence that says why *job* failed; the traceback only where there is no sentence.
        """
        told = _failure_of(job) or exc_string
        super().handle_job_failure(job, queue, started_job_registry, told, execution)

    def _moved(self, patience_seconds: float = 0) -> bytes | None:
        # The id goes to a second list in the same step, so that it is never nowhere.
        queue, in_between = self.queue.key, self.queue.intermediate_queue_key
        if patience_seconds:
            raw_id = self.connection.blmove(queue, in_between, patience_seconds)  # type: ignore[arg-type]
        else:
            raw_id = self.connection.lmove(queue, in_between)
        return cast("bytes | None", raw_id)

    def _wait_for_request(self) -> None:
        if (raw_id := self._moved(PATIENCE_SECONDS)) is not None:
            if self._suspension.lasts():
                self._parking.put_back(raw_id)
            else:
                self._start_or_defer(raw_id)
        elif not self.executions:
            self._mark(WorkerStatus.IDLE)

    def _mark(self, state: WorkerStatus) -> None:
        if self.get_state() != state:
            self.set_state(state)

    def _start_or_defer(self, raw_id: bytes) -> None:
        if (job := self._found(raw_id)) is None:
            return
        tenant = self._parking.tenant_of(job)
        if self._parking.may_start(tenant):
            self._start(job, tenant)
        else:
            self._parking.drain_queue(raw_id)

    def _dispatch(self) -> bool:
        if fed := self._parking.dispatch():
            self._start(self._made(fed.id, fed.fields, self.connection), fed.tenant)
        return fed is not None

    def _found(self, raw_id: bytes) -> AllowlistedJob | None:
        try:
            return self.find(raw_id, self.connection)
        except BadJob as failure:
            discard_invalid(self.connection, self.queue.intermediate_queue_key, raw_id, failure)
            return None

    def _start(self, job: Job, tenant: str | None) -> None:
        before = set(self.executions)
        place = self._slots.take(tenant)
        try:
            execution = self.prepare_execution(job)
            # A thread for each job: a time limit that strikes too late then ends that thread, not a slot.
            Thread(target=self._run, args=(job, execution, place), name=job.id, daemon=True).start()
        except BaseException:
            # Nobody is at it, so its lease must not be renewed.
            self._slots.end(place)
            for execution_id in set(self.executions) - before:
                self.executions.pop(execution_id)
            raise

    def _run(self, job: Job, execution: Execution, place: SlotLease) -> None:
        ours = JobSlot(partial(self._slots.release, place), partial(self._has_contention, place))
        try:
            with log.job(job.id), running_in(ours):
                self.perform_job(job, self.queue, execution)
            with suppress(RedisError):  # the next sweep releases them
                self.dependents.release(job.id)
        except BaseException as error:
            # Its lease ends, and whoever sees that runs it again: by then it finds its work done.
            logger.warning("job %s has ended, but Redis could not be told (%r); it runs again", job.id, error)
        finally:
            self.executions.pop(execution.id, None)
            self._slots.end(place)

    def _has_contention(self, place: SlotLease) -> bool:
        if self._parking.has_backlog() or self._slots.used() > place.filled:
            return True
        try:
            return queue_length(self.connection) > 0
        except RedisError:
            return False  # nobody comes to work


def _failure_of(job: Job) -> str:
    return str(job.failure) if isinstance(job, AllowlistedJob) and job.failure else ""
