"""
Waits until requests have ended, for the option `--wait` of `certworker request`, `remove`, and `import`.
"""

from __future__ import annotations

import re
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq.job import JobStatus

from certworker.errors.systemd import for_this_machine
from certworker.redis.codec import LARGEST_JSON, decode_text, fields_in, shown_in
from certworker.state.domain_records import LONGEST_WORD, SERVED, DomainRecord, DomainRecords

IN_PROGRESS = {
    status.value for status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED, JobStatus.DEFERRED)
}

#: The minimum pause between two polls.
PAUSE_SECONDS = 0.1
#: Polls take at most this share of the time, because Redis also serves other clients.
POLLING_SHARE = 1 / 5

#: The maximum number of jobs in one command.
BATCH = 500

FULFILLED = ("issued", "imported", "kept", "covered", "removed")

#: The states of a request that has not ended, and of a request that has ended with a failure.
NOT_ENDED = "not_ended"
FAILED = "failed"

CODE = re.compile(r"\[([a-z0-9_.]+)\]")


@dataclass(frozen=True)
class JobOutcome:
    """
    How a request ended, or that it has not ended.
    """

    #: `issued`, `imported`, `kept`, `covered`, `removed`, `unknown`, another state of the worker,
    #: :data:`NOT_ENDED`, or :data:`FAILED`.
    state: str
    #: The text for messages: the state with its reason, if any, or the failure with its remedy.
    text: str

    @property
    def ok(self) -> bool:
        """
        Return whether the request was fulfilled.
        """
        return self.state in FULFILLED

    @property
    def code(self) -> str:
        """
        Return the code of the failure; empty without a failure, or if the failure has no code.
        """
        code = CODE.match(self.text) if self.state == FAILED else None
        return code[1] if code else ""


def wait_for(
    connection: Redis,
    jobs: Sequence[tuple[str, tuple[str, ...]]],
    *,
    timeout_seconds: float,
    report: Callable[[JobOutcome], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> list[JobOutcome]:
    """
    Wait until all *jobs* have ended, or the timeout expires; return their outcomes, in their order.

    A job also ends when another job has locked its names, or when its request is moved to a priority queue.
    In these cases, wait until the issuance has ended.

    Args:
        connection: The connection to Redis.
        jobs: The ids of the jobs, each with the names of its request.
        timeout_seconds: The time for all jobs together.
        report: Called with the outcome of each request that has ended, as soon as the outcome is known.
        clock: Returns monotonic seconds.
        sleep: Waits between two polls.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    began = clock()
    following = _Following(connection, jobs)
    while True:
        began_poll = clock()
        for end in following.poll():
            report(end)
        now = clock()
        if not following.pending or now - began >= timeout_seconds:
            break
        sleep(max(PAUSE_SECONDS, (now - began_poll) / POLLING_SHARE))
    late = f"not ended after {timeout_seconds:.0f} s; see its state: certworker status"
    return [
        following.ended.get(number) or JobOutcome(NOT_ENDED, f"{late} {names[0]}")
        for number, (_, names) in enumerate(jobs)
    ]


class _Following:
    """
    The requests that have ended and those that have not, by index.
    """

    def __init__(self, connection: Redis, jobs: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self._connection = connection
        self._jobs = jobs
        self._records = DomainRecords(connection)
        #: Requests whose job has ended while the issuance continues in another job.
        self._elsewhere: set[int] = set()
        self.pending = list(range(len(jobs)))
        self.ended: dict[int, JobOutcome] = {}

    def poll(self) -> Iterator[JobOutcome]:
        """
        Poll all requests that have not ended; yield the outcomes of those that have ended since the last
        poll.
        """
        for start in range(0, len(self.pending), BATCH):
            batch = self.pending[start : start + BATCH]
            self._elsewhere.update(
                number
                for number, status in self._statuses([each for each in batch if each not in self._elsewhere])
                if status not in IN_PROGRESS and not self._end_of_job(number, status)
            )
            self._read_records([each for each in batch if each in self._elsewhere])
            yield from (self.ended[number] for number in batch if number in self.ended)
        self.pending = [number for number in self.pending if number not in self.ended]

    def _statuses(self, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
        with self._connection.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hget(f"rq:job:{self._jobs[number][0]}", "status")
            answers = pipe.execute()
        # RQ's own class would unpack every field, and would fail if one is invalid.
        yield from zip(numbers, (shown_in(each, LONGEST_WORD) for each in answers), strict=True)

    def _end_of_job(self, number: int, status: str) -> bool:
        """
        Record the outcome of the job with this *status*; return False if only the domain records have the
        outcome.
        """
        results: Any = self._connection.xrevrange(f"rq:results:{self._jobs[number][0]}", count=1)
        if not (status and results):
            return False  # the job has expired
        _, fields = results[0]
        if status != JobStatus.FINISHED.value:
            self.ended[number] = JobOutcome(FAILED, _last_line(fields.get(b"exc_string")))
            return True
        result = fields_in(_decoded(fields.get(b"return_value")))
        state = shown_in(result.get("state"), LONGEST_WORD)
        if state in ("", "waiting"):
            return False
        # An imported certificate is kept; the result describes how to replace it.
        message, remedy = (shown_in(result.get(field)) for field in ("message", "remedy"))
        reason = " ".join(filter(None, (message, for_this_machine(remedy))))
        self.ended[number] = JobOutcome(state, f"{state}: {reason}" if reason else state)
        return True

    def _read_records(self, numbers: Sequence[int]) -> None:
        records = self._records.read_many([self._jobs[number][1][0] for number in numbers])
        for number, record in zip(numbers, records, strict=True):
            if end := _end_of_record(record):
                self.ended[number] = end


def _last_line(packed: bytes | None) -> str:
    """
    Return the last line of the text in *packed*: the message of a failure, or the last line of a traceback.
    """
    try:
        text = zlib.decompressobj().decompress(_decoded(packed), LARGEST_JSON)
    except zlib.error:
        text = b""
    lines = decode_text(text).strip().splitlines()
    return shown_in(lines[-1]) if lines else "the job failed without a reason"


def _decoded(value: bytes | None) -> bytes:
    try:
        return b64decode(value or b"")
    except ValueError:
        return b""


def _end_of_record(record: DomainRecord | None) -> JobOutcome | None:
    if record is None or record.state == "issuing" or (record.state == "waiting" and not record.code):
        return None  # the issuance is in progress, or is waiting for a slot
    if record.state in SERVED:
        return JobOutcome(record.state, record.state)
    return JobOutcome(FAILED, f"[{record.code}] {record.message} {record.remedy}")
