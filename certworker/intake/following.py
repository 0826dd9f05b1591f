"""
Follows a request to its end, for the person who waits for it.
"""

from __future__ import annotations

import time
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


def follow(connection: Redis, job_id: str, names: tuple[str, ...], *, timeout_seconds: float) -> Ended:
    """
    Wait until the job *job_id* for *names* has ended, at most *timeout_seconds*.

    A job that found another worker at the same names, or no slot, is followed to the end of the issuance.
    """
    deadline = time.monotonic() + timeout_seconds
    elsewhere = False
    while time.monotonic() < deadline:
        told = _end_of_record(connection, names[0]) if elsewhere else _end_of_job(connection, job_id)
        elsewhere = elsewhere or told == "waiting"
        if told not in (None, "waiting"):
            return Ended(told in ("issued", "kept", "removed"), str(told))
        time.sleep(PAUSE_SECONDS)
    return Ended(
        False, f"not ended after {timeout_seconds:.0f} s; to see how it stands: certworker status {names[0]}"
    )


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
