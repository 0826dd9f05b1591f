"""
RQ's worker with slots: each job runs in a thread, and one process is one worker.

Of RQ's worker everything is used that keeps the books: registration, leases, results. Nothing is forked,
nothing listens to commands that anybody may publish in Redis, and no job is taken that cannot start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil
from threading import Semaphore, Thread, Timer
from time import monotonic
from typing import Any, cast

from redis import Redis
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import TimerDeathPenalty
from rq.worker import SimpleWorker, WorkerStatus

from certworker.errors.machine import BadJob
from certworker.intake.jobs import RegisteredJob
from certworker.intake.queue import QUEUE
from certworker.intake.recovery import discard
from certworker.reports import log

logger = logging.getLogger(__name__)

#: How long one look at the queue waits for a job; also how long the end may take when nothing runs.
PATIENCE_SECONDS = 0.25


class Deadline(TimerDeathPenalty):
    """
    RQ's time limit for threads, which does not keep a process alive that wants to end.
    """

    def new_timer(self) -> Timer:
        """
        A timer for one job.
        """
        timer: Timer = super().new_timer()
        timer.daemon = True
        return timer


class PooledWorker(SimpleWorker):
    """
    An RQ worker for our queue with a number of slots.

    Args:
        slots: How many jobs run at a time.
        lease_seconds: How long a job stays ours after a heartbeat.

    Attributes:
        find: Reads a job, see :meth:`RegisteredJob.find`.
    """

    death_penalty_class = Deadline

    def __init__(
        self, connection: Redis, job_class: type[RegisteredJob], *, slots: int, lease_seconds: int
    ) -> None:
        # The queue by its name: a Queue object of another job class would bypass ours.
        super().__init__(
            QUEUE,
            connection=connection,
            job_class=job_class,
            serializer="json",
            worker_ttl=lease_seconds,
            job_monitoring_interval=lease_seconds,
        )
        self.find: Callable[[bytes, Redis], RegisteredJob] = job_class.find
        self._slots = slots
        self._free = Semaphore(slots)

    @property
    def queue(self) -> Queue:
        """
        The one queue it works for; only with one is RQ safe against a death while a job changes hands.
        """
        return self.queues[0]

    def take_one(self) -> None:
        """
        Take the next job and start it; return after a moment if there is none, or no free slot.
        """
        # First the slot, then the job: another worker may have a free one.
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            return
        started = False
        try:
            started = self._start_next()
        finally:
            if not started:
                self._free.release()

    def wait_until_idle(self, seconds: float) -> None:
        """
        Return when no job runs any more, at the latest after *seconds*. It keeps the slots.
        """
        deadline = monotonic() + seconds
        for _ in range(self._slots):
            if not self._free.acquire(timeout=max(0, deadline - monotonic())):
                return

    def beat(self) -> None:
        """
        Say that the worker lives, and renew the lease of each job.
        """
        if not self.connection.hexists(self.key, "birth"):  # at the start, and after Redis was emptied
            self.connection.delete(self.key)
            self.register_birth()
        self.set_state(WorkerStatus.BUSY if self.executions else WorkerStatus.IDLE)
        self.heartbeat()
        for execution in list(self.executions.values()):
            self.maintain_heartbeats(execution.job, execution)

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

    def execute_job(self, job: Job, queue: Queue) -> None:
        """
        Start *job* in the slot that was kept free for it.
        """
        before = set(self.executions)
        try:
            execution = self.prepare_execution(job)
            # A thread for each job: a time limit that strikes too late then ends that thread, not a slot.
            Thread(target=self._run, args=(job, queue, execution), name=job.id, daemon=True).start()
        except BaseException:
            # Nobody is at it, so its lease must not be renewed.
            for execution_id in set(self.executions) - before:
                self.executions.pop(execution_id)
            raise

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """
        Say what went wrong, unless it has been said where it happened.
        """
        if not _failure_of(job):
            logger.error("job %s: %r is a fault of certworker; the job has the details", job.id, exc_info[1])

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

    def _start_next(self) -> bool:
        # The id goes to a second list in the same step, so that it is never nowhere.
        in_between = self.queue.intermediate_queue_key
        taken = self.connection.blmove(self.queue.key, in_between, PATIENCE_SECONDS)  # type: ignore[arg-type]
        raw_id = cast("bytes | None", taken)
        if raw_id is None:
            if self.get_state() == WorkerStatus.BUSY and not self.executions:
                self.set_state(WorkerStatus.IDLE)
            return False
        try:
            job = self.find(raw_id, self.connection)
        except BadJob as failure:
            discard(self.connection, in_between, raw_id, failure)
            return False
        self.execute_job(job, self.queue)
        return True

    def _run(self, job: Job, queue: Queue, execution: Execution) -> None:
        try:
            with log.job(job.id):
                self.perform_job(job, queue, execution)
        except Exception as error:
            # Its lease ends, and whoever sees that runs it again: by then it finds its work done.
            logger.warning("job %s has ended, but Redis could not be told (%r); it runs again", job.id, error)
        finally:
            self.executions.pop(execution.id, None)
            self._free.release()


def _failure_of(job: Job) -> str:
    return str(job.failure) if isinstance(job, RegisteredJob) and job.failure else ""
