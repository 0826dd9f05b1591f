"""
What other programs are told of a name: the fields that Appwrite's certificate has, and the remedy.

The same object is the result of a job, an event in the stream `certworker:events`, and stands in the record
`certworker:name:NAME`.
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
from certworker.state.domain_records import DomainRecords
from certworker.state.events import EventStream
from certworker.state.history import History
from certworker.storage.certificate_store import CertificateStore

#: The end of the story that goes with a result, in lines and in characters.
MAX_LOG_LINES = 8
MAX_LOG_LENGTH = 2_000


@dataclass(frozen=True)
class EventPublisher:
    """
    Composes results, and tells them.
    """

    events: EventStream
    records: DomainRecords
    history: History
    certificates: CertificateStore
    clock: Callable[[], datetime]
    #: The site of the documentation; None: a failure names the command that prints its page.
    docs_url: str | None = None

    def publish(
        self, names: tuple[str, ...], state: str, failure: CertworkerError | None = None
    ) -> dict[str, object]:
        """
        Tell whoever listens that *names* are in *state*, which *failure* led to; return what was told.

        What Redis or the volume does not tell is left out: the outcome of a job does not depend on it.
        """
        result = self._payload(names, state, failure)
        self.events.append(names, result)
        return result

    def _payload(
        self, names: tuple[str, ...], state: str, failure: CertworkerError | None
    ) -> dict[str, object]:
        record, facts, logs = None, None, ""
        with suppress(RedisError):
            record = self.records.read(names[0])
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
            "issue_date": _written(facts.not_before if facts else None),
            "renew_date": _written(renewal_time(facts.validity) if facts else None),
            "not_after": _written(facts.not_after if facts else None),
            "serial": facts.serial if facts else "",
            "authority": facts.authority if facts else "",
            "next_check": _written(record.next_check if record else None),
            "logs": logs,
            "moment": _written(self.clock()),
        }

    def _logs(self, name: str) -> str:
        story = self.history.read(name)[-MAX_LOG_LINES:]
        lines = [f"{event.moment:%Y-%m-%d %H:%M:%S} {event.level:<5} {event.text}" for event in story]
        return "\n".join(lines)[-MAX_LOG_LENGTH:]


def _written(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
