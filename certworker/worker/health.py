"""
The health of a worker: what it reports of itself, and what others read of it in Redis.

`/healthz` asks the worker. Where that is switched off, `certworker health` reads the report of the workers on
its machine in Redis, and `certworker doctor` reads those of all workers. A report expires soon, so each one
is fresh, whatever the clocks are.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import printable
from certworker.errors.worker import LoopStalled
from certworker.redis.codec import decode_text
from certworker.redis.failures import explainer
from certworker.state.once_per import bound_expiry
from certworker.supervision import Faults, Heartbeats, Loop

logger = logging.getLogger(__name__)

#: The keys of the reports, one for each worker.
REPORTS = "certworker:health"

REPORT_EVERY_SECONDS = 10.0
#: Two reports may be missed.
FRESH = timedelta(seconds=30)

#: Whoever may write to Redis may write anything there; of more than this nothing is read.
MOST_WORKERS = 1_000
LONGEST_REPORT = 10_000
LONGEST_ID = 100
MOST_LOOPS = 50

#: So many calls of a stalled loop are logged.
DEEPEST = 4


class Health:
    """
    Answers for the health of this worker, logs what is stalled, and reports to Redis.

    Args:
        scheduler: Whether the scheduler does its work.

    Attributes:
        loop: The loop that reports, and its heartbeat.
    """

    def __init__(self, connection: Redis, heartbeats: Heartbeats, scheduler: Callable[[], bool]) -> None:
        self._connection = connection
        self._heartbeats = heartbeats
        self._scheduler = scheduler
        self._id = uuid4().hex
        self._known: set[str] = set()
        faults = Faults("the report of the health", explainer(connection))
        self.loop = Loop("health", self._step, faults=faults)
        heartbeats.add(self.loop.heartbeat)

    def report(self) -> dict[str, object]:
        """
        Return whether the worker is `healthy`, and its parts: `redis`, `scheduler`, and what is `stalled`.

        It costs one PING. A Redis that does not answer has its `reason`.
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
        End; the last report expires soon.
        """
        self.loop.stop(0)

    def _step(self) -> float:
        self._log_stalls()
        said = {"host": socket.gethostname(), "pid": os.getpid(), **self.report()}
        with self._connection.pipeline(transaction=False) as pipeline:
            pipeline.set(_key(self._id), json.dumps(said), ex=FRESH)
            pipeline.sadd(REPORTS, self._id)
            for worker in _ids(self._connection):
                if not bound_expiry(self._connection, _key(worker), FRESH):
                    pipeline.srem(REPORTS, worker)
            pipeline.execute()
        return REPORT_EVERY_SECONDS

    def _log_stalls(self) -> None:
        stalled = {each.name: each for each in self._heartbeats.stalled()}
        for name in stalled.keys() - self._known:
            failure = LoopStalled(host=socket.gethostname(), loops=name)
            where = " > ".join(stalled[name].stack()[-DEEPEST:])
            logger.error("%s It executes: %s", failure, where, extra={"code": failure.code})
        for name in self._known - stalled.keys():
            logger.info("the loop %s makes progress again", name)
        self._known = set(stalled)


@dataclass(frozen=True)
class Report:
    """
    What a worker reported of itself in the last seconds.
    """

    host: str
    healthy: bool
    scheduler: bool
    stalled: tuple[str, ...]
    #: Why Redis did not answer it; empty if it did.
    reason: str

    def as_json(self) -> dict[str, object]:
        """
        Return what `/healthz` of that worker answers.
        """
        parts = {"healthy": self.healthy, "redis": not self.reason, "scheduler": self.scheduler}
        reason = {"reason": self.reason} if self.reason else {}
        return {**parts, "stalled": list(self.stalled), **reason}


def reports(connection: Redis) -> list[Report]:
    """
    Return the reports of all workers, sorted by host.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    texts = [connection.getrange(_key(each), 0, LONGEST_REPORT) for each in _ids(connection)]
    found = (_read(decode_text(text)) for text in texts if text)
    return sorted(filter(None, found), key=lambda report: report.host)


def _key(worker: str) -> str:
    return f"{REPORTS}:{worker}"


def _ids(connection: Redis) -> list[str]:
    members = cast("list[bytes]", connection.srandmember(REPORTS, MOST_WORKERS))
    return [decode_text(member) for member in members if len(member) <= LONGEST_ID]


def _read(text: str) -> Report | None:
    # Others can write to Redis, too.
    try:
        said = json.loads(text)
        return Report(
            printable(said["host"], 100),
            said["healthy"] is True,
            said["scheduler"] is True,
            tuple(printable(each, 100) for each in said["stalled"][:MOST_LOOPS]),
            printable(said.get("reason", ""), 200),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
