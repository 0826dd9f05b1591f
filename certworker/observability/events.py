"""
The results of jobs for other programs: the stream of events, and the fields of a result.

The same object is the result of a job and an event in the stream `certworker:events`. The record
`certworker:name:NAME` has most of these fields, and uses Appwrite's names for those that
Appwrite has.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.errors.pages import reference_of
from certworker.observability.history import History, HistoryEntry, RecentLines
from certworker.redis.keys import LARGEST_MEMBER
from certworker.redis.shared_trips import send_with_next
from certworker.renewal.policy import detail_of, planned_renewal
from certworker.state.domain_records import RECORDS, DomainRecord, DomainRecords
from certworker.storage.certificate_store import CertificateStore

EVENTS = "certworker:events"

#: The approximate maximum number of events in the stream, about 20 MB. A program that misses more events than
#: that reads the records.
MAX_EVENTS = 10_000

#: Fields that the stream adds to the records.
ADDITIONAL_FIELDS = ("issue_date", "renew_date", "logs")

#: The number of last events whose ids are compared. redis-py repeats a command whose reply is lost. An event
#: with a known id is such a repetition.
LAST_EVENTS = 20

# KEYS: the stream, the records.
# ARGV: the length of the stream, the number of events to compare, the maximum bytes of an event, the id of
# the event, the event, the fields with their values. Removes larger events, because Redis copies them for
# each script.
_APPEND = """
local known = false
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])) do
    local fields, size = entry[2], 0
    for i = 1, #fields, 2 do
        size = size + #fields[i] + #fields[i + 1]
        known = known or fields[i] == 'id' and fields[i + 1] == ARGV[4]
    end
    if size > tonumber(ARGV[3]) then redis.call('XDEL', KEYS[1], entry[1]) end
end
if not known then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[5], 'id', ARGV[4])
end
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('HSET', KEYS[i], unpack(ARGV, 6)) end
end
"""

#: The end of the history that a result contains, in lines and in characters.
MAX_LOG_LINES = 8
MAX_LOG_LENGTH = 2_000


class EventStream:
    """
    The stream of events, and additional fields in the records.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def append(self, names: Sequence[str], event: Mapping[str, object]) -> None:
        """
        Add *event* to the stream, and its additional fields to the record of each of *names*, if it exists.

        Within a job, the transaction at the end of the job adds the event and the fields.

        If Redis fails, the event is dropped: programs read the records after an outage.
        """
        fields = [part for field in ADDITIONAL_FIELDS for part in (field, str(event.get(field) or ""))]
        keys = [EVENTS, *(RECORDS + name for name in names)]
        # Two events may have equal content. Only the repetition of a command has the same id.
        event_id, text = secrets.token_hex(8), json.dumps(event, ensure_ascii=False)
        values = (MAX_EVENTS, LAST_EVENTS, LARGEST_MEMBER, event_id, text, *fields)
        send_with_next(self._connection, "EVAL", _APPEND, len(keys), *keys, *values)


@dataclass(frozen=True)
class EventPublisher:
    """
    Composes results and publishes them.
    """

    events: EventStream
    records: DomainRecords
    history: History
    certificates: CertificateStore
    clock: Callable[[], datetime]
    #: The site of the documentation; None: failures name the command that prints their page.
    docs_url: str | None = None

    def publish(
        self,
        names: tuple[str, ...],
        state: str,
        failure: CertworkerError | None = None,
        *,
        record: DomainRecord | None = None,
        tenant: str = "",
        lines: RecentLines | None = None,
    ) -> dict[str, object]:
        """
        Publish that *names* are in *state*, and return the published object.

        Fields that Redis or the volume does not supply are empty: their absence must not fail a job.

        Args:
            names: The normalized names.
            state: Their state.
            failure: The cause of the state; None without a failure.
            record: The record of the first name. None: the method reads it from Redis.
            tenant: The tenant of the first name, if its record has been removed.
            lines: The history of the first name. None: the method reads it from Redis.
        """
        result = self._payload(names, state, failure, record, tenant, lines)
        self.events.append(names, result)
        return result

    def _payload(
        self,
        names: tuple[str, ...],
        state: str,
        failure: CertworkerError | None,
        record: DomainRecord | None,
        tenant: str,
        lines: RecentLines | None,
    ) -> dict[str, object]:
        facts, wildcard, logs = None, "", ""
        asked = None if record else self.records.ask(names[0])
        with suppress(RedisError):
            logs = _logs(lines.read() if lines else self.history.read(names[0]))
        with suppress(RedisError):
            record = asked() if asked else record
        with suppress(CertworkerError):
            facts, wildcard = self.certificates.serving(names[0])
        return {
            "state": state,
            "detail": detail_of(state, facts.not_after if facts else None, self.clock()),
            "name": names[0],
            "names": list(names),
            "by": wildcard,
            "tenant": tenant or (record.tenant if record else ""),
            "code": "",
            "message": "",
            "remedy": "",
            **(failure.as_json() if failure else {}),
            "docs": reference_of(failure.code, self.docs_url) if failure else "",
            "attempts": record.attempts if record else 0,
            "issue_date": _iso(facts.not_before if facts else None),
            "renew_date": _iso(planned_renewal(facts) if facts else None),
            "not_after": _iso(facts.not_after if facts else None),
            "serial": facts.serial if facts else "",
            "authority": facts.authority if facts else "",
            "next_check": _iso(record.next_check if record else None),
            "logs": logs,
            "moment": _iso(self.clock()),
        }


def _logs(entries: Sequence[HistoryEntry]) -> str:
    last = entries[-MAX_LOG_LINES:]
    lines = [f"{entry.moment:%Y-%m-%d %H:%M:%S} {entry.level:<5} {entry.text}" for entry in last]
    return "\n".join(lines)[-MAX_LOG_LENGTH:]


def _iso(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
