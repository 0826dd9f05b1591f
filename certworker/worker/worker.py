"""
The job loop of a worker, and its process: signals and CPU affinity.

The loop takes jobs until it is stopped, and continues after failures of Redis. The first SIGTERM or SIGINT
requests an orderly stop, and the second ends the process. SIGHUP is logged and ignored: a closed terminal
sends it, and other servers reload their settings on it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from threading import Event, Thread

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors.redis import RedisIsCluster, RedisTooOld
from certworker.errors.worker import SchemaTooNew
from certworker.redis.client import REPLY_SECONDS
from certworker.redis.failures import address_of, explainer, to_failure
from certworker.redis.health import OutageTracker, probe
from certworker.state.locks import LEASE_SECONDS, RENEWAL_SHARE
from certworker.state.schema import check_schema
from certworker.supervision import Duties, Faults, Heartbeats, Loop, Postponed
from certworker.worker.fair_scheduling import FairScheduler, IsProven
from certworker.worker.job_class import job_class_for, silence_rq_logging
from certworker.worker.recovery import Recovery
from certworker.worker.threaded_worker import ThreadedWorker

logger = logging.getLogger(__name__)

#: How long running jobs may take after the stop. `docker stop` kills a container after 10 seconds by default;
#: the Compose files set 35 seconds.
STOP_DEADLINE_SECONDS = 25.0

#: The job loop counts as stalled after twice this time without a beat.
BEAT_SECONDS = 15.0

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
    wildcards: bool = False,
    is_proven: IsProven = lambda _names, tenant: tenant is None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    leaves_jobs: Callable[[], bool] = lambda: False,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """
    Run jobs until the worker is stopped; return the exit code.

    Args:
        connection: The connection to Redis. Its pool needs two connections for each running job, and a few
            more.
        functions: The functions that jobs may call, by name.
        slots: The number of slots. A job starts only in a free slot.
        heartbeats: Receives the heartbeats of the job loop and of the loop that renews leases.
        stop: Stops the worker when it is set. By default, SIGTERM or SIGINT stops the worker. This default
            requires the main thread.
        stop_deadline_seconds: How long running jobs may take after the stop. Then they return to the queue.
        lease_seconds: How long the jobs of a killed worker stay leased.
        private_names: Whether the CA issues certificates for names of a private network.
        wildcards: Whether wildcards are accepted.
        is_proven: Returns whether a tenant, if any, needs no further proof for names.
        clock: Returns the time in UTC.
        leaves_jobs: Returns whether this worker leaves all jobs to other workers now.
        on_ready: Called when the worker is ready to take jobs. If the call raises, it is repeated later.

    Raises:
        RedisTooOld: Redis is too old, and could lose jobs.
        SchemaTooNew: A newer certworker uses this Redis, at the start or later.
    """
    silence_rq_logging()

    def open_pool() -> ThreadedWorker:
        return ThreadedWorker(
            connection,
            job_class_for(functions),
            slots=slots,
            lease_seconds=lease_seconds,
            scheduling=partial(
                FairScheduler,
                connection,
                private_names=private_names,
                wildcards=wildcards,
                is_proven=is_proven,
                clock=clock,
            ),
            leaves_jobs=leaves_jobs,
        )

    with stop_on_signals() if stop is None else nullcontext(stop) as stopping:
        Worker(connection, open_pool, lease_seconds, on_ready, heartbeats).serve(
            stopping, stop_deadline_seconds
        )
    return 0


class Worker:
    """
    Runs the job loop, and reconnects after errors of Redis.

    Args:
        connection: The connection to Redis.
        open_pool: Creates RQ's worker; Redis may reject its commands.
        lease_seconds: How long the jobs of a killed worker stay leased.
        on_ready: Called when the worker is ready to take jobs. If the call raises, it is repeated later.
        heartbeats: Receives the heartbeats of the job loop and of the loop that renews leases.
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
        self._leases: _JobLeases | None = None
        self._ready = False
        self._outage = OutageTracker(address_of(connection))
        self._refused: SchemaTooNew | RedisTooOld | None = None

    def serve(self, stop: Event, stop_deadline_seconds: float) -> None:
        """
        Take jobs until *stop* is set, and continue after failures of Redis. Then finish the running jobs, or
        return them to the queue after the deadline.

        Raises:
            RedisTooOld: Redis is too old, and could lose jobs. The running jobs are finished first.
            SchemaTooNew: A newer certworker uses this Redis. The running jobs are finished first.
        """
        jobs = Loop("jobs", self._step, seconds=BEAT_SECONDS, faults=Faults("the job loop"), stopping=stop)
        self._heartbeats.add(jobs.heartbeat)
        jobs.run()
        if self._leases:
            self._finish(self._leases, stop_deadline_seconds)
        if self._refused:
            raise self._refused

    def _step(self) -> float | None:
        if self._refused:
            return None
        try:
            if self._leases is None:
                self._leases = self._open()
            elif not self._ready:
                self._leases.start()
                self._on_ready()
                self._ready = True
            else:
                self._leases.pool.poll()
        except (RedisTooOld, SchemaTooNew) as failure:
            self._refused = failure
            return None
        except (RedisError, RedisIsCluster) as error:
            raise Postponed(self._outage.failed(error)) from error
        self._outage.succeeded()
        return 0

    def _open(self) -> _JobLeases:
        probe(self._connection)
        check_schema(self._connection)
        leases = _JobLeases(self._open_pool(), self._lease_seconds, self._check_schema)
        self._heartbeats.add(leases.loop.heartbeat)
        return leases

    def _check_schema(self) -> None:
        try:
            check_schema(self._connection)
        except SchemaTooNew as failure:
            self._refused = failure

    def _finish(self, leases: _JobLeases, deadline_seconds: float) -> None:
        pool = leases.pool
        if running := len(pool.executions):
            logger.info("stopping; waiting for running jobs: %d", running)
        pool.wait_until_idle(deadline_seconds)
        leases.loop.stop(0)
        if self._outage.lasts:
            return  # the leases expire
        # A heartbeat after the end would register the worker again.
        leases.loop.stop(REPLY_SECONDS)
        try:
            for execution in list(pool.executions.values()):
                if leases.recovery.requeue(execution):
                    logger.warning(
                        "returned job %s to the queue, because it did not finish in time", execution.job_id
                    )
            pool.register_death()
        except RedisError as error:
            # This worker does not retry: its registration and the leases of its jobs expire.
            failure = to_failure(error, address_of(self._connection))
            logger.warning(
                "could not requeue unfinished jobs, or remove the registration of this worker: %s",
                failure,
                extra={"code": failure.code},
            )


