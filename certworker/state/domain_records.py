"""
The last outcome of each name: its state, and its certificate or its failure.

::

    start ──► issuing ──┬─► issued     attempts reset to 0, failure removed; `covered` if by a wildcard
                ▲       ├─► failed     attempts + 1; the record retains the certificate in service
                │       ├─► waiting    for the reset of a limit, for example; the attempt is not counted
                │       ├─► paused     by the CA, for 7 days or until resumed; the attempt is not counted
                │       └─► moved      to another server, until the name is back; the attempt is not counted
                └──────────── at the next attempt, from each state

`certworker status` shows the record. The record preserves the number of attempts across restarts. If Redis
loses a record, the next job for the name writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from redis import Redis
from redis.client import Pipeline

from certworker.errors import CertworkerError, Retry
from certworker.errors.dns import Moved
from certworker.errors.rate import Paused
from certworker.errors.systemd import for_this_machine
from certworker.redis.codec import (
    count_in,
    decode_text,
    decode_time,
    encode_time,
    names_in_json,
    shown_in,
)
from certworker.redis.shared_trips import send_with_next
from certworker.state.forced_request import COMPLETED, ForcedRequest, forced_in
from certworker.state.record_scripts import CLAIM, DEFER, READ, RECORD_TENANT
from certworker.storage.metadata import CertificateMetadata

RECORDS = "certworker:name:"

#: The field that requires a dry run before the next order.
DRY_RUN = "rehearse"

State = Literal["issued", "covered", "failed", "waiting", "paused", "moved", "issuing"]
STATES: tuple[State, ...] = get_args(State)
#: The states after a success.
SERVED: tuple[State, ...] = ("issued", "covered")

#: The maximum number of records of one command. Redis serves other clients between two commands.
RECORDS_PER_COMMAND = 500

#: The maximum number of characters of a code, a serial number or a label.
LONGEST_WORD = 100

#: The maximum number of characters of a tenant. A longer or unprintable tenant counts only for fair queueing.
LONGEST_TENANT = 253

#: The character that replaces invalid bytes of a string.
REPLACEMENT = "\ufffd"

#: The message of a request that waits for a slot.
DEFERRED_MESSAGE = "The request is waiting for a free slot, and starts automatically."

#: The maximum number of fields of a record, including those of other programs.
MOST_FIELDS = 64
#: The maximum number of bytes of a record, and of the records in one reply. The last record in a reply may
#: exceed the limit of the reply.
LARGEST_RECORD = 64 * 1024
LARGEST_REPLY = 4 * 1024 * 1024


@dataclass(frozen=True)
class DomainRecord:
    """
    The last outcome of one name.
    """

    name: str
    #: All names of the certificate, including the name itself.
    names: tuple[str, ...]
    state: State
    #: The last failure; empty after a success. While a request waits for a slot, only the message is set.
    code: str
    message: str
    remedy: str
    #: The number of counted failures since the last success.
    attempts: int
    #: The number of consecutive unfinished attempts: the one in progress, and those whose worker crashed.
    crashes: int
    #: The certificate in service, even after later failures.
    not_before: datetime | None
    not_after: datetime | None
    serial: str
    authority: str
    #: The time of the next check; None if the record has no valid time.
    next_check: datetime | None
    updated: datetime
    #: The tenant that has proved the ownership of the name, else the tenant in the last request that named
    #: one; empty if there is none.
    tenant: str = ""
    #: Whether a CA failed to validate the name, and neither a dry run nor an order has succeeded since.
    needs_dry_run: bool = False
    #: The last forced request, pending or completed.
    forced: ForcedRequest | None = None


class DomainRecords:
    """
    The records of all names, each in one Redis hash.

    Methods raise redis.RedisError if Redis fails. With a transaction in *pipe*, they only add commands to it.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._read = connection.register_script(READ)
        self._defer = connection.register_script(DEFER)
        self._claim = connection.register_script(CLAIM)
        self._record_tenant = connection.register_script(RECORD_TENANT)

    def read(self, name: str) -> DomainRecord | None:
        """
        Return the record of *name*, or None if it is missing or invalid.
        """
        return next(self.read_many([name]))

    def ask(self, name: str) -> Callable[[], DomainRecord | None]:
        """
        Read the record of *name* together with the next command; return a function that returns the record.
        """
        limits = (MOST_FIELDS, LARGEST_RECORD, LARGEST_REPLY)
        reply = send_with_next(self._connection, "EVAL", READ, 1, RECORDS + name, *limits)
        return lambda: next(_records([name], reply.value()))

    def read_many(self, names: Sequence[str]) -> Iterator[DomainRecord | None]:
        """
        Yield the record of each of *names* in order, or None for a name without a valid record.
        """
        limits = [MOST_FIELDS, LARGEST_RECORD, LARGEST_REPLY]
        first = 0
        while batch := names[first : first + RECORDS_PER_COMMAND]:
            found = list(_records(batch, self._read([RECORDS + name for name in batch], limits)))
            yield from found
            first += len(found)

    def start_attempt(
        self, names: Sequence[str], *, next_check: datetime, now: datetime, pipe: Pipeline | None = None
    ) -> None:
        """
        Record the start of an attempt for *names*. After a crash, the next attempt is at *next_check*.
        """
        fields = {"state": "issuing", "next_check": encode_time(next_check), "updated": encode_time(now)}
        self._write(names, fields, counting="unfinished", pipe=pipe)

    def record_issued(
        self,
        names: Sequence[str],
        metadata: CertificateMetadata,
        *,
        covered: bool = False,
        completed: str | None = None,
        next_check: datetime,
        now: datetime,
        pipe: Pipeline | None = None,
    ) -> None:
        """
        Record that the certificate with this *metadata* serves *names*.

        Args:
            names: The names.
            metadata: The metadata of the certificate.
            covered: Whether the certificate is for a wildcard that covers the names.
            completed: The id of the forced request that the certificate completes; None: it completes none.
            next_check: The time of the next check of the names.
            now: The current time.
        """
        fields = {
            "state": "covered" if covered else "issued",
            "attempts": "0",
            "not_before": encode_time(metadata.not_before),
            "not_after": encode_time(metadata.not_after),
            "serial": metadata.serial,
            "authority": metadata.authority,
            "next_check": encode_time(next_check),
            "updated": encode_time(now),
            **({COMPLETED: completed} if completed else {}),
        }
        self._write(names, fields, without=("code", "message", "remedy", "unfinished", DRY_RUN), pipe=pipe)

    def add_tenant(self, name: str, pipe: Pipeline) -> None:
        """
        Add a command to *pipe* that reads the tenant of *name*. :func:`tenant_in` decodes the reply.
        """
        pipe.hget(RECORDS + name, "tenant")

    def record_failed(
        self,
        names: Sequence[str],
        failure: CertworkerError,
        *,
        next_check: datetime,
        now: datetime,
        pipe: Pipeline | None = None,
    ) -> None:
        """
        Record that *names* have no new certificate because of *failure*. Count it only in the state `failed`.
        """
        fields = _failure_fields(failure, next_check, now)
        if failure.retry is Retry.CA and failure.problem:
            fields[DRY_RUN] = "1"
        counting = "attempts" if fields["state"] == "failed" else None
        self._write(names, fields, without=("unfinished",), counting=counting, pipe=pipe)

    def defer(self, requests: Iterable[tuple[str, ...]], *, next_check: datetime, now: datetime) -> None:
        """
        Record that the names of *requests*, possibly thousands, are waiting for a slot.

        Args:
            requests: The names of each request.
            next_check: The time of the next check of the names, in case the priority queue is lost.
            now: The current time.
        """
        shared = {
            "state": "waiting",
            "message": DEFERRED_MESSAGE,
            "next_check": encode_time(next_check),
            "updated": encode_time(now),
        }
        flat = [part for field in shared.items() for part in field]
        names_of = {RECORDS + name: json.dumps(names) for names in requests for name in names}
        keys = list(names_of)
        for start in range(0, len(keys), RECORDS_PER_COMMAND):
            batch = keys[start : start + RECORDS_PER_COMMAND]
            names = [names_of[key] for key in batch]
            self._defer(batch, ["names", len(shared), *flat, "code", "remedy", *names])

    def record_tenants(self, tenants: Mapping[str, str]) -> None:
        """
        Record the tenant of each name in *tenants*. Ignore a tenant that is empty, unprintable or too long.

        A tenant that has proved the ownership of a name stays its tenant.
        """
        with self._connection.pipeline(transaction=False) as pipe:
            for name, tenant in tenants.items():
                if tenant and tenant_in(tenant) == tenant:
                    self._record_tenant([RECORDS + name], [tenant], client=pipe)
            pipe.execute()

    def record_owners(self, owners: Mapping[str, str]) -> None:
        """
        Record the tenant of each name in *owners*. The tenant has proved that it owns the name.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            for name, tenant in owners.items():
                pipe.hset(RECORDS + name, mapping={"tenant": tenant, "owner": tenant})
            pipe.execute()

    def owner_of(self, name: str) -> str:
        """
        Return the tenant that has proved the ownership of *name*; empty if none has.
        """
        return tenant_in(self._connection.hget(RECORDS + name, "owner"))

    def claim(self, names: Sequence[str], tenant: str) -> str | None:
        """
        Record *tenant* for all of *names*, before their first attempt.

        Returns:
            The first name whose record has another tenant, or no tenant. Then nothing is recorded. None:
            there is no such name.
        """
        position = self._claim([RECORDS + name for name in names], [tenant])
        return names[position - 1] if position else None

    def tenant_of(self, name: str) -> str:
        """
        Return the tenant of *name*, which may be recorded before the first attempt; empty if there is none.
        """
        return tenant_in(self._connection.hget(RECORDS + name, "tenant"))

    def attempts(self, name: str) -> int:
        """
        Return how many counted attempts for *name* have failed since the last success.
        """
        return count_in(self._connection.hget(RECORDS + name, "attempts"))

    def needs_dry_run(self, name: str) -> bool:
        """
        Return whether a CA failed to validate *name*, and neither a dry run nor an order has succeeded since.
        """
        return self._connection.hexists(RECORDS + name, DRY_RUN)

    def record_dry_run(self, names: Sequence[str]) -> None:
        """
        Record that a dry run for *names* succeeded.
        """
        for name in names:
            self._connection.hdel(RECORDS + name, DRY_RUN)

    def forget(self, name: str) -> None:
        """
        Remove the record of *name*.
        """
        self._connection.delete(RECORDS + name)

    def _write(
        self,
        names: Sequence[str],
        fields: dict[str, str],
        *,
        without: Sequence[str] = (),
        counting: str | None = None,
        pipe: Pipeline | None = None,
    ) -> None:
        values: dict[Any, Any] = {**fields, "names": json.dumps(list(names))}
        commands = self._connection.pipeline(transaction=True) if pipe is None else pipe
        for name in names:
            key = RECORDS + name
            commands.hset(key, mapping=values)
            if without:
                commands.hdel(key, *without)
            if counting:
                commands.hincrby(key, counting, 1)
        if pipe is None:
            commands.execute()


def _state_after(failure: CertworkerError) -> State:
    if isinstance(failure, Paused):
        return "paused"
    if isinstance(failure, Moved):
        return "moved"
    return "waiting" if failure.retry is Retry.UNTIL else "failed"


def _failure_fields(failure: CertworkerError, next_check: datetime, now: datetime) -> dict[str, str]:
    return {
        "state": _state_after(failure),
        "code": failure.code,
        "message": failure.message,
        "remedy": failure.docker_remedy,
        "next_check": encode_time(next_check),
        "updated": encode_time(now),
    }


def _records(names: Sequence[str], answer: bytes | str) -> Iterator[DomainRecord | None]:
    """
    Yield the records in the *answer* of the script, which may have only those of the first names.
    """
    for name, stored in zip(names, json.loads(decode_text(answer)), strict=False):
        fields = iter(stored or ())
        yield _record(name, dict(zip(fields, fields, strict=True)))


def _record(name: str, fields: Mapping[str, str]) -> DomainRecord | None:
    # Every program with access to Redis can write a record. An invalid record counts as lost.
    state = next((state for state in STATES if state == fields.get("state")), None)
    updated = decode_time(fields.get("updated"))
    if state is None or updated is None:
        return None
    return DomainRecord(
        name=name,
        names=_names(fields.get("names", ""), name),
        state=state,
        code=shown_in(fields.get("code"), LONGEST_WORD),
        message=shown_in(fields.get("message")),
        remedy=for_this_machine(shown_in(fields.get("remedy"))),
        attempts=count_in(fields.get("attempts")),
        crashes=count_in(fields.get("unfinished")),
        not_before=decode_time(fields.get("not_before")),
        not_after=decode_time(fields.get("not_after")),
        serial=shown_in(fields.get("serial"), LONGEST_WORD),
        authority=shown_in(fields.get("authority"), LONGEST_WORD),
        next_check=decode_time(fields.get("next_check")),
        updated=updated,
        tenant=tenant_in(fields.get("tenant")),
        needs_dry_run=DRY_RUN in fields,
        forced=forced_in(fields, name),
    )


def tenant_in(value: object) -> str:
    """
    Return the tenant in *value*; empty if it is too long, unprintable or not a string.
    """
    # A shortened, escaped or repaired string might be the name of another tenant.
    text = decode_text(value) if isinstance(value, bytes | str) else ""
    return text if text == shown_in(text, LONGEST_TENANT) and REPLACEMENT not in text else ""


def _names(text: str, name: str) -> tuple[str, ...]:
    names = names_in_json(text)
    return names if names and name in names else (name,)
