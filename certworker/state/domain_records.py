"""
The last outcome of each name: its state, and its certificate or its failure.

::

    start ──► issuing ──┬─► issued     attempts reset to 0, failure removed; `covered` if by a wildcard
                ▲       ├─► failed     attempts + 1; the record retains the certificate in service
                │       ├─► waiting    until a time (a limit of the CA); the attempt is not counted
                │       ├─► paused     by the CA, until the operator resumes it; the attempt is not counted
                │       └─► moved      to another server, until the name is back; the attempt is not counted
                └──────────── at the next check, from each state

`certworker status` shows the record. The record preserves the number of attempts across restarts. If Redis
loses a record, the next check writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from redis import Redis

from certworker.errors import CertworkerError, Retry
from certworker.errors.dns import Moved
from certworker.errors.rate import Paused
from certworker.redis.codec import (
    count_in,
    decode_text,
    decode_time,
    encode_time,
    json_in,
    names_in,
    shown_in,
)
from certworker.storage.metadata import CertificateMetadata

RECORDS = "certworker:name:"

#: The field that requires a dry run before the next order.
DRY_RUN = "rehearse"

State = Literal["issued", "covered", "failed", "waiting", "paused", "moved", "issuing"]
STATES: tuple[State, ...] = get_args(State)
#: The states after a success.
SERVED: tuple[State, ...] = ("issued", "covered")

#: The number of records that one command reads or writes. Redis serves other clients between two commands.
RECORDS_PER_COMMAND = 500

#: The maximum number of characters of a code, a serial number or a label.
LONGEST_WORD = 100

#: The maximum number of characters of a tenant. A longer or unprintable one counts only for fair queueing.
LONGEST_TENANT = 253

#: The character that replaces invalid bytes of a text.
REPLACEMENT = "\ufffd"

#: The message of a request that waits for a slot.
DEFERRED_MESSAGE = "Waits for a free slot; it starts automatically."

#: KEYS: records. ARGV: the maximum number of fields of a record, the maximum number of bytes of a record, and
#: that of all records together. Returns the fields of the first records as one JSON text. A pipeline of
#: HGETALL takes redis-py three times as long (2.2 s for 50,000 names). A record that is too large counts as
#: lost. The script removes it, because a later write would not make it readable.
_READ = """
local records, most, longest, left = {}, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i, key in ipairs(KEYS) do
    records[i] = false
    local count = redis.pcall('HLEN', key)
    if type(count) == 'number' and count > 0 and count <= most then
        local fields, size = redis.call('HGETALL', key), 0
        for _, part in ipairs(fields) do size = size + #part end
        if size <= longest then records[i], left = fields, left - size end
    end
    if not records[i] and type(count) == 'number' and count > 0 then redis.pcall('UNLINK', key) end
    if left <= 0 then break end
end
return cjson.encode(records)
"""

#: KEYS: records. ARGV: the field with a different value for each record; how many fields all records share;
#: these fields with their values; two fields to remove; then the value of the first field for each record.
_DEFER = """
local shared = 2 * ARGV[2]
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, ARGV[1], ARGV[2 + shared + 2 + i], unpack(ARGV, 3, 2 + shared))
    redis.call('HDEL', key, ARGV[3 + shared], ARGV[4 + shared])
end
"""

#: KEYS: records. ARGV: a tenant. Makes the tenant the owner of all names, or of none if one of the names is
#: known and not the tenant's. Returns the position of the first such name, or 0.
_CLAIM = """
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 and redis.call('HGET', key, 'tenant') ~= ARGV[1] then return i end
end
for _, key in ipairs(KEYS) do redis.call('HSET', key, 'tenant', ARGV[1]) end
return 0
"""

#: KEYS: a record. ARGV: a tenant. Records the tenant, unless another tenant has proved the ownership.
_RECORD_TENANT = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner or owner == ARGV[1] then redis.call('HSET', KEYS[1], 'tenant', ARGV[1]) end
"""

#: The maximum number of fields of a record, including those of other programs.
MOST_FIELDS = 64
#: The maximum number of bytes of a record, and of the records in one reply.
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
    #: The last failure; empty after a certificate was issued.
    code: str
    message: str
    remedy: str
    #: The number of consecutive failures.
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
    #: The tenant in the last request that named one; empty if none did.
    tenant: str = ""


