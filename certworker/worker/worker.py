"""
The worker: takes jobs until it is told to stop, whatever becomes of Redis, of jobs and of other workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from threading import Event

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors.redis import RedisIsCluster, RedisTooOld
from certworker.errors.worker import SchemaTooNew
from certworker.redis.failures import address_of, explainer
from certworker.redis.health import OutageTracker, probe
from certworker.state.locks import LEASE_SECONDS, RENEWAL_SHARE
from certworker.state.schema import check_schema
from certworker.supervision import Duties, Faults, Heartbeats, Loop, Postponed
from certworker.worker.job_class import job_class_for, silence_rq_logging
from certworker.worker.process import stop_on_signals
from certworker.worker.recovery import Recovery
from certworker.worker.threaded_worker import ThreadedWorker

logger = logging.getLogger(__name__)

#: docker stop kills after 10 seconds by default; the compose file allows 30.
STOP_DEADLINE_SECONDS = 25.0

#: Two beats of the job loop that are so late are a stall.
BEAT_SECONDS = 15.0


def run(
    connection: Redis,
    functions: Mapping[str, Callable[..., object]],
    *,
    slots: int,
    heartbeats: Heartbeats,
    stop: Event | None = None,
    stop_deadline_seconds: float = STOP_DEADLINE_SECONDS,
    lease_seconds: int = LEASE_SECONDS,
    private_names: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """
    Take jobs until told to stop; return the exit code.

    Args:
        functions: What jobs may call, by name.
        slots: How many jobs run at a time. The pool of *connection* has to hold two for each, and some.
        heartbeats: Get those of the job loop and of the leases of jobs.
        stop: Ends the worker when it is set. Without it SIGTERM and SIGINT do, in the main thread.
        stop_deadline_seconds: How long running jobs may take then; longer ones go back on the queue.
        lease_seconds: How long the jobs of a worker that died stay its own.
        private_names: Whether names are fine that only a private network knows.
        clock: The time in UTC.
        on_ready: Called when the worker takes jobs; called again later if it raises.

    Raises:
        RedisTooOld: It could lose jobs.
        SchemaTooNew: A newer certworker keeps the ledger, or does so from some moment on.
    """
    silence_rq_logging()

    def open_pool() -> ThreadedWorker:
        return ThreadedWorker(
            connection,
            job_class_for(functions),
            slots=slots,
            lease_seconds=lease_seconds,
            private_names=private_names,
            clock=clock,
        )

    with stop_on_signals() if stop is None else nullcontext(stop) as stopping:
        Worker(connection, open_pool, lease_seconds, on_ready, heartbeats).serve(
            stopping, stop_deadline_seconds
        )
    return 0


class Worker:
    """
    Keeps a pool of slots at work.

    Args:
        open_pool: Makes the pool; Redis may refuse that.
        on_ready: Called when jobs are taken; called again later if it raises.
        heartbeats: Get those of the job loop and of the leases of jobs.
    """

    def __init__(
        self,
        connection: Redis,
        open_pool: Callable[[], ThreadedWorker],
        lease_seconds: float,
        on_ready: Callable[[], None],
        heartbeats: Heartbeats,
    ) -> None:
        self._connection = connection
        self._open_pool = open_pool
        self._lease_seconds = lease_seconds
        self._on_ready = on_ready
        self._heartbeats = heartbeats
        self._keeper: _Keeper | None = None
        self._ready = False
        self._outage = OutageTracker(address_of(connection))
        self._refused: SchemaTooNew | RedisTooOld | None = None

    def serve(self, stop: Event, stop_deadline_seconds: float) -> None:
        """
        Take jobs until *stop* is set, whatever happens; then finish what runs.

        Raises:
            RedisTooOld: It could lose jobs.
            SchemaTooNew: Another worker is newer; what runs is finished all the same.
        """
        jobs = Loop("jobs", self._step, seconds=BEAT_SECONDS, faults=Faults("the job loop"), stopping=stop)
        self._heartbeats.add(jobs.heartbeat)
        jobs.run()
        if self._keeper:
            self._finish(self._keeper, stop_deadline_seconds)
        if self._refused:
            raise self._refused

    def _step(self) -> float | None:
        if self._refused:
            return None
        try:
            if self._keeper is None:
                self._keeper = self._opened()
            elif not self._ready:
                self._keeper.start()
                self._on_ready()
                self._ready = True
            else:
                self._keeper.pool.poll()
        except (RedisTooOld, SchemaTooNew) as failure:
            self._refused = failure
            return None
        except (RedisError, RedisIsCluster) as error:
            raise Postponed(self._outage.failed(error)) from error
        self._outage.over()
        return 0

    def _opened(self) -> _Keeper:
        probe(self._connection)
        check_schema(self._connection)
        keeper = _Keeper(self._open_pool(), self._lease_seconds, self._check_schema)
        self._heartbeats.add(keeper.loop.heartbeat)
        return keeper

    def _check_schema(self) -> None:
        try:
            check_schema(self._connection)
        except SchemaTooNew as failure:
            self._refused = failure

    def _finish(self, keeper: _Keeper, deadline_seconds: float) -> None:
        pool = keeper.pool
        if running := len(pool.executions):
            logger.info("stopping: jobs under way are finished first (%d)", running)
        pool.wait_until_idle(deadline_seconds)
        keeper.loop.stop(0)
        if self._outage.lasts:
            return  # leases end by themselves
        try:
            for execution in list(pool.executions.values()):
                logger.warning("job %s was not done in time; it goes back on the queue", execution.job_id)
                keeper.recovery.requeue(execution)
            pool.register_death()
        except RedisError as error:
            self._outage.failed(error)


class _Keeper:
    """
    What renews the leases of the jobs of *pool*, and recovers those of dead workers.
    """

    def __init__(self, pool: ThreadedWorker, lease_seconds: float, check_schema: Callable[[], None]) -> None:
        self.pool = pool
        self.recovery = Recovery(pool.queue, pool.find, lease_seconds)
        self._pause = lease_seconds * RENEWAL_SHARE
        self._duties = Duties(
            {
                "the check of the schema": check_schema,
                "the heartbeat of the worker": pool.beat,
                "the recovery of jobs": self.recovery.sweep,
                "the release of dependents": pool.dependents.sweep,
            },
            explainer(pool.connection),
        )
        self.loop = Loop("job_leases", self._step, seconds=max(self._pause, BEAT_SECONDS))

    def start(self) -> None:
        """
        Register the worker, and begin.
        """
        self.pool.beat()
        self.loop.start()

    def _step(self) -> float:
        if pause := self._duties():
            raise Postponed(min(pause, self._pause))
        return self._pause
