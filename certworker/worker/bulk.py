"""
Takes jobs from the queue, returns them, or ends them without running them, in batches of hundreds.

RQ needs 7 ms for each job. A command of this module handles a batch with the same effect as RQ's own steps.
Until a job ends, its id is always on the queue or in the intermediate list, so a crash loses no job.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from redis import Redis

from certworker.state.priority_queues import NewJob
from certworker.worker.job_class import FORBIDDEN_FIELDS
from certworker.worker.payload import LARGEST
from certworker.worker.producer import FAILURE_TTL, JOB_TIMEOUT, QUEUE, QUEUE_KEY, RESULT_TTL, queue_length

INTERMEDIATE = f"{QUEUE_KEY}:intermediate"
FINISHED = f"rq:finished:{QUEUE}"

#: The maximum number of jobs in one command, which takes Redis about 10 ms.
BATCH = 500

#: KEYS: the queue, the intermediate list. ARGV: the number of ids, the maximum size of the data, the number
#: of forbidden fields, these fields, then ids in the intermediate list. Moves the last ids of the queue to
#: the intermediate list. Returns the number of ids left on the queue; then each moved or given id with its
#: data, or with false if the job needs a closer check.
_MOVE = """
local ids = redis.call('LRANGE', KEYS[1], -ARGV[1], -1)
if #ids > 0 then
    redis.call('RPUSH', KEYS[2], unpack(ids))
    redis.call('LTRIM', KEYS[1], 0, -1 - #ids)
end
for i = #ARGV, 4 + ARGV[3], -1 do table.insert(ids, 1, ARGV[i]) end
local function kind(key) return redis.call('TYPE', key).ok end
local answer = {redis.call('LLEN', KEYS[1])}
for i, id in ipairs(ids) do
    local key = 'rq:job:' .. id
    local waiting = kind(key .. ':dependents')
    local plain = kind(key) == 'hash' and redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[2])
        and kind('rq:executions:' .. id) == 'none' and (waiting == 'none' or waiting == 'set')
    for j = 4, 3 + ARGV[3] do
        plain = plain and redis.call('HSTRLEN', key, ARGV[j]) == 0
    end
    answer[i + 1] = {id, plain and redis.call('HGET', key, 'data')}
end
return answer
"""

#: KEYS: the intermediate list, the registry of finished jobs. ARGV: the current time in RQ's format; the TTL
#: of a result in seconds; the time at which the results expire; then each id with its result.
_END = """
for i = 4, #ARGV, 2 do
    local id = ARGV[i]
    local job, results = 'rq:job:' .. id, 'rq:results:' .. id
    redis.call('DEL', results)
    redis.call('XADD', results, '*', 'type', '1', 'worker_name', '', 'return_value', ARGV[i + 1])
    redis.call('EXPIRE', results, ARGV[2])
    redis.call('HSET', job, 'status', 'finished', 'ended_at', ARGV[1])
    redis.call('EXPIRE', job, ARGV[2])
    redis.call('ZADD', KEYS[2], ARGV[3], id)
    redis.call('LREM', KEYS[1], 0, id)
end
"""

#: KEYS: the intermediate list, the queue. ARGV: ids. Moves them to the head of the queue, in this order.
_REQUEUE = """
for i = #ARGV, 1, -1 do
    if redis.call('LREM', KEYS[1], 0, ARGV[i]) > 0 then redis.call('LPUSH', KEYS[2], ARGV[i]) end
end
"""


class BulkQueue:
    """
    The queue, which a worker reads and changes in batches.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._move = connection.register_script(_MOVE)
        self._end = connection.register_script(_END)
        self._requeue = connection.register_script(_REQUEUE)

    def left(self) -> int:
        """
        Return the number of jobs on the queue.
        """
        return queue_length(self._connection)

    def take(self, intermediate: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """
        Move the last batch of the queue to the intermediate list.

        Args:
            intermediate: Ids that are in the intermediate list already.

        Returns:
            The number of jobs left on the queue, and the data of each job of the batch and of *intermediate*.
            The data of a job is None if the job needs a closer check.
        """
        fields: list[int | str] = [BATCH, LARGEST, len(FORBIDDEN_FIELDS), *FORBIDDEN_FIELDS]
        left, *taken = self._move([QUEUE_KEY, INTERMEDIATE], [*fields, *intermediate])
        return left, dict(taken)

    def requeue(self, intermediate: Sequence[bytes]) -> None:
        """
        Move the ids *intermediate* to the head of the queue, in their order.
        """
        self._requeue([INTERMEDIATE, QUEUE_KEY], intermediate)

    def end(self, results: Mapping[bytes, object], now: datetime) -> None:
        """
        Record that jobs from the intermediate list finished at *now*, with these *results* by id.
        """
        flat: list[bytes] = []
        for raw_id, result in results.items():
            flat += [raw_id, b64encode(json.dumps(result).encode())]
        expires = int(now.timestamp()) + RESULT_TTL
        self._end([INTERMEDIATE, FINISHED], [_format_time(now), RESULT_TTL, expires, *flat])


def new_job(function: str, now: datetime) -> NewJob:
    """
    Return a new job that calls *function*.
    """
    job_id, created = f"issue-{uuid4().hex}", _format_time(now)
    fields = {
        "origin": QUEUE,
        "status": "queued",
        "created_at": created,
        "enqueued_at": created,
        "timeout": str(JOB_TIMEOUT),
        "result_ttl": str(RESULT_TTL),
        "failure_ttl": str(FAILURE_TTL),
        "description": f"{function} (from its priority queue)",
    }
    return NewJob(job_id, INTERMEDIATE, f"rq:job:{job_id}", f'["{function}", null, [], ', "]", fields)


def _format_time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"
