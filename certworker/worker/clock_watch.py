"""
Leaves the jobs to other workers while the clock of this worker is wrong.

With a wrong clock, each order fails before it begins (`clock.skew`), and the next attempt follows later. So a
worker takes no jobs while another healthy worker has a correct clock. Without such a worker, it takes jobs,
because jobs such as removals need no correct clock.

The clock of the CA decides, as in the check before an order. The clock of Redis may itself be wrong.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta

from redis import Redis

from certworker.acme.client import AcmeClient
from certworker.errors import CertworkerError, printable
from certworker.errors.fs import ClockSkew
from certworker.preflight.machine import MAX_CLOCK_OFFSET
from certworker.redis.failures import explainer
from certworker.supervision import Faults, Loop
from certworker.worker.health import Report, reports

logger = logging.getLogger(__name__)

#: How often the clock is checked. Only an unknown or wrong clock needs a request to the CA.
CHECK_SECONDS = 30.0


class ClockWatch:
    """
    A loop that compares the clock of this worker with that of the CA.

    Args:
        client: The client of the preferred CA.
        connection: The connection to Redis, with the reports of the other workers.
        retry: Retries the names whose orders failed because of the clock. Called with the offset of the
            clock, because these names were planned by the wrong clock.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(self, client: AcmeClient, connection: Redis, retry: Callable[[timedelta], object]) -> None:
        self._client = client
        self._connection = connection
        self._retry = retry
        self._is_retry_due = False
        self._is_measured = False
        self._is_right: bool | None = None
        self._leaves_jobs = False
        faults = Faults("the check of the clock", explainer(connection))
        self.loop = Loop("clock", self.step, faults=faults)

    def is_right(self) -> bool | None:
        """
        Return whether the clock of this worker is correct; None if unknown.
        """
        return self._is_right

    def leaves_jobs(self) -> bool:
        """
        Return whether this worker takes no jobs now.
        """
        return self._leaves_jobs

    def step(self) -> float:
        """
        Check the clock, and decide whether to leave jobs to others; return the seconds until the next check.

        Raises:
            redis.RedisError: Redis failed. Then this worker takes jobs.
        """
        left = self._leaves_jobs
        was_right, self._is_right = self._is_right, self._check()
        # If Redis fails now, this worker takes jobs.
        self._leaves_jobs = False
        self._leaves_jobs = self._is_right is False and any(map(_may_take_jobs, reports(self._connection)))
        if self._leaves_jobs and not left:
            logger.warning(
                "[%s] the clock of this server is wrong, so this worker leaves the jobs to workers with a "
                "correct clock. %s",
                ClockSkew.code,
                ClockSkew.remedy_template,
                extra={"code": ClockSkew.code},
            )
        elif left and not self._leaves_jobs:
            reason = "its clock is correct" if self._is_right else "no worker with a correct clock is running"
            logger.info("this worker takes jobs again: %s", reason)
        self._is_retry_due |= self._leaves_jobs and not left
        self._is_retry_due |= self._is_right is True and was_right is False
        if self._is_retry_due:
            self._retry(self._client.clock_offset or timedelta())
            self._is_retry_due = False
        return CHECK_SECONDS

    def _check(self) -> bool | None:
        offset = self._client.clock_offset
        if not self._is_measured or is_wrong(offset):
            try:
                offset = self._client.measure_clock()
                self._is_measured = True
            except CertworkerError:
                # The orders report an unreachable CA.
                offset = self._client.clock_offset
        return None if offset is None else not is_wrong(offset)


def _may_take_jobs(report: Report) -> bool:
    # The last report of this worker may be from a time when its clock was correct.
    is_own = (report.host, report.pid) == (printable(socket.gethostname(), 100), os.getpid())
    return report.healthy and report.has_right_clock and not is_own


def is_wrong(offset: timedelta | None) -> bool:
    """
    Return whether the *offset* of the clock prevents orders.
    """
    return offset is not None and abs(offset) > MAX_CLOCK_OFFSET
