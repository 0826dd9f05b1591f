"""
Records the forced requests of names, so that every retry is forced until one succeeds.

A job records its request before it waits for a lock. A repeated job finds the request of its earlier run: it
orders nothing if that run, or a retry, has completed the request.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from redis import Redis

from certworker.errors import printable
from certworker.job_slot import current_slot
from certworker.state.domain_records import RECORDS, RECORDS_PER_COMMAND, DomainRecord, DomainRecords
from certworker.state.forced_request import BEGUN, LONGEST_REQUESTER, REQUEST, ForcedRequest


@dataclass(frozen=True)
class ForcedRequests:
    """
    Records forced requests in the records of their names.
    """

    connection: Redis
    records: DomainRecords
    clock: Callable[[], datetime]

    def record(
        self, names: tuple[str, ...], by: object, *, tenant: str | None, is_allowed: bool
    ) -> ForcedRequest:
        """
        Record the forced request of the running job for *names*, and return it.

        If the job is repeated, or its request waited in a priority queue, return the earlier request instead,
        which may already be completed. If a name has no record, record nothing before its first attempt.

        Args:
            names: The names.
            by: The requester in the job, not verified.
            tenant: The tenant of the request; None: it names none.
            is_allowed: Whether to record the request before the attempt checks the ownership of the names.

        Raises:
            redis.RedisError: Redis failed.
        """
        slot, records = current_slot(), list(self.records.read_many(names))
        request = self._new(names, by, slot.run)
        found = records[0].forced if records[0] else None
        if found and set(found.names) == set(names):
            is_repeated = bool(found.run) and found.run == slot.abandoned_run
            # The request of a tenant without a proof is not recorded while it waits in a priority queue. So
            # a request with a run, or of an unproven tenant, is another one.
            if is_repeated or (slot.was_deferred and (tenant is None or (is_allowed and not found.run))):
                request = replace(found, by=request.by or found.by, run=slot.run)
        if is_allowed and all(records):
            self._write([request])
        return request

    def defer(self, requests: Iterable[tuple[tuple[str, ...], object]]) -> None:
        """
        Record forced *requests* that are waiting in a priority queue: the names and the requester of each.

        The attempt must not have to check the ownership of these names.

        Raises:
            redis.RedisError: Redis failed.
        """
        self._write([self._new(names, by, "") for names, by in requests])

    def is_pending(self, names: tuple[str, ...]) -> bool:
        """
        Return whether a forced request for exactly *names* is pending.

        Raises:
            redis.RedisError: Redis failed.
        """
        record = self.records.read(names[0])
        return bool(record and record.forced and record.forced.is_for(names))

    def find(
        self, names: tuple[str, ...], record: DomainRecord | None, token: int, *, force: bool, by: object
    ) -> ForcedRequest | None:
        """
        Return the forced request that an attempt for *names* has to complete; None if there is none.

        Args:
            names: The names of the request.
            record: The record of the first name; None: there is none.
            token: The fencing token of the lease for the attempt.
            force: Whether the job itself is forced. Then there is a request, even if its record was lost.
            by: The requester in the job, not verified.
        """
        pending = record.forced if record and record.forced and record.forced.is_for(names) else None
        if pending is None and not force:
            return None
        request = pending or self._new(names, by, current_slot().run)
        # A token above that of the lease is invalid: Redis has lost its counter, or another program wrote it.
        began = 0 < request.first_token <= token
        return request if began else replace(request, first_token=token)

    def begin(self, request: ForcedRequest, record: DomainRecord | None) -> None:
        """
        Record that an attempt for *request* begins.

        Args:
            request: The result of :meth:`find`.
            record: The record of the first name; None: there is none.

        Raises:
            redis.RedisError: Redis failed.
        """
        known = record.forced if record else None
        if known is None or known.id != request.id:
            self._write([request])
        elif known.first_token != request.first_token:
            # A later request may have replaced this one since the names were locked.
            with self.connection.pipeline(transaction=True) as pipe:
                for name in request.names:
                    pipe.hset(RECORDS + name, BEGUN, _begun(request))
                pipe.execute()

    def _new(self, names: tuple[str, ...], by: object, run: str) -> ForcedRequest:
        requester = printable(by, LONGEST_REQUESTER) if by else ""
        return ForcedRequest(secrets.token_hex(8), names, self.clock(), requester, run)

    def _write(self, requests: Sequence[ForcedRequest]) -> None:
        pairs = [(name, request) for request in requests for name in request.names]
        for start in range(0, len(pairs), RECORDS_PER_COMMAND):
            with self.connection.pipeline(transaction=True) as pipe:
                for name, request in pairs[start : start + RECORDS_PER_COMMAND]:
                    fields: dict[Any, Any] = {REQUEST: request.as_json()}
                    if request.first_token:
                        fields[BEGUN] = _begun(request)
                    pipe.hset(RECORDS + name, mapping=fields)
                pipe.execute()


def _begun(request: ForcedRequest) -> str:
    return f"{request.id} {request.first_token}"
