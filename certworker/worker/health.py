"""
The health of a worker: its report in Redis, and the reports of all workers.

`/healthz` returns the health of its own worker. Without an HTTP address, `certworker health` reads the
reports of the workers on its host. `certworker doctor` reads the reports of all workers. A report expires
after 30 seconds, so each report is fresh even if the clocks of the hosts differ.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import printable
from certworker.errors.worker import LoopStalled
from certworker.redis.codec import count_in, decode_text
from certworker.redis.failures import explainer
from certworker.state.once_per import bound_expiry
from certworker.supervision import Faults, Heartbeats, Loop
from certworker.version import __version__

logger = logging.getLogger(__name__)

#: The key of the set of workers, and the prefix of the key of each report.
REPORTS = "certworker:health"

REPORT_EVERY_SECONDS = 10.0
#: A report expires after this time: a worker may miss two intervals.
FRESH = timedelta(seconds=30)

#: The limits of the number and the size of the reports that are read, because every program with access to
#: Redis can write reports.
MAX_WORKERS = 1_000
LONGEST_REPORT = 10_000
LONGEST_ID = 100
MAX_LOOPS = 50
#: The maximum number of seconds in a report. A longer time counts as 0.
DAY_SECONDS = 86_400

#: The maximum number of calls in the log line of a stalled loop.
MAX_CALLS = 4


class Health:
    """
    The health of this worker: logs stalled loops, and reports to Redis.

    Args:
        connection: The connection to Redis.
        heartbeats: The heartbeats of the worker's loops.
        scheduler: Returns whether the scheduler is running.
        proxy: Returns the load of the proxy, with the fields of :class:`ProxyReport`.
        clock: Returns whether the clock is correct; None if unknown.

    Attributes:
        loop: The loop that reports, and its heartbeat.
    """

    def __init__(
        self,
        connection: Redis,
        heartbeats: Heartbeats,
        scheduler: Callable[[], bool],
        proxy: Callable[[], Mapping[str, float]] = dict,
        clock: Callable[[], bool | None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._heartbeats = heartbeats
        self._scheduler = scheduler
        self._proxy = proxy
        self._clock = clock
        self._id = uuid4().hex
        self._stalled: set[str] = set()
        #: Whether the last step reported to Redis; None before the first step.
        self._reported: bool | None = None
        faults = Faults("the health report", explainer(connection))
        self.loop = Loop("health", self._step, faults=faults)
        heartbeats.add(self.loop.heartbeat)

    def report(self) -> dict[str, object]:
        """
        Return whether the worker is `healthy`, whether `redis` responds and the `scheduler` is running, and
        the `stalled` loops.

        This method sends one PING. If the PING fails, `reason` contains the error.
        """
        scheduler, stalled = self._scheduler(), [each.name for each in self._heartbeats.stalled()]
        parts: dict[str, object] = {"redis": True, "scheduler": scheduler, "stalled": stalled}
        try:
            self._connection.ping()
        except RedisError as error:
            parts |= {"redis": False, "reason": printable(error)}
        return {"healthy": parts["redis"] is True and scheduler and not stalled, **parts}

    def stop(self) -> None:
        """
        Stop the loop and remove the report, which would describe a worker that is no longer running.
        """
        self.loop.stop()
        if self._reported:
            with suppress(RedisError):  # the report expires
                self._remove([self._id])

    def _step(self) -> float:
        first, self._reported = self._reported is None, False
        self._log_stalls()
        if first:
            self._remove(self._predecessors())
        report = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "proxy": self._proxy(),
            "clock": self._clock(),
            **self.report(),
        }
        with self._connection.pipeline(transaction=False) as pipeline:
            pipeline.set(_key(self._id), json.dumps(report), ex=FRESH)
            pipeline.sadd(REPORTS, self._id)
            for worker in _ids(self._connection):
                if not bound_expiry(self._connection, _key(worker), FRESH):
                    pipeline.srem(REPORTS, worker)
            pipeline.execute()
        self._reported = True
        return REPORT_EVERY_SECONDS

    def _predecessors(self) -> list[str]:
        """
        Return the workers on this host whose process has ended, or whose report has no process id or that of
        this process.

        A killed worker leaves its last report. `certworker health` would include that report until it
        expires.
        """
        return [
            worker
            for worker in _ids(self._connection)
            if (report := _report(self._connection, worker))
            and report.host == printable(socket.gethostname(), 100)
            and not _is_another_process(report.pid)
        ]

    def _remove(self, workers: Sequence[str]) -> None:
        if workers:
            self._connection.delete(*map(_key, workers))
            self._connection.srem(REPORTS, *workers)

    def _log_stalls(self) -> None:
        stalled = {each.name: each for each in self._heartbeats.stalled()}
        for name in stalled.keys() - self._stalled:
            failure = LoopStalled(host=socket.gethostname(), loops=name)
            calls = " > ".join(stalled[name].stack()[-MAX_CALLS:])
            logger.error(
                "the loop %s is executing %s: %s", name, calls, failure, extra={"code": failure.code}
            )
        for name in self._stalled - stalled.keys():
            logger.info("the loop %s is making progress again", name)
        self._stalled = set(stalled)


@dataclass(frozen=True)
class ProxyReport:
    """
    The load of the proxy that a worker reports for the last day.
    """

    #: The number of changes to the files. The proxy reloads after each change.
    reloads: int = 0
    #: The number of new certificates that the proxy has started to serve.
    served: int = 0
    #: The mean and the maximum number of seconds until the proxy served a new certificate.
    seconds: float = 0.0
    slowest: float = 0.0


@dataclass(frozen=True)
class Report:
    """
    A report that a worker wrote within the last 30 seconds.
    """

    host: str
    healthy: bool
    scheduler: bool
    stalled: tuple[str, ...]
    #: The error of Redis; empty if Redis answered.
    reason: str
    #: The process id; 0 if the report has none.
    pid: int = 0
    #: The version of certworker; empty if the report has none.
    version: str = ""
    proxy: ProxyReport = ProxyReport()
    #: Whether the clock of the worker agrees with that of the CA, as far as the worker knows.
    has_right_clock: bool = False

    def as_json(self) -> dict[str, object]:
        """
        Return what `/healthz` of that worker returns.
        """
        parts = {"healthy": self.healthy, "redis": not self.reason, "scheduler": self.scheduler}
        reason = {"reason": self.reason} if self.reason else {}
        return {**parts, "stalled": list(self.stalled), **reason}


def reports(connection: Redis) -> list[Report]:
    """
    Return the valid reports of all workers, at most :data:`MAX_WORKERS`, sorted by host.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    found = (_report(connection, worker) for worker in _ids(connection))
    return sorted(filter(None, found), key=lambda report: report.host)


