"""
What happened to a name last: its state, its certificate, or why there is none.

::

    began ──► issuing ──┬─► issued     attempts back to 0, the failure forgotten
                ▲       ├─► failed     attempts + 1; the certificate that serves on stays recorded
                │       ├─► waiting    until a moment (a limit of the CA); no attempt is counted
                │       └─► paused     by the CA, until a person ends that; no attempt is counted
                └──────────── at the next look, from each of them

People read it (`certworker status`), and the next attempt counts on it across restarts. It is no truth:
a record that Redis lost is written anew by the next look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from redis import Redis

from certworker.errors import CertworkerError, Retry
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

RECORDS = "certworker:name:"

#: The field that asks for a rehearsal at a CA's staging before the next order.
DRY_RUN = "rehearse"

State = Literal["issued", "failed", "waiting", "paused", "issuing"]
STATES: tuple[State, ...] = get_args(State)

#: So many records are read in one command; Redis serves others between two of them.
RECORDS_A_COMMAND = 500

#: Characters of a code, a serial number or a label.
LONGEST_WORD = 100

#: KEYS: records. ARGV: how many fields and bytes a record may have, and all of them. The fields of the first
#: records as one JSON text: a pipeline of as many HGETALL takes redis-py three times as long (2.2 s for
#: 50,000 names). A record that is too large counts as lost. The script removes it: a later write would not
#: make it readable.
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

#: Fields of a record, with those that other programs may have added.
MOST_FIELDS = 64
#: Bytes of a record, and of the records in one answer.
LARGEST_RECORD = 64 * 1024
LARGEST_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True)
class DomainRecord:
    """
    What is known of one name.
    """

    name: str
    #: All names of its certificate, the name itself among them.
    names: tuple[str, ...]
    state: State
    #: The last failure; empty once a certificate was issued.
    code: str
    message: str
    remedy: str
    #: Failures in a row.
    attempts: int
    #: Attempts in a row that began and never ended: the one under way, and those whose worker died.
    crashes: int
    #: The certificate in service, whatever happened since.
    not_before: datetime | None
    not_after: datetime | None
    serial: str
    authority: str
    #: None: the record does not say.
    next_check: datetime | None
    updated: datetime


class DomainRecords:
    """
    The records of all names, one hash in Redis each.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._read = connection.register_script(_READ)

    def read(self, name: str) -> DomainRecord | None:
        """
        The record of *name*; None if there is none.
        """
        return next(self.read_many([name]))

    def read_many(self, names: Sequence[str]) -> Iterator[DomainRecord | None]:
        """
        The record of each of *names*, in their order.
        """
        limits = [MOST_FIELDS, LARGEST_RECORD, LARGEST_ANSWER]
        first = 0
        while some := names[first : first + RECORDS_A_COMMAND]:
            answer = json.loads(decode_text(self._read([RECORDS + name for name in some], limits)))
            for name, stored in zip(some, answer, strict=False):
                fields = iter(stored or ())
                yield _record(name, dict(zip(fields, fields, strict=True)))
            first += len(answer)

    def start_attempt(self, names: Sequence[str], *, next_check: datetime, now: datetime) -> None:
        """
        A worker began to issue for *names*. Should it never say how that ended, the next attempt is at
        *next_check*.
        """
        fields = {"state": "issuing", "next_check": encode_time(next_check), "updated": encode_time(now)}
        self._write(names, fields, counting="unfinished")

    def record_issued(
        self,
        names: Sequence[str],
        *,
        not_before: datetime,
        not_after: datetime,
        serial: str,
        authority: str,
        next_check: datetime,
        now: datetime,
    ) -> None:
        """
        *names* have a certificate in service.
        """
        fields = {
            "state": "issued",
            "attempts": "0",
            "not_before": encode_time(not_before),
            "not_after": encode_time(not_after),
            "serial": serial,
            "authority": authority,
            "next_check": encode_time(next_check),
            "updated": encode_time(now),
        }
        self._write(names, fields, without=("code", "message", "remedy", "unfinished", DRY_RUN))

    def record_failed(
        self, names: Sequence[str], failure: CertworkerError, *, next_check: datetime, now: datetime
    ) -> None:
        """
        *names* have no new certificate for now; the attempt is counted if it was one.
        """
        fields = _failure_fields(failure, next_check, now)
        if failure.retry is Retry.CA and failure.problem:
            fields[DRY_RUN] = "1"
        counting = "attempts" if fields["state"] == "failed" else None
        self._write(names, fields, without=("unfinished",), counting=counting)

    def attempts(self, name: str) -> int:
        """
        How often issuing for *name* has failed since the last success.
        """
        return count_in(self._connection.hget(RECORDS + name, "attempts"))

    def needs_dry_run(self, name: str) -> bool:
        """
        Whether a CA could not see that *name* is ours, and no rehearsal has shown since that it can be seen.
        """
        return self._connection.hexists(RECORDS + name, DRY_RUN)

    def record_dry_run(self, names: Sequence[str]) -> None:
        """
        It has been shown, for all of *names*.
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
    # Others can write to Redis, too: what cannot be read is as good as lost.
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
    )


def _names(text: str, name: str) -> tuple[str, ...]:
    names = names_in(json_in(text))
    return names if names and name in names else (name,)
