"""
Moves requests that have to wait from the queue to the priority queues, in batches of hundreds.

RQ's queue has no priorities. Five thousand requests from one tenant would occupy all slots, and would delay
the requests behind them by 30 seconds.

:mod:`certworker.state.priority_queues` defines the order.
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
from certworker.issuance.forced_requests import ForcedRequests
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from certworker.state.priority_queues import LOST_QUEUE_CHECK, PriorityQueues, Request
from certworker.worker.bulk import BulkQueue, new_job
from certworker.worker.job_class import JOB_ID, AllowlistedJob
from certworker.worker.payload import Call, read_call
from certworker.worker.producer import ISSUE, wake_at
from certworker.worker.slots import Slots

logger = logging.getLogger(__name__)

#: The difference in seconds between the scores of two consecutive requests in a batch.
MICROSECOND = 1e-6

#: The maximum number of batches before the worker checks its slots again.
MAX_BATCHES = 10

#: Returns whether a tenant, if any, needs no further proof for names.
IsProven = Callable[[tuple[str, ...], str | None], bool]

#: The parameters of a request, in the order of positional arguments.
ARGUMENTS = ("domain", "domains", "force", "use_full_quota", "tenant", "by")


@dataclass(frozen=True)
class Dispatched:
    """
    A job that was created from a request in a priority queue.
    """

    id: str
    #: The fields of its hash in Redis.
    fields: Mapping[str, str]
    tenant: str
    #: When a request with the priority `new` was enqueued; None for any other priority, or if unknown.
    requested_at: datetime | None


class FairScheduler:
    """
    Distributes requests among the queue, the priority queues, and the slots of a worker.

    Args:
        connection: The connection to Redis.
        slots: The slots of the worker.
        private_names: Whether the CA issues certificates for names of a private network.
        wildcards: Whether wildcards are accepted.
        is_proven: Returns whether a tenant needs no further proof for names.
        clock: Returns the time in UTC.
    """

    def __init__(
        self,
        connection: Redis,
        slots: Slots,
        *,
        private_names: bool,
        wildcards: bool,
        is_proven: IsProven,
        clock: Callable[[], datetime],
    ) -> None:
        self._slots = slots
        self._is_proven = is_proven
        self._clock = clock
        self._accepted = partial(requested_names, private=private_names, wildcards=wildcards)
        self._priority_queues = PriorityQueues(connection)
        self._backlog = False
        #: Tenants with deferred requests. New requests from such a tenant wait behind its deferred ones, even
        #: if the tenant holds no slot.
        self._waiting: set[str] = set()
        self._agenda = Agenda(connection, partial(wake_at, connection))
        self._records = DomainRecords(connection)
        self._forced = ForcedRequests(connection, self._records, clock)
        self._batches = BulkQueue(connection)

    def tenant_of(self, job: AllowlistedJob) -> str | None:
        """
        Return the tenant of *job*; None if the job is not a valid request for a certificate.
        """
        if job.failure or job.func_name != ISSUE:
            return None
        request = self._request(Call(ISSUE, list(job.args), dict(job.kwargs)))
        return request.tenant if request else None

    def has_backlog(self) -> bool:
        """
        Return whether requests are waiting in the priority queues, as far as this worker knows.
        """
        return self._backlog

    def may_start(self, tenant: str | None) -> bool:
        """
        Return whether a request from *tenant* on the queue may take a free slot.
        """
        return tenant not in self._waiting and self._slots.may_start(tenant)

    def relieve_backlog(self) -> None:
        """
        Drain the queue if it has more than twice as many jobs as this worker has slots.
        """
        if self._batches.left() > 2 * self._slots.count:
            self.drain_queue()

    def drain_queue(self, *taken: bytes) -> None:
        """
        Move at most :data:`MAX_BATCHES` batches to the priority queues, until a job on the queue may start.

        The moves begin at the end of the queue, where the requests from new tenants are. Requests that may
        start, and jobs that need a closer check, go to the head of the queue. If the worker crashes, another
        worker recovers the ids from the intermediate list.

        Args:
            taken: Ids that this worker has already moved to the intermediate list.
        """
        tenants: Counter[str] = Counter()
        began = self._clock().timestamp()
        for _ in range(MAX_BATCHES):
            left, deferred, first = self._sort(taken)
            taken = ()
            if deferred:
                self._defer(deferred, began + left * MICROSECOND)
                self._backlog = True
                self._waiting.update(request.tenant for request in deferred.values())
                tenants.update(request.tenant for request in deferred.values())
            if first:
                self._batches.requeue(first)
            if first or not deferred:
                break
        if tenants:
            logger.info(
                "requests moved to the priority queues: %d; tenant with the most: %s",
                tenants.total(),
                tenants.most_common(1)[0][0],
                extra={"event": "waiting"},
            )

    def requeue(self, taken: bytes) -> None:
        """
        Move the id *taken* from the intermediate list to the head of the queue.
        """
        self._batches.requeue([taken])

    def dispatch(self) -> Dispatched | None:
        """
        Take the next request from the priority queues. Return a new job for it; None if there is no request.

        The id of the job is in the intermediate list.
        """
        job = new_job(ISSUE, self._clock())
        taken = self._priority_queues.take(job, self._slots.over_quota_tenants())
        self._backlog = taken is not None
        if taken is None:
            self._waiting.clear()
            return None
        if not taken.more:
            self._waiting.discard(taken.tenant)
        return Dispatched(job.id, taken.fields, taken.tenant, taken.enqueued)

    def _sort(self, taken: Sequence[bytes]) -> tuple[int, dict[bytes, Request], list[bytes]]:
        """
        Take a batch from the queue and sort it.

        Returns:
            The number of jobs before the batch on the queue; the requests to defer, by the ids of their jobs;
            and the ids to put at the head of the queue.
        """
        deferred: dict[bytes, Request] = {}
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
                deferred[raw_id] = request
        return left, deferred, first

    def _plain_request(self, raw_id: bytes, data: bytes | None) -> Request | None:
        if data is None or not JOB_ID.fullmatch(raw_id.decode("ascii", "backslashreplace")):
            return None
        try:
            call = read_call(data)
        except CertworkerError:
            return None
        return self._request(call) if call.function == ISSUE else None

    def _request(self, call: Call) -> Request | None:
        # An invalid request is not deferred, and its job reports the error.
        positional, count = ARGUMENTS[: len(call.arguments)], len(call.arguments)
        if count > len(ARGUMENTS) or not call.keywords.keys() <= set(ARGUMENTS) - set(positional):
            return None
        values: Mapping[str, Any] = dict(zip(positional, call.arguments, strict=True)) | call.keywords
        force, use_full_quota = values.get("force", False), values.get("use_full_quota", False)
        if not (isinstance(force, bool) and isinstance(use_full_quota, bool)):
            return None
        try:
            names = self._accepted(values.get("domain"), values.get("domains"))
            given = values.get("tenant")
            tenant = tenant_of(given, names)
            named, by = given is not None, values.get("by")
            return Request(names, tenant, force, use_full_quota, names_tenant=named, by=by)
        except CertworkerError:
            return None

    def _defer(self, deferred: Mapping[bytes, Request], score: float) -> None:
        # The end of the jobs is recorded last, so that a crash loses no request.
        now = self._clock()
        later = now + LOST_QUEUE_CHECK
        # A worker may take a request as soon as it is in a priority queue. So forced requests are recorded
        # first, except those whose attempt has to check the ownership of the names.
        forced = [
            (each.names, each.by)
            for each in deferred.values()
            if each.force and self._is_proven(each.names, each.tenant if each.names_tenant else None)
        ]
        self._forced.defer(forced)
        self._priority_queues.put(
            "new", {each: score + n * MICROSECOND for n, each in enumerate(deferred.values())}
        )
        checks = {name: later for request in deferred.values() for name in request.names}
        # A check that is already planned for an earlier time stays planned.
        self._agenda.put_many(checks, at_the_latest=True)
        self._records.defer((request.names for request in deferred.values()), next_check=later, now=now)
        tenants = {
            name: each.tenant for each in deferred.values() if each.names_tenant for name in each.names
        }
        self._records.record_tenants(tenants)
        self._batches.end(
            {raw_id: {"state": "waiting", "names": request.names} for raw_id, request in deferred.items()},
            now,
        )
