"""
The queue of php-resque (Appwrite 1.2 and earlier), with the delayed jobs of its scheduler.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from redis import Redis

from certworker.errors import CertworkerError
from certworker.integrations.appwrite.claims import Claims, displayed
from certworker.worker.payload import LARGEST, read_json

# KEYS: the queue, the times of delayed jobs. ARGV: the current time, the name of the queue. Moves the jobs of
# this queue that are due. Delayed jobs of other queues, and lists of another type, are unchanged.
_BRING_DELAYED = """
for _, moment in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, 100)) do
    local list = 'resque:delayed:' .. moment
    local jobs = redis.call('TYPE', list).ok == 'list' and redis.call('LRANGE', list, 0, 999) or {}
    for _, raw in ipairs(jobs) do
        local read, item = pcall(cjson.decode, raw)
        if read and type(item) == 'table' and item.queue == ARGV[2] then
            redis.call('RPUSH', KEYS[1], raw)
            redis.call('LREM', list, 1, raw)
        end
    end
    if redis.call('EXISTS', list) == 0 then redis.call('ZREM', KEYS[2], moment) end
end
"""

# KEYS: the claims. ARGV: the message, the entry for the list of failures, or an empty string after a success.
# Only the tools of php-resque read the statistics and the list. Such a key of another type is unchanged, and
# affects no message.
_SETTLE_RESQUE = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
redis.pcall('INCR', 'resque:stat:processed')
if ARGV[2] ~= '' then
    redis.pcall('INCR', 'resque:stat:failed')
    redis.pcall('RPUSH', 'resque:failed', ARGV[2])
end
return 1
"""


class ResqueQueue:
    """
    The queue *name* of php-resque, with its delayed jobs and the keys of its worker.
    """

    DELAYED = "resque:delayed_queue_schedule"

    def __init__(self, connection: Redis, name: str, worker: str) -> None:
        self._connection = connection
        self._name = name
        self._queue = f"resque:queue:{name}"
        script = "local function taken() end\n"
        self._claims = Claims(connection, "resque", self._queue, worker, "LEFT", script)
        self._bring_delayed = connection.register_script(_BRING_DELAYED)
        self._settle = connection.register_script(_SETTLE_RESQUE)

    def exists(self) -> bool:
        """
        Return whether Appwrite has used the queue, or any queue of php-resque has delayed jobs.
        """
        known = self._connection.sismember("resque:queues", self._name)
        return bool(known) or self._connection.exists(self._queue, self.DELAYED) > 0

    def take(self) -> list[bytes]:
        """
        Claim the waiting messages and the delayed ones that are due, and return all claims, oldest first.
        """
        self._bring_delayed([self._queue, self.DELAYED], [int(time.time()), self._name])
        return self._claims.take()

    def settle(self, raw: bytes, failure: CertworkerError | None = None) -> None:
        """
        Remove the claim of the message *raw*. The tools of php-resque show its *failure*.
        """
        entry = "" if failure is None else json.dumps(self._failed(raw, failure))
        self._settle([self._claims.key], [raw, entry])

    def _failed(self, raw: bytes, failure: CertworkerError) -> dict[str, object]:
        return {
            "failed_at": f"{datetime.now(UTC):%a %b %d %H:%M:%S UTC %Y}",
            "payload": _payload(raw),
            "exception": failure.code,
            "error": f"{failure.message} {failure.docker_remedy}",
            "backtrace": [],
            "worker": "certworker",
            "queue": self._name,
        }


def _payload(raw: bytes) -> object:
    try:
        return read_json(raw) if len(raw) <= LARGEST else {"malformed": displayed(raw)}
    except CertworkerError:
        return {"malformed": displayed(raw)}
