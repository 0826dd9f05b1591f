"""
The worker: takes jobs from the queue and runs each in a slot of its own, a thread.

Issuing is waiting, so one process with threads does what would cost ten times the memory with RQ's forked
workers. Of RQ's worker everything is used that keeps the books: registration, leases, results; its loop is
replaced by one that takes no job it cannot start, that outlives Redis, and that ends within a deadline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from math import ceil
from threading import Event, Semaphore, Thread, Timer
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004 (not the built-in ones)
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import TimerDeathPenalty
from rq.worker import SimpleWorker, WorkerStatus

from certworker.errors.machine import BadJob
from certworker.intake.jobs import RegisteredJob, mute_rq, registered
from certworker.intake.queue import QUEUE
from certworker.intake.recovery import Recovery, discard
from certworker.intake.redis_check import Outage, address_of, wait_for_redis
from certworker.intake.signals import stop_on_signals
from certworker.reports import log

logger = logging.getLogger(__name__)

#: How long one look at the queue waits for a job; also how long the end may take when nothing runs.
PATIENCE_SECONDS = 0.25

#: docker stop kills after 10 seconds by default; the compose file allows 30.
STOP_DEADLINE_SECONDS = 25.0
LEASE_SECONDS = 90


def run(
    connection: Redis,
    functions: Mapping[str, Callable[..., object]],
    *,
    slots: int,
    stop: Event | None = None,
    stop_deadline_seconds: float = STOP_DEADLINE_SECONDS,
    lease_seconds: int = LEASE_SECONDS,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """
    Take jobs until told to stop; return the exit code.

    Args:
        functions: What jobs may call, by name.
        slots: How many jobs run at a time. The pool of *connection* has to hold two for each, and some.
        stop: Ends the worker when it is set. Without it SIGTERM and SIGINT do, in the main thread.
        stop_deadline_seconds: How long running jobs may take then; longer ones go back on the queue.
        lease_seconds: How long the jobs of a worker that died stay its own.
        on_ready: Called once, when the worker takes jobs.

    Raises:
        RedisTooOld: It could lose jobs.
    """
    mute_rq()
    with stop_on_signals() if stop is None else nullcontext(stop) as stopping:
        worker = None
        while worker is None and wait_for_redis(connection, stopping):
            with suppress(RedisError):  # it may be gone again
                worker = Worker(connection, registered(functions), slots, lease_seconds)
        if worker:
            worker.serve(stopping, stop_deadline_seconds, on_ready)
    return 0


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


class Worker(SimpleWorker):
    """
    An RQ worker with *slots* threads for one queue.
    """

    death_penalty_class = Deadline

    def __init__(
        self, connection: Redis, job_class: type[RegisteredJob], slots: int, lease_seconds: int
    ) -> None:
        super().__init__(
            QUEUE,
            connection=connection,
            job_class=job_class,
            serializer="json",
            worker_ttl=lease_seconds,
            job_monitoring_interval=lease_seconds,
        )
        self._job_class = job_class
        self._slots = slots
        self._free = Semaphore(slots)
        self._pulse_seconds = lease_seconds / 3
        self._queue = self.queues[0]
        self._recovery = Recovery(connection, self._queue, job_class, lease_seconds)
        self._outage = Outage(address_of(connection))
        self._ended = Event()

    def serve(self, stop: Event, stop_deadline_seconds: float, on_ready: Callable[[], None]) -> None:
        """
        Take jobs until *stop* is set, whatever happens; then finish what runs.
        """
        Thread(target=self._keep_house, name="housekeeping", daemon=True).start()
        ready = False
        while not stop.is_set():
            try:
                if not ready:
                    self._beat()
                    ready = True
                    on_ready()
                self._take_one()
                self._outage.over()
            except RedisError as error:
                stop.wait(self._outage.failed(error))
            except Exception as error:
                logger.error("the worker met %r and goes on", error)
                stop.wait(PATIENCE_SECONDS)
        self._finish(stop_deadline_seconds)

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
        super().handle_job_failure(
            job, queue, started_job_registry, _failure_of(job) or exc_string, execution
        )

    def _take_one(self) -> None:
        # First the slot, then the job: another worker may have a free one.
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            return
        started = False
        try:
            started = self._start_next()
        finally:
            if not started:
                self._free.release()

    def _start_next(self) -> bool:
        # The id goes to a second list in the same step, so that it is never nowhere.
        in_between = self._queue.intermediate_queue_key
        taken = self.connection.blmove(self._queue.key, in_between, PATIENCE_SECONDS)  # type: ignore[arg-type]
        raw_id = cast("bytes | None", taken)
        if raw_id is None:
            if self.get_state() == WorkerStatus.BUSY and not self.executions:
                self.set_state(WorkerStatus.IDLE)
            return False
        try:
            job = self._job_class.find(raw_id, self.connection)
        except BadJob as failure:
            discard(self.connection, in_between, raw_id, failure)
            return False
        self.execute_job(job, self._queue)
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

    def _keep_house(self) -> None:
        while not self._ended.wait(self._pulse_seconds):
            for duty in (self._beat, self._recovery.sweep):
                try:
                    duty()
                except (ConnectionError, TimeoutError):
                    break  # the loop that takes jobs has said so
                except Exception as error:
                    logger.error("the worker's housekeeping met %r and goes on", error)

    def _beat(self) -> None:
        if not self.connection.hexists(self.key, "birth"):  # at the start, and after Redis was emptied
            self.connection.delete(self.key)
            self.register_birth()
        self.set_state(WorkerStatus.BUSY if self.executions else WorkerStatus.IDLE)
        self.heartbeat()
        for execution in list(self.executions.values()):
            self.maintain_heartbeats(execution.job, execution)

    def _finish(self, deadline_seconds: float) -> None:
        if self.executions:
            logger.info("stopping: jobs under way are finished first (%d)", len(self.executions))
        deadline = time.monotonic() + deadline_seconds
        for _ in range(self._slots):
            if not self._free.acquire(timeout=max(0, deadline - time.monotonic())):
                break
        self._ended.set()
        if self._outage.lasts:
            return  # leases end by themselves
        try:
            for execution in list(self.executions.values()):
                logger.warning("job %s was not done in time; it goes back on the queue", execution.job_id)
                self._recovery.give_back(execution)
            self.register_death()
        except RedisError as error:
            self._outage.failed(error)


def _failure_of(job: Job) -> str:
    return str(job.failure) if isinstance(job, RegisteredJob) and job.failure else ""
