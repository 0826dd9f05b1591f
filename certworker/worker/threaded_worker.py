"""
RQ's worker with slots: each job runs in a thread of one process.

The worker uses RQ's registration, leases, and results. It forks no process, ignores commands that other
programs publish in Redis, and starts a job only if a slot is free.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.worker import SimpleWorker, WorkerStatus
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from certworker.errors.worker import BadJob
from certworker.job_slot import JobSlot, running_in
from certworker.observability import log
from certworker.redis.client import REPLY_SECONDS
from certworker.redis.failures import explainer
from certworker.redis.guard import sharing_trips
from certworker.redis.shared_trips import Reply
from certworker.supervision import log_unexpected
from certworker.worker.dependents import CertificateQueue, Dependents
from certworker.worker.fair_scheduling import FairScheduler
from certworker.worker.intake import Intake, Taken
from certworker.worker.job_class import AllowlistedJob, Deadline
from certworker.worker.producer import ISSUE, QUEUE, queue_length
from certworker.worker.queue_stats import Suspension
from certworker.worker.recovery import discard_invalid
from certworker.worker.slots import SlotLease, Slots

logger = logging.getLogger(__name__)

#: How long one poll of the queue waits for a job. After a stop, an idle worker ends with its current poll.
JOB_TIMEOUT_SECONDS = 0.5
#: How long one poll waits for a free slot, or for the end of a suspension.
POLL_TIMEOUT_SECONDS = 0.25

#: The interval between checks of the queue, the priority queues, and the suspension, while no job is known to
#: be waiting.
CHECK_SECONDS = 1.0

#: The interval between polls for new tenants on the queue, while requests are waiting in the priority queues.
POLL_SECONDS = 0.1


class ThreadedWorker(SimpleWorker):
    """
    An RQ worker with slots.

    Args:
        connection: The connection to Redis.
        job_class: The class of the jobs; see :func:`certworker.worker.job_class.job_class_for`.
        slots: The number of slots. A job starts only in a free slot, and may release it early.
        lease_seconds: How long the lease of a job lasts after a heartbeat.
        scheduling: Returns the scheduler for the slots of this worker.
        leaves_jobs: Returns whether this worker leaves all jobs to other workers now.

    Attributes:
        find: Returns a job; see :meth:`AllowlistedJob.find`.
    """

    death_penalty_class = Deadline

    def __init__(
        self,
        connection: Redis,
        job_class: type[AllowlistedJob],
        *,
        slots: int,
        lease_seconds: int,
        scheduling: Callable[[Slots], FairScheduler],
        leaves_jobs: Callable[[], bool] = lambda: False,
    ) -> None:
        # The queue is given by its name: a Queue object with another job class would bypass *job_class*.
        super().__init__(
            QUEUE,
            connection=connection,
            job_class=job_class,
            queue_class=CertificateQueue,
            serializer="json",
            worker_ttl=lease_seconds,
            job_monitoring_interval=lease_seconds,
        )
        self.find = job_class.find
        self._made = job_class.made
        self._slots = Slots(slots)
        self._scheduling = scheduling(self._slots)
        self._leaves_jobs = leaves_jobs
        self._suspension = Suspension(connection)
        self.dependents = Dependents(connection)
        self._intake = Intake(self.queue)
        #: Whether jobs may be waiting on the queue. If not, this worker waits for the next job.
        self._may_have_jobs = True
        #: When the queue, the priority queues, and the suspension are checked next, in monotonic seconds.
        self._next_check = 0.0
        #: Whether this worker is waiting for a job. If so, no job is on the queue.
        self._is_waiting = False

    @property
    def queue(self) -> Queue:
        """
        Return the only queue. With several queues, a crash while RQ takes a job may lose that job.
        """
        return self.queues[0]

    def poll(self) -> None:
        """
        Start or defer the next job. Return after a short wait if there is no job or no free slot, if the
        workers are suspended, or if this one leaves jobs to others. Without a free slot, move a long queue to
        the priority queues.
        """
        if self._suspension.known and self._suspension.lasts():
            self._mark(WorkerStatus.SUSPENDED)
            time.sleep(POLL_TIMEOUT_SECONDS)
        elif self._leaves_jobs():
            time.sleep(POLL_TIMEOUT_SECONDS)
        # Wait for the slot first: another worker may have a free slot for the job.
        elif not self._slots.wait_for_slot(POLL_TIMEOUT_SECONDS):
            if not self._suspension.lasts():
                self._scheduling.relieve_backlog()
        elif not self._is_check_due() or not self._check_queues():
            self._wait_for_request()

    def wait_until_idle(self, seconds: float) -> None:
        """
        Wait until all jobs have ended, for at most *seconds*.
        """
        self._slots.wait_until_idle(seconds)

    def beat(self) -> None:
        """
        Report that the worker is running, and renew the lease of each running job.

        At the start, and whenever Redis has lost the registration, register the worker first.
        """
        if not self._is_registered():
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

        RQ's method also writes a heartbeat to the hash of the job, and deletes a hash that had none. A job
        that starts at that time would lose its fields.
        """
        with self.connection.pipeline() as pipeline:
            ttl = self.get_heartbeat_ttl(job)
            execution.heartbeat(job.started_job_registry, ttl, pipeline=pipeline)
            pipeline.execute()

    @property
    def connection_timeout(self) -> int:
        """
        Return the minimum reply timeout of the pool in seconds. RQ raises a shorter timeout to this value.

        RQ's own value is 10 s longer than one poll of its queue. A poll of this worker is shorter than the
        reply timeout.
        """
        return REPLY_SECONDS

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 (RQ's signature)
        """
        Return for how many seconds a lease lasts after a heartbeat. The time limit of the job does not
        matter.
        """
        return self.worker_ttl

    def prepare_execution(self, job: Job) -> Execution:
        """
        Record in one transaction that *job* is running, and remove its id from the intermediate list.

        RQ writes the same in two transactions. A crash in between would leave a job with a lease in the list.
        """
        with self.connection.pipeline() as pipeline:
            lease_seconds = self.get_heartbeat_ttl(job)
            execution = Execution.create(job, lease_seconds, pipeline=pipeline, worker_name=self.name)
            self.executions[execution.id] = execution
            self.set_state(WorkerStatus.BUSY, pipeline=pipeline)
            job.prepare_for_execution(self.name, pipeline=pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(self.queue.intermediate_queue_key, 1, job.id)
            pipeline.execute()
        return execution

    def prepare_job_execution(self, *_: Any, **__: Any) -> None:
        """
        Do nothing: :meth:`prepare_execution` has recorded the start of the job.
        """

    def handle_execution_ended(self, job: Job, *_: Any) -> None:
        """
        Set the time of the end of *job*, which the transaction of its outcome writes.

        Raises:
            NotRecorded: The job has to run again: its lease expires, and a worker puts the job back on the
                queue.
        """
        if isinstance(job, AllowlistedJob) and job.not_recorded:
            raise job.not_recorded
        job.ended_at = job.last_heartbeat = datetime.now(UTC)

    def handle_job_success(self, job: Job, queue: Any, started_job_registry: Any, execution: Any) -> None:  # noqa: ARG002 (RQ's signature)
        """
        Record the success and the result of *job* in one transaction.

        RQ also watches the dependents of the job, which :class:`Dependents` releases after the transaction.
        """
        working_time = job.ended_at - job.started_at  # type: ignore[operator]  # RQ has set both
        with self.connection.pipeline() as pipeline:
            self.increment_successful_job_count(pipeline=pipeline)
            self.increment_total_working_time(working_time, pipeline)
            seconds = job.get_result_ttl(self.default_result_ttl)
            job._handle_success(
                seconds,
                pipeline=pipeline,
                worker_name=self.name,
                execution_id=execution.id,
                execution_started_at=execution.created_at,
                execution_ended_at=job.ended_at,
            )
            job.cleanup(seconds, pipeline=pipeline, remove_from_queue=False)
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            dependents = self.dependents.ask(job.id)
            pipeline.execute()
        self._release(job, dependents)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """
        Log the exception of *job*, unless the job has logged its failure.
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
        Record the failure of *job*, with its failure message or, without one, the traceback. Then release the
        dependents of the job.
        """
        text = _failure_of(job) or exc_string
        super().handle_job_failure(job, queue, started_job_registry, text, execution)
        self._release(job, self.dependents.ask(job.id))

    def _is_registered(self) -> bool:
        # False at the start, after Redis was emptied, and after a freeze in which the hash expired. A worker
        # that found no hash removes this worker from the sets, perhaps after the hash was written again.
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.hexists(self.key, "birth")
            for registry in (REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY % self.queue.name):
                pipeline.sismember(registry, self.key)
            return all(pipeline.execute())

    def _release(self, job: Job, dependents: Reply) -> None:
        with suppress(RedisError):  # the next sweep releases them
            self.dependents.release(job.id, dependents)

    def _is_check_due(self) -> bool:
        return self._may_have_jobs or self._scheduling.has_backlog() or time.monotonic() >= self._next_check

    def _check_queues(self) -> bool:
        """
        Start or defer a waiting job; return False if the worker may now wait for the next job.
        """
        taken = self._intake.take()
        self._next_check = time.monotonic() + CHECK_SECONDS
        if self._suspension.note(taken.is_suspended):
            return True
        self._may_have_jobs = taken.left > 0
        if taken.raw_id is not None:
            self._start_or_defer(taken, taken.raw_id)
            return True
        if self._slots.wait_for_capacity(POLL_SECONDS if self._scheduling.has_backlog() else 0):
            return self._dispatch()
        return self._scheduling.has_backlog()

    def _wait_for_request(self) -> None:
        self._is_waiting = True
        try:
            taken = self._intake.wait(JOB_TIMEOUT_SECONDS)
        finally:
            self._is_waiting = False
        if taken is None:
            if not self.executions:
                self._mark(WorkerStatus.IDLE)
        elif taken.raw_id is not None:
            self._may_have_jobs = taken.left > 0
            if self._suspension.note(taken.is_suspended):
                self._scheduling.requeue(taken.raw_id)
            else:
                self._start_or_defer(taken, taken.raw_id)

    def _mark(self, state: WorkerStatus) -> None:
        if self.get_state() != state:
            self.set_state(state)

    def _start_or_defer(self, taken: Taken, raw_id: bytes) -> None:
        try:
            job = self.find(raw_id, self.connection, taken.found)
        except BadJob as failure:
            discard_invalid(self.connection, self.queue.intermediate_queue_key, raw_id, failure)
            return
        tenant = self._scheduling.tenant_of(job)
        if self._scheduling.may_start(tenant):
            self._start(job, tenant, job.requested_at)
        else:
            self._scheduling.drain_queue(raw_id)

    def _dispatch(self) -> bool:
        if dispatched := self._scheduling.dispatch():
            job = self._made(dispatched.id, dispatched.fields, self.connection)
            job.was_deferred = True
            self._start(job, dispatched.tenant, dispatched.requested_at)
        return dispatched is not None

    def _start(self, job: AllowlistedJob, tenant: str | None, requested_at: datetime | None) -> None:
        before = set(self.executions)
        lease = self._slots.take(tenant)
        try:
            execution = self.prepare_execution(job)
            # Each job gets its own thread, so that a late time limit ends only that thread.
            arguments = (job, execution, lease, requested_at)
            Thread(target=self._run, args=arguments, name=job.id, daemon=True).start()
        except BaseException:
            # The job does not run, so its lease must not be renewed.
            self._slots.end(lease)
            for execution_id in set(self.executions) - before:
                self.executions.pop(execution_id)
            raise

    def _run(
        self, job: AllowlistedJob, execution: Execution, lease: SlotLease, requested_at: datetime | None
    ) -> None:
        slot = JobSlot(
            partial(self._slots.release, lease),
            partial(self._has_contention, lease),
            requested_at,
            run=execution.composite_key,
            abandoned_run=job.abandoned_run,
            was_deferred=job.was_deferred,
        )
        try:
            with log.job(job.id), running_in(slot), sharing_trips(self.connection):
                self.perform_job(job, self.queue, execution)
        except BaseException as error:
            # When the lease expires, the job runs again. Usually, the second run finds that the work is done.
            logger.warning(
                "could not record the end of job %s in Redis (%r); it will run again", job.id, error
            )
        finally:
            self.executions.pop(execution.id, None)
            if job.func_name != ISSUE:
                self._next_check = 0.0  # it may have put requests into the priority queues
            self._slots.end(lease)

    def _has_contention(self, lease: SlotLease) -> bool:
        if self._scheduling.has_backlog() or self._slots.used() > lease.held:
            return True
        if self._is_waiting:
            return False
        try:
            return queue_length(self.connection) > 0
        except RedisError:
            return False  # without Redis, no job can arrive


def _failure_of(job: Job) -> str:
    return str(job.failure) if isinstance(job, AllowlistedJob) and job.failure else ""
