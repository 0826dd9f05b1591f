"""
Follows requests to their ends, for the person who waits for them.
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

from certworker.redis.codec import LARGEST_JSON, decode_text, fields_in, shown_in
from certworker.state.domain_records import LONGEST_WORD, DomainRecord, DomainRecords

UNDER_WAY = {
    status.value for status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED, JobStatus.DEFERRED)
}

#: Between two rounds; longer after a round over many jobs, so that Redis has time for its other clients.
PAUSE_SECONDS = 0.1
SHARE_OF_TIME_TO_ASK = 1 / 5

#: Jobs in one command.
PORTION = 500

WELL = ("issued", "kept", "removed")

#: The states of a request that has not ended, and of one that has ended with a failure.
NOT_ENDED = "not_ended"
FAILED = "failed"

CODE = re.compile(r"\[([a-z0-9_.]+)\]")


@dataclass(frozen=True)
class JobOutcome:
    """
    How a request ended.
    """

    #: `issued`, `kept`, `removed`, `unknown`, another word of the worker, or one of the two above.
    state: str
    #: For people: the state, or the failure with its remedy.
    text: str

    @property
    def ok(self) -> bool:
        """
        Whether the request was fulfilled.
        """
        return self.state in WELL

    @property
    def code(self) -> str:
        """
        The code of the failure; empty without one.
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
) -> list[JobOutcome]:
    """
    Wait until all *jobs*, ids with their names, have ended; return how, in their order.

    A job that found another worker at the same names, or no slot, is followed to the end of the issuance.

    Args:
        timeout_seconds: For all jobs together. What has ended by then is reported, whatever its place.
        report: Is called with each end as soon as it is known.
        clock: Seconds that only grow.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    began = clock()
    following = _Following(connection, jobs)
    while True:
        asked = clock()
        for end in following.ask():
            report(end)
        now = clock()
        if not following.pending or now - began >= timeout_seconds:
            break
        time.sleep(max(PAUSE_SECONDS, (now - asked) / SHARE_OF_TIME_TO_ASK))
    late = f"not ended after {timeout_seconds:.0f} s; see its state: certworker status"
    return [
        following.ended.get(number) or JobOutcome(NOT_ENDED, f"{late} {names[0]}")
        for number, (_, names) in enumerate(jobs)
    ]


class _Following:
    """
    Requests by their numbers: those that have ended, and those that have not.
    """

    def __init__(self, connection: Redis, jobs: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self._connection = connection
        self._jobs = jobs
        self._records = DomainRecords(connection)
        #: Whose job has ended while the issuance goes on elsewhere.
        self._elsewhere: set[int] = set()
        self.pending = list(range(len(jobs)))
        self.ended: dict[int, JobOutcome] = {}

    def ask(self) -> Iterator[JobOutcome]:
        """
        Ask once for everything that has not ended; yield what has ended since.
        """
        for start in range(0, len(self.pending), PORTION):
            some = self.pending[start : start + PORTION]
            self._elsewhere.update(
                number
                for number, status in self._statuses([each for each in some if each not in self._elsewhere])
                if status not in UNDER_WAY and not self._end_of_job(number, status)
            )
            self._ask_records([each for each in some if each in self._elsewhere])
            yield from (self.ended[number] for number in some if number in self.ended)
        self.pending = [number for number in self.pending if number not in self.ended]

    def _statuses(self, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
        with self._connection.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hget(f"rq:job:{self._jobs[number][0]}", "status")
            answers = pipe.execute()
        # Not by RQ's own class: it unpacks whatever is there, and fails on what it does not expect.
        yield from zip(numbers, (shown_in(each, LONGEST_WORD) for each in answers), strict=True)

    def _end_of_job(self, number: int, status: str) -> bool:
        """
        Find out how the job with this *status* ended; return False if the records may say more.
        """
        results: Any = self._connection.xrevrange(f"rq:results:{self._jobs[number][0]}", count=1)
        if not (status and results):
            return False  # Redis has forgotten the job
        _, fields = results[0]
        if status != JobStatus.FINISHED.value:
            self.ended[number] = JobOutcome(FAILED, _last_line(fields.get(b"exc_string")))
            return True
        state = shown_in(fields_in(_decoded(fields.get(b"return_value"))).get("state"), LONGEST_WORD)
        if state in ("", "waiting"):
            return False
        self.ended[number] = JobOutcome(state, state)
        return True

    def _ask_records(self, numbers: Sequence[int]) -> None:
        records = self._records.read_many([self._jobs[number][1][0] for number in numbers])
        for number, record in zip(numbers, records, strict=True):
            if end := _end_of_record(record):
                self.ended[number] = end


def _last_line(packed: bytes | None) -> str:
    """
    Return the sentence in *packed*; of a traceback that is the last line.
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
        return None  # it is under way, or has yet to get a slot
    if record.state == "issued":
        return JobOutcome("issued", "issued")
    return JobOutcome(FAILED, f"[{record.code}] {record.message} {record.remedy}")
