"""
Follows a request to its end, for the person who waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from certworker.ledger.record import Records

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
    try:
        job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
        status = job.get_status(refresh=False)
    except NoSuchJobError:
        return "waiting"  # Redis has forgotten it; the ledger may know more
    if status in (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED, JobStatus.DEFERRED):
        return None
    result = job.latest_result()
    if result is None:
        return "waiting"
    if status is JobStatus.FINISHED and isinstance(result.return_value, dict):
        return str(result.return_value.get("state"))
    return str(result.exc_string)


def _end_of_record(connection: Redis, name: str) -> str | None:
    record = Records(connection).read(name)
    if record is None or record.state == "issuing" or (record.state == "waiting" and not record.code):
        return None  # it is under way, or has yet to get a slot
    return record.state if record.state == "issued" else f"[{record.code}] {record.message} {record.remedy}"
