"""
Clears the queue: requests that have to wait go to their lanes, hundreds at a time, the others come first.

The queue only brings requests in. One by one, five thousand requests of one tenant would keep everybody
behind them waiting for half a minute, and no slot would do anything else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from redis import Redis

from certworker.domains import requested_names, tenant_of
from certworker.errors import CertworkerError
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.priority_queues import UNTIL_A_LOST_LANE_IS_MISSED, PriorityQueues, Request
from certworker.worker.bulk import BulkQueue, new_job
from certworker.worker.job_class import JOB_ID, AllowlistedJob
from certworker.worker.payload import Call, read_call
from certworker.worker.producer import ISSUE, wake_at
from certworker.worker.slots import Slots

logger = logging.getLogger(__name__)

#: Between two that came at the same time.
MICROSECOND = 1e-6

#: Then the slots are looked after again.
MAX_BATCHES = 10

#: The arguments of a request, in the order in which a job may give them without their names.
ARGUMENTS = ("domain", "domains", "force", "use_full_quota", "tenant", "by")


@dataclass(frozen=True)
class Dispatched:
    """
    A job that was a request in the lanes, and whose it is.
    """

    id: str
    #: Its hash in Redis.
    fields: Mapping[str, str]
    tenant: str


class FairScheduler:
    """
    Between the queue, the lanes and the slots of a worker.

    Args:
        slots: Of the worker.
        private_names: Whether names are fine that only a private network knows.
        clock: The time in UTC.
    """

    def __init__(
        self, connection: Redis, slots: Slots, *, private_names: bool, clock: Callable[[], datetime]
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._private_names = private_names
        self._priority_queues = PriorityQueues(connection)
        self._backlog = False
        #: Tenants that had to wait. What else they want waits behind that, though they hold no slot just now.
        self._waiting: set[str] = set()
        self._agenda = Agenda(connection, partial(wake_at, connection))
        self._records = DomainRecords(connection)
        self._batches = BulkQueue(connection)

    def tenant_of(self, job: AllowlistedJob) -> str | None:
        """
        Whose *job* is; None if it is no request for a certificate, or none that could be issued.
        """
        if job.failure or job.func_name != ISSUE:
            return None
        request = self._request(Call(ISSUE, list(job.args), dict(job.kwargs)))
        return request.tenant if request else None

    def has_backlog(self) -> bool:
        """
        Whether requests wait in the lanes, as far as this worker has seen.
        """
        return self._backlog

    def may_start(self, tenant: str | None) -> bool:
        """
        Whether a request of *tenant* from the queue may have the slot that is free.
        """
        return tenant not in self._waiting and self._slots.may_start(tenant)

    def relieve_backlog(self) -> None:
        """
        While no slot is free: see that no more than a few requests wait on the queue.
        """
        if self._batches.left() > 2 * self._slots.count:
            self.drain_queue()

    def drain_queue(self, *taken: bytes) -> None:
        """
        Let the requests on the queue wait in their lanes, until there are some that may start.

        It begins at the end of the queue, where a newcomer behind a backlog is. What may start comes to the
        head of the queue, and so does what is no plain request. Whenever the worker dies in here, each id is
        still in between the lists, from where it comes back.

        Args:
            taken: Ids that are in between already.
        """
        tenants: Counter[str] = Counter()
        began = self._clock().timestamp()
        for _ in range(MAX_BATCHES):
            left, parked, first = self._sorted(taken)
            taken = ()
            if parked:
                self._defer(parked, began + left * MICROSECOND)
                self._backlog = True
                self._waiting.update(request.tenant for request in parked.values())
                tenants.update(request.tenant for request in parked.values())
            if first:
                self._batches.requeue(first)
            if first or not parked:
                break
        if tenants:
            logger.info(
                "%d requests wait for a slot, most of them of %s",
                tenants.total(),
                tenants.most_common(1)[0][0],
                extra={"event": "waiting"},
            )

    def put_back(self, taken: bytes) -> None:
        """
        Let the id *taken*, which is in between, be the first of the queue again.
        """
        self._batches.requeue([taken])

    def dispatch(self) -> Dispatched | None:
        """
        The next request of the lanes as a job in between the lists; None if nobody waits.
        """
        job = new_job(ISSUE, self._clock())
        taken = self._priority_queues.take(job, self._slots.over_quota_tenants())
        self._backlog = taken is not None
        if taken is None:
            self._waiting.clear()
            return None
        if not taken.more:
            self._waiting.discard(taken.tenant)
        return Dispatched(job.id, taken.fields, taken.tenant)

    def _sorted(self, taken: Sequence[bytes]) -> tuple[int, dict[bytes, Request], list[bytes]]:
        """
        A portion of the queue: how many are before it, what has to wait, and what comes to the head.
        """
        parked: dict[bytes, Request] = {}
        first: list[bytes] = []
        starting: set[str] = set()
        left, jobs = self._batches.take(taken)
        for raw_id, data in jobs.items():
            request = self._plain_request(raw_id, data)
            if request is None:
                first.append(raw_id)
            elif (
                request.tenant not in starting | self._waiting
                and len(starting) < self._slots.count
                and self._slots.is_idle_tenant(request.tenant)
            ):
                starting.add(request.tenant)
                first.append(raw_id)
            else:
                parked[raw_id] = request
        return left, parked, first

    def _plain_request(self, raw_id: bytes, data: bytes | None) -> Request | None:
        if data is None or not JOB_ID.fullmatch(raw_id.decode("ascii", "backslashreplace")):
            return None
        try:
            call = read_call(data)
        except CertworkerError:
            return None
        return self._request(call) if call.function == ISSUE else None

    def _request(self, call: Call) -> Request | None:
        # What is wrong with it is told when it runs, and it runs at once.
        unnamed, count = ARGUMENTS[: len(call.arguments)], len(call.arguments)
        if count > len(ARGUMENTS) or not call.keywords.keys() <= set(ARGUMENTS) - set(unnamed):
            return None
        given: Mapping[str, Any] = dict(zip(unnamed, call.arguments, strict=True)) | call.keywords
        force, use_full_quota = given.get("force", False), given.get("use_full_quota", False)
        if not (isinstance(force, bool) and isinstance(use_full_quota, bool)):
            return None
        try:
            names = requested_names(given.get("domain"), given.get("domains"), private=self._private_names)
            return Request(names, tenant_of(given.get("tenant"), names), force, use_full_quota)
        except CertworkerError:
            return None

    def _defer(self, parked: Mapping[bytes, Request], number: float) -> None:
        # First all that says that they wait, last that their jobs have ended: nothing is ever nowhere.
        now = self._clock()
        later = now + UNTIL_A_LOST_LANE_IS_MISSED
        self._priority_queues.put(
            "new", {each: number + n * MICROSECOND for n, each in enumerate(parked.values())}
        )
        moments = {name: later for request in parked.values() for name in request.names}
        # A renewal that is planned sooner stays planned.
        self._agenda.put_many(moments, at_the_latest=True)
        self._records.defer((request.names for request in parked.values()), next_check=later, now=now)
        self._batches.end(
            {raw_id: {"state": "waiting", "names": request.names} for raw_id, request in parked.items()}, now
        )
