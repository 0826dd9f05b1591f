"""
Takes jobs from the queue, each with its fields in one round trip.

The command that takes an id from the queue also puts it into the intermediate list, so that a crash does not
lose it; see :mod:`certworker.worker.recovery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq.queue import Queue

from certworker.worker.job_class import MEASURED, READ
from certworker.worker.payload import LARGEST
from certworker.worker.queue_stats import SUSPENDED

#: KEYS: the mark of a suspension, the queue, the intermediate list. ARGV: `take` for the next job; `read` for
#: an id that is in the intermediate list; or `last` for the last id of that list. Then the id for `read`, and
#: the arguments of READ. `take` takes nothing while the workers are suspended. Returns whether the workers
#: are suspended, the number of jobs that are left, and the id with the fields of the job, if there is a job.
#: If the key of the job is not a hash, the fields are missing.
_TAKE = f"""
local suspended, id = redis.call('EXISTS', KEYS[1]), ARGV[2]
if ARGV[1] == 'take' then
    id = suspended == 0 and redis.call('LMOVE', KEYS[2], KEYS[3], 'LEFT', 'RIGHT')
end
if ARGV[1] == 'last' then id = redis.call('LINDEX', KEYS[3], -1) end
local left = redis.call('LLEN', KEYS[2])
if not id then return {{suspended, left}} end
local job = 'rq:job:' .. id
if redis.call('TYPE', job).ok ~= 'hash' then return {{suspended, left, id}} end
local function read(KEYS, ARGV)
{READ}
end
return {{suspended, left, id, read({{job}}, {{unpack(ARGV, 3)}})}}
"""


@dataclass(frozen=True)
class Taken:
    """
    The result of an attempt to take a job.
    """

    is_suspended: bool
    #: The number of jobs on the queue after the attempt.
    left: int
    #: The id of the job, in the intermediate list; None if no job was taken.
    raw_id: bytes | None = None
    #: The fields of the job, as :meth:`AllowlistedJob.find` accepts them; None if they still have to be read.
    found: Sequence[Any] | None = None


class Intake:
    """
    Takes jobs from *queue*.
    """

    def __init__(self, queue: Queue) -> None:
        self._connection: Redis = queue.connection
        self._keys = [SUSPENDED, queue.key, queue.intermediate_queue_key]
        self._take = self._connection.register_script(_TAKE)

    def take(self) -> Taken:
        """
        Take the next job, if a job is waiting and the workers are not suspended.
        """
        return self._run("take")

    def wait(self, seconds: float) -> Taken | None:
        """
        Take the next job, even while the workers are suspended; return None if no job comes within *seconds*.

        Redis runs the script as soon as a job has come or the time has passed, so both commands take one
        round trip.
        """
        queue, intermediate = self._keys[1:]
        with self._connection.pipeline(transaction=False) as pipe:
            # redis-py also accepts a fraction of a second.
            pipe.blmove(queue, intermediate, seconds)  # type: ignore[arg-type]
            pipe.evalsha(self._take.sha, len(self._keys), *self._keys, *_arguments("last"))
            raw_id, found = pipe.execute(raise_on_error=False)
        if isinstance(raw_id, Exception):
            raise raw_id
        if raw_id is None:
            return None
        # The last id may be one that another worker took, and Redis may have lost the script.
        is_read = isinstance(found, list) and found[2:3] == [raw_id]
        return _taken(found) if is_read else self._run("read", raw_id)

    def _run(self, action: str, raw_id: bytes = b"") -> Taken:
        return _taken(self._take(self._keys, _arguments(action, raw_id)))


def _arguments(action: str, raw_id: bytes = b"") -> list[Any]:
    return [action, raw_id, LARGEST, *MEASURED]


def _taken(reply: Sequence[Any]) -> Taken:
    suspended, left, *job = reply
    return Taken(bool(suspended), left, *job)
