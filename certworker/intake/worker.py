"""
The worker: takes jobs until it is told to stop, whatever becomes of Redis, of jobs and of other workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from threading import Event, Thread

from redis import Redis
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004 (not the built-in ones)

from certworker.errors.machine import SchemaTooNew
from certworker.intake.jobs import mute_rq, registered
from certworker.intake.pool import PATIENCE_SECONDS, PooledWorker
from certworker.intake.recovery import Recovery
from certworker.intake.redis_check import Outage, wait_for_redis
from certworker.intake.signals import stop_on_signals
from certworker.ledger.faults import address_of
from certworker.ledger.schema import check_schema

logger = logging.getLogger(__name__)

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
    private_names: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
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
        private_names: Whether names are fine that only a private network knows.
        clock: The time in UTC.
        on_ready: Called once, when the worker takes jobs.

    Raises:
        RedisTooOld: It could lose jobs.
        SchemaTooNew: A newer certworker keeps the ledger, or does so from some moment on.
    """
    mute_rq()
    with stop_on_signals() if stop is None else nullcontext(stop) as stopping:
        pool = None
        while pool is None and wait_for_redis(connection, stopping):
            with suppress(RedisError):  # it may be gone again
                check_schema(connection)
                pool = PooledWorker(
                    connection,
                    registered(functions),
                    slots=slots,
                    lease_seconds=lease_seconds,
                    private_names=private_names,
                    clock=clock,
                )
        if pool:
            Worker(pool, lease_seconds).serve(stopping, stop_deadline_seconds, on_ready)
    return 0


class Worker:
    """
    Keeps a pool of slots at work.
    """

    def __init__(self, pool: PooledWorker, lease_seconds: float) -> None:
        self._pool = pool
        self._pulse_seconds = lease_seconds / 3
        self._recovery = Recovery(pool.queue, pool.find, lease_seconds)
        self._outage = Outage(address_of(pool.connection))
        self._ended = Event()
        self._refused: SchemaTooNew | None = None

    def serve(self, stop: Event, stop_deadline_seconds: float, on_ready: Callable[[], None]) -> None:
        """
        Take jobs until *stop* is set, whatever happens; then finish what runs.

        Raises:
            SchemaTooNew: Another worker is newer; what runs is finished all the same.
        """
        Thread(target=self._keep_house, name="housekeeping", daemon=True).start()
        ready = False
        while not (stop.is_set() or self._refused):
            try:
                if not ready:
                    self._pool.beat()
                    ready = True
                    on_ready()
                self._pool.take_one()
                self._outage.over()
            except RedisError as error:
                stop.wait(self._outage.failed(error))
            except Exception:
                logger.exception("unexpected error in the job loop; certworker continues")
                stop.wait(PATIENCE_SECONDS)
        self._finish(stop_deadline_seconds)
        if self._refused:
            raise self._refused

    def _keep_house(self) -> None:
        while not self._ended.wait(self._pulse_seconds):
            duties = (self._check_schema, self._pool.beat, self._recovery.sweep, self._pool.dependents.sweep)
            for duty in duties:
                try:
                    duty()
                except (ConnectionError, TimeoutError):
                    break  # the loop that takes jobs has said so
                except Exception:
                    logger.exception("unexpected error in the job leases; certworker continues")

    def _check_schema(self) -> None:
        try:
            check_schema(self._pool.connection)
        except SchemaTooNew as failure:
            self._refused = failure

    def _finish(self, deadline_seconds: float) -> None:
        if running := len(self._pool.executions):
            logger.info("stopping: jobs under way are finished first (%d)", running)
        self._pool.wait_until_idle(deadline_seconds)
        self._ended.set()
        if self._outage.lasts:
            return  # leases end by themselves
        try:
            for execution in list(self._pool.executions.values()):
                logger.warning("job %s was not done in time; it goes back on the queue", execution.job_id)
                self._recovery.give_back(execution)
            self._pool.register_death()
        except RedisError as error:
            self._outage.failed(error)
