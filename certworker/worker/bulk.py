"""
The queue, hundreds of jobs at a time: taken, put back, or ended without having run.

One by one a job takes RQ seven milliseconds. What is done here in one command has the same effect as RQ's
own steps, and each id is always in a list: on the queue, or in between.
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

#: Jobs in one command: some 10 ms of Redis's time.
PORTION = 500

#: KEYS: the queue, the list in between. ARGV: how many ids, the largest data, how many fields are forbidden,
#: these, then ids that are in between already. Moves the last ids of the queue. How many are left; then each
#: with its data, or false if it is not plain: on the longer way it is told what is wrong with it.
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

#: KEYS: the list in between, the registry of finished jobs. ARGV: now, as RQ writes it; seconds that a result
#: is kept; when that is over; then each id with its result.
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

#: KEYS: the list in between, the queue. ARGV: ids, to be the first of the queue in this order.
_REQUEUE = """
for i = #ARGV, 1, -1 do
    if redis.call('LREM', KEYS[1], 0, ARGV[i]) > 0 then redis.call('LPUSH', KEYS[2], ARGV[i]) end
end
"""


class BulkQueue:
    """
    The queue of a worker, by the hundred.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._move = connection.register_script(_MOVE)
        self._end = connection.register_script(_END)
        self._put_back = connection.register_script(_REQUEUE)

    def left(self) -> int:
        """
        How many jobs are on the queue.
        """
        return queue_length(self._connection)

    def take(self, in_between: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """
        The ids *in_between* and the last portion of the queue, which then is in between, too.

        Returns:
            How many are left on the queue, and the data of each that was taken; None for a job that is not
            plain, whatever is wrong with it.
        """
        fields: list[int | str] = [PORTION, LARGEST, len(FORBIDDEN_FIELDS), *FORBIDDEN_FIELDS]
        left, *taken = self._move([QUEUE_KEY, INTERMEDIATE], [*fields, *in_between])
        return left, dict(taken)

    def requeue(self, in_between: Sequence[bytes]) -> None:
        """
        Let the ids *in_between* be the first of the queue, in their order.
        """
        self._put_back([INTERMEDIATE, QUEUE_KEY], in_between)

    def end(self, results: Mapping[bytes, object], now: datetime) -> None:
        """
        End the jobs with these ids, which are in between, with these *results*.
        """
        flat: list[bytes] = []
        for raw_id, result in results.items():
            flat += [raw_id, b64encode(json.dumps(result).encode())]
        over = int(now.timestamp()) + RESULT_TTL
        self._end([INTERMEDIATE, FINISHED], [_written(now), RESULT_TTL, over, *flat])


def new_job(function: str, now: datetime) -> NewJob:
    """
    A job that calls *function*; it will be in between, as if it had been taken from the queue.
    """
    job_id, created = f"issue-{uuid4().hex}", _written(now)
    fields = {
        "origin": QUEUE,
        "status": "queued",
        "created_at": created,
        "enqueued_at": created,
        "timeout": str(JOB_TIMEOUT),
        "result_ttl": str(RESULT_TTL),
        "failure_ttl": str(FAILURE_TTL),
        "description": f"{function} (from its lane)",
    }
    return NewJob(job_id, INTERMEDIATE, f"rq:job:{job_id}", f'["{function}", null, [], ', "]", fields)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
