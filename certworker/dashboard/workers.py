"""
The workers and their running jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from certworker.dashboard.sources import Sources
from certworker.redis.codec import count_in, decode_text, decode_time, shown_in
from certworker.worker.health import reports
from certworker.worker.payload import LARGEST
from certworker.worker.producer import QUEUE
from certworker.worker.queue_stats import members, names_of

#: The maximum number of running jobs that are read.
MAX_RUNNING = 500

#: The maximum number of characters of a value in a hash of RQ.
LONGEST_WORD = 300

#: KEYS: RQ's registry of running jobs. ARGV: the maximum number of jobs, and the maximum size of the data.
#: Returns the id of each job, its worker, its start and its data.
_RUNNING = """
local jobs = {}
for i, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do
    local id = string.match(member, '^([%w_-]+)')
    local key = 'rq:job:' .. (id or '')
    if id and redis.call('TYPE', key).ok == 'hash' then
        local short = redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[2])
        local fields = redis.call('HMGET', key, 'worker_name', 'started_at')
        local data = short and redis.call('HGET', key, 'data')
        jobs[#jobs + 1] = {id, fields[1] or '', fields[2] or '', data or ''}
    end
end
return jobs
"""

_WORKER_FIELDS = ("hostname", "pid", "state", "last_heartbeat", "birth")


@dataclass(frozen=True)
class RunningJob:
    """
    A job that a worker is running.
    """

    id: str
    #: The names of a request; empty for any other job, or if the data of the job is missing or too large.
    names: tuple[str, ...]
    worker: str
    started: datetime | None


@dataclass(frozen=True)
class WorkerInfo:
    """
    A registered worker.
    """

    name: str
    host: str
    pid: int
    #: The version of certworker; empty if the worker has not reported within the last 30 seconds.
    version: str
    #: `busy`, `idle`, `suspended` or another state of RQ.
    state: str
    heartbeat: datetime | None
    started: datetime | None
    #: Null if the worker has not reported its health within the last 30 seconds.
    healthy: bool | None
    #: The loops that are making no progress.
    stalled: tuple[str, ...]
    jobs: tuple[RunningJob, ...]


def workers(sources: Sources) -> tuple[WorkerInfo, ...]:
    """
    Return the registered workers, sorted by name.

    Raises:
        redis.RedisError: Redis failed.
    """
    connection = sources.connection
    jobs = running_jobs(connection)
    health = {(report.host, report.pid): report for report in reports(connection)}
    found = []
    for key in members(connection, f"rq:workers:{QUEUE}"):
        name = key.removeprefix("rq:worker:")
        values: Any = connection.hmget(key, *_WORKER_FIELDS)
        fields = dict(zip(_WORKER_FIELDS, (shown_in(value, LONGEST_WORD) for value in values), strict=True))
        if not fields["birth"]:
            continue  # a killed worker, whose hash has expired
        report = health.get((fields["hostname"], _process(fields["pid"])))
        found.append(
            WorkerInfo(
                name=name,
                host=fields["hostname"],
                pid=_process(fields["pid"]),
                version=report.version if report else "",
                state=fields["state"],
                heartbeat=decode_time(fields["last_heartbeat"]),
                started=decode_time(fields["birth"]),
                healthy=report.healthy if report else None,
                stalled=report.stalled if report else (),
                jobs=tuple(job for job in jobs if job.worker == name),
            )
        )
    return tuple(sorted(found, key=lambda worker: worker.name))


def running_jobs(connection: Redis) -> list[RunningJob]:
    """
    Return the running jobs, at most 500.

    Raises:
        redis.RedisError: Redis failed.
    """
    return list(_running(connection))


def _running(connection: Redis) -> Iterator[RunningJob]:
    read = connection.register_script(_RUNNING)
    for job_id, worker, started, data in read([f"rq:wip:{QUEUE}"], [MAX_RUNNING, LARGEST]):
        yield RunningJob(
            id=decode_text(job_id),
            names=tuple(names_of(data)),
            worker=shown_in(worker, LONGEST_WORD),
            started=decode_time(decode_text(started)),
        )


def _process(text: str) -> int:
    # Process ids have up to seven digits.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 7 else count_in(text)