def _report(connection: Redis, worker: str) -> Report | None:
    text = connection.getrange(_key(worker), 0, LONGEST_REPORT)
    return _parsed(decode_text(text)) if text else None


def _is_another_process(pid: int) -> bool:
    if pid in (0, os.getpid()):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _key(worker: str) -> str:
    return f"{REPORTS}:{worker}"


def _ids(connection: Redis) -> list[str]:
    members = cast("list[bytes]", connection.srandmember(REPORTS, MAX_WORKERS))
    return [decode_text(member) for member in members if len(member) <= LONGEST_ID]


def _proxy_in(found: object) -> ProxyReport:
    values = found if isinstance(found, dict) else {}
    reloads, served = (count_in(values.get(name)) for name in ("reloads", "served"))
    seconds, slowest = (_seconds_in(values.get(name)) for name in ("seconds", "slowest"))
    return ProxyReport(reloads, served, seconds, slowest)


def _seconds_in(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= DAY_SECONDS else 0.0


def _parsed(text: str) -> Report | None:
    # Every program with access to Redis can write a report.
    try:
        found = json.loads(text)
        pid = found.get("pid")
        return Report(
            printable(found["host"], 100),
            found["healthy"] is True,
            found["scheduler"] is True,
            tuple(printable(loop, 100) for loop in found["stalled"][:MAX_LOOPS]),
            printable(found.get("reason", ""), 200),
            pid if isinstance(pid, int) and pid > 0 else 0,
            printable(found.get("version", ""), 100),
            _proxy_in(found.get("proxy")),
            found.get("clock") is True,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
