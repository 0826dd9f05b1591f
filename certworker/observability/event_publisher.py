"""
Results of jobs, published to other programs: the fields of Appwrite's certificate, and the remedy.

The same object is the result of a job and an event in the stream `certworker:events`. The record
`certworker:name:NAME` has its fields.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.errors.pages import reference_of
from certworker.renewal.policy import detail_of, renewal_time
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.events import EventStream
from certworker.state.history import History
from certworker.storage.certificate_store import CertificateStore

#: The end of the history that a result contains, in lines and in characters.
MAX_LOG_LINES = 8
MAX_LOG_LENGTH = 2_000


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
    #: The site of the documentation; None: a failure names the command that prints its page.
    docs_url: str | None = None

    def publish(
        self,
        names: tuple[str, ...],
        state: str,
        failure: CertworkerError | None = None,
        *,
        record: DomainRecord | None = None,
    ) -> dict[str, object]:
        """
        Publish that *names* are in *state*, after *failure* if one led to it; return the published object.

        Fields that Redis or the volume does not supply are empty: they do not change the outcome of a job.

        Args:
            names: The normalized names.
            state: Their state.
            failure: The cause of the state.
            record: The record of the first name; read from Redis if it is not given.
        """
        result = self._payload(names, state, failure, record)
        self.events.append(names, result)
        return result

    def _payload(
        self,
        names: tuple[str, ...],
        state: str,
        failure: CertworkerError | None,
        record: DomainRecord | None,
    ) -> dict[str, object]:
        facts, logs = None, ""
        with suppress(RedisError):
            record = record or self.records.read(names[0])
        with suppress(RedisError):
            logs = self._logs(names[0])
        with suppress(CertworkerError):
            facts = self.certificates.metadata(names[0])
        return {
            "state": state,
            "detail": detail_of(state, facts.not_after if facts else None, self.clock()),
            "name": names[0],
            "names": list(names),
            "code": "",
            "message": "",
            "remedy": "",
            **(failure.as_json() if failure else {}),
            "docs": reference_of(failure.code, self.docs_url) if failure else "",
            "attempts": record.attempts if record else 0,
            "issue_date": _iso(facts.not_before if facts else None),
            "renew_date": _iso(renewal_time(facts.validity) if facts else None),
            "not_after": _iso(facts.not_after if facts else None),
            "serial": facts.serial if facts else "",
            "authority": facts.authority if facts else "",
            "next_check": _iso(record.next_check if record else None),
            "logs": logs,
            "moment": _iso(self.clock()),
        }

    def _logs(self, name: str) -> str:
        entries = self.history.read(name)[-MAX_LOG_LINES:]
        lines = [f"{entry.moment:%Y-%m-%d %H:%M:%S} {entry.level:<5} {entry.text}" for entry in entries]
        return "\n".join(lines)[-MAX_LOG_LENGTH:]


def _iso(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