class _JobLeases:
    """
    Renews the leases of the jobs of *pool*, recovers the jobs of killed workers, releases dependents, and
    checks the schema.
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
        Register the worker, and start the loop.
        """
        self.pool.beat()
        self.loop.start()

    def _step(self) -> float:
        if pause := self._duties():
            raise Postponed(min(pause, self._pause))
        return self._pause


def pin_to_one_cpu(random: Random) -> None:
    """
    Pin this thread, and all threads that it starts later, to one of the CPUs that the process may use.

    Python runs one thread at a time. With several CPUs, a waiting thread wakes up on another CPU, which costs
    a quarter of the time under load. The kernel then runs unpinned processes on the other CPUs. With
    several workers on a host, the operator can give each its own CPU (`cpuset` of Docker). On a system that
    has no CPU affinity (macOS) or does not permit it, do nothing.
    """
    with suppress(AttributeError, OSError):
        cpu = random.choice(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, {cpu})
        logger.debug("all threads run on CPU %d", cpu)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """
    Yield an event that the first SIGTERM or SIGINT sets; the second ends the process immediately.

    SIGHUP is logged and ignored. Only the main thread can enter this context.
    """
    # A signal handler must not set an event: the main thread may hold the lock on that event. So the
    # interpreter writes the number of the signal to a socket, and a thread reads it there.
    stop, (receiving, sending) = Event(), socket.socketpair()
    sending.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: None) for number in (*STOP_SIGNALS, signal.SIGHUP)}
    previous_socket = signal.set_wakeup_fd(sending.fileno())
    Thread(target=_receive, args=(receiving, stop), name="signals", daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(previous_socket)
        for number, handler in previous.items():
            signal.signal(number, handler)
        sending.close()


def _receive(receiving: socket.socket, stop: Event) -> None:
    with receiving:
        while received := receiving.recv(1):
            if received[0] == signal.SIGHUP:
                logger.info("ignored SIGHUP; to read changed settings, restart certworker")
            if received[0] not in STOP_SIGNALS:
                continue
            if stop.is_set():
                os._exit(128 + received[0])
            stop.set()
