"""
Follows a request to its end, for the person who waits for it.
"""

from __future__ import annotations

import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq.job import JobStatus

from certworker.ledger.record import LONGEST_WORD, Records
from certworker.ledger.text import LARGEST_JSON, fields_in, shown_in, text_in

UNDER_WAY = {
    status.value for status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED, JobStatus.DEFERRED)
}

PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Ended:
    """
    How a request ended.
    """

    well: bool
    told: str


def follow(
    connection: Redis,
    jobs: Sequence[tuple[str, tuple[str, ...]]],
    *,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Ended]:
    """
    Wait until all *jobs*, ids with their names, have ended; return how, in their order.

    A job that found another worker at the same names, or no slot, is followed to the end of the issuance.

    Args:
        timeout_seconds: For all jobs together. What has ended by then is reported, whatever its place.
        clock: Seconds that only grow.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    deadline = clock() + timeout_seconds
    late = f"not ended after {timeout_seconds:.0f} s; to see how it stands: certworker status"
    return [
        _followed(connection, job_id, names, deadline, clock) or Ended(False, f"{late} {names[0]}")
        for job_id, names in jobs
    ]


def _followed(
    connection: Redis, job_id: str, names: tuple[str, ...], deadline: float, clock: Callable[[], float]
) -> Ended | None:
    elsewhere = False
    while True:
        told = _end_of_record(connection, names[0]) if elsewhere else _end_of_job(connection, job_id)
        if told == "waiting" and not elsewhere:
            elsewhere = True
            continue
        if told not in (None, "waiting"):
            return Ended(told in ("issued", "kept", "removed"), str(told))
        if clock() >= deadline:
            return None
        time.sleep(PAUSE_SECONDS)


def _end_of_job(connection: Redis, job_id: str) -> str | None:
    # Not by RQ's own class: it unpacks whatever is there, and fails on what it does not expect.
    status = shown_in(connection.hget(f"rq:job:{job_id}", "status"), LONGEST_WORD)
    if status in UNDER_WAY:
        return None
    results: Any = connection.xrevrange(f"rq:results:{job_id}", count=1)
    if not (status and results):
        return "waiting"  # Redis has forgotten it; the ledger may know more
    _, fields = results[0]
    if status == JobStatus.FINISHED.value:
        state = fields_in(_decoded(fields.get(b"return_value"))).get("state")
        return shown_in(state, LONGEST_WORD) or "waiting"
    return _last_line(fields.get(b"exc_string"))


def _last_line(packed: bytes | None) -> str:
    """
    Return the sentence in *packed*; of a traceback that is the last line.
    """
    try:
        text = zlib.decompressobj().decompress(_decoded(packed), LARGEST_JSON)
    except zlib.error:
        text = b""
    lines = text_in(text).strip().splitlines()
    return shown_in(lines[-1]) if lines else "the job failed without a reason"


def _decoded(value: bytes | None) -> bytes:
    try:
        return b64decode(value or b"")
    except ValueError:
        return b""


def _end_of_record(connection: Redis, name: str) -> str | None:
    record = Records(connection).read(name)
    if record is None or record.state == "issuing" or (record.state == "waiting" and not record.code):
        return None  # it is under way, or has yet to get a slot
    return record.state if record.state == "issued" else f"[{record.code}] {record.message} {record.remedy}"