class DomainRecords:
    """
    The records of all names, each in one Redis hash.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._read = connection.register_script(_READ)
        self._defer = connection.register_script(_DEFER)
        self._claim = connection.register_script(_CLAIM)
        self._record_tenant = connection.register_script(_RECORD_TENANT)

    def read(self, name: str) -> DomainRecord | None:
        """
        Return the record of *name*, or None if there is none.
        """
        return next(self.read_many([name]))

    def read_many(self, names: Sequence[str]) -> Iterator[DomainRecord | None]:
        """
        Yield the record of each of *names* in order, or None for a name without a record.
        """
        limits = [MOST_FIELDS, LARGEST_RECORD, LARGEST_REPLY]
        first = 0
        while batch := names[first : first + RECORDS_PER_COMMAND]:
            answer = json.loads(decode_text(self._read([RECORDS + name for name in batch], limits)))
            for name, stored in zip(batch, answer, strict=False):
                fields = iter(stored or ())
                yield _record(name, dict(zip(fields, fields, strict=True)))
            first += len(answer)

    def start_attempt(self, names: Sequence[str], *, next_check: datetime, now: datetime) -> None:
        """
        Record the start of an attempt for *names*. After a crash, the next attempt is at *next_check*.
        """
        fields = {"state": "issuing", "next_check": encode_time(next_check), "updated": encode_time(now)}
        self._write(names, fields, counting="unfinished")

    def record_issued(
        self,
        names: Sequence[str],
        metadata: CertificateMetadata,
        *,
        covered: bool = False,
        next_check: datetime,
        now: datetime,
    ) -> None:
        """
        Record that the certificate with this *metadata* serves *names*.

        Args:
            names: The names.
            metadata: The metadata of the certificate.
            covered: Whether the certificate is for a wildcard that covers the names.
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
        }
        self._write(names, fields, without=("code", "message", "remedy", "unfinished", DRY_RUN))

    def record_failed(
        self, names: Sequence[str], failure: CertworkerError, *, next_check: datetime, now: datetime
    ) -> None:
        """
        Record that *names* have no new certificate because of *failure*. Do not count a wait or a pause.
        """
        fields = _failure_fields(failure, next_check, now)
        if failure.retry is Retry.CA and failure.problem:
            fields[DRY_RUN] = "1"
        counting = "attempts" if fields["state"] == "failed" else None
        self._write(names, fields, without=("unfinished",), counting=counting)

    def defer(self, requests: Iterable[tuple[str, ...]], *, next_check: datetime, now: datetime) -> None:
        """
        Record for thousands of *requests* that their names wait for a slot.

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
                if tenant and _tenant(tenant) == tenant:
                    self._record_tenant([RECORDS + name], [tenant], client=pipe)
            pipe.execute()

    def record_owners(self, owners: Mapping[str, str]) -> None:
        """
        Record the tenant of each name in *owners*, which has proved the ownership.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            for name, tenant in owners.items():
                pipe.hset(RECORDS + name, mapping={"tenant": tenant, "owner": tenant})
            pipe.execute()

    def owner_of(self, name: str) -> str:
        """
        Return the tenant that has proved the ownership of *name*; empty if none has.
        """
        return _tenant(self._connection.hget(RECORDS + name, "owner"))

    def claim(self, names: Sequence[str], tenant: str) -> str | None:
        """
        Record *tenant* for all of *names*, before their first attempt.

        Returns:
            A name with a record of another tenant or of none. Then nothing is recorded.
        """
        position = self._claim([RECORDS + name for name in names], [tenant])
        return names[position - 1] if position else None

    def tenant_of(self, name: str) -> str:
        """
        Return the tenant of *name*, which may be recorded before the first attempt; empty if there is none.
        """
        return _tenant(self._connection.hget(RECORDS + name, "tenant"))

    def attempts(self, name: str) -> int:
        """
        Return how many attempts for *name* have failed since the last success.
        """
        return count_in(self._connection.hget(RECORDS + name, "attempts"))

    def needs_dry_run(self, name: str) -> bool:
        """
        Return whether a CA failed to validate *name*, and no dry run has succeeded since.
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
    ) -> None:
        values: dict[Any, Any] = {**fields, "names": json.dumps(list(names))}
        with self._connection.pipeline(transaction=True) as pipe:
            for name in names:
                key = RECORDS + name
                pipe.hset(key, mapping=values)
                if without:
                    pipe.hdel(key, *without)
                if counting:
                    pipe.hincrby(key, counting, 1)
            pipe.execute()


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
        "remedy": failure.remedy,
        "next_check": encode_time(next_check),
        "updated": encode_time(now),
    }


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
        remedy=shown_in(fields.get("remedy")),
        attempts=count_in(fields.get("attempts")),
        crashes=count_in(fields.get("unfinished")),
        not_before=decode_time(fields.get("not_before")),
        not_after=decode_time(fields.get("not_after")),
        serial=shown_in(fields.get("serial"), LONGEST_WORD),
        authority=shown_in(fields.get("authority"), LONGEST_WORD),
        next_check=decode_time(fields.get("next_check")),
        updated=updated,
        tenant=_tenant(fields.get("tenant")),
    )


def _tenant(value: object) -> str:
    # A shortened, escaped or repaired text might be the name of another tenant.
    text = decode_text(value) if isinstance(value, bytes | str) else ""
    return text if text == shown_in(text, LONGEST_TENANT) and REPLACEMENT not in text else ""


def _names(text: str, name: str) -> tuple[str, ...]:
    names = names_in(json_in(text))
    return names if names and name in names else (name,)
