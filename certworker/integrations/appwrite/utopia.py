"""
The queue of utopia-php/queue (Appwrite 1.3 and later), with the counts of its consumer.
"""

from __future__ import annotations

import json
import re
import time
from uuid import uuid4

from redis import Redis
from redis.exceptions import ResponseError

from certworker.errors import CertworkerError
from certworker.integrations.appwrite.claims import KEY_PREFIX, Claims, displayed
from certworker.redis.codec import decode_text
from certworker.worker.payload import LARGEST

#: The maximum number of digits of a plausible count.
MOST_DIGITS = 15

# `pid_of` returns the id of a message only if Appwrite's retry command can read the message, because the
# command stops at any other message.
_UTOPIA = f"""
local name = ARGV[#ARGV]
local function key(kind, ...) return table.concat({{'utopia-queue', kind, name, ...}}, '.') end
local function pid_of(raw)
    if #raw > {LARGEST} then return nil end
    local read, message = pcall(cjson.decode, raw)
    if not read or type(message) ~= 'table' then return nil end
    local whole = type(message.payload) == 'table' and type(message.queue) == 'string'
        and type(message.timestamp) == 'number' and type(message.pid) == 'string'
    return whole and #message.pid <= 100 and string.match(message.pid, '^[%w._-]+$')
end
-- A count that is not a number, or a key of another type, does not affect messages: the core's keys are
-- unchanged, and certworker's own count starts again.
local function count(command, counter) return type(redis.pcall(command, counter)) == 'number' end
local function taken(raw)
    local ours = '{KEY_PREFIX}:taken:' .. name
    count('INCR', key('stats', 'total'))
    if not count('INCR', ours) then redis.call('SET', ours, 1) end
    count('INCR', key('stats', 'processing'))
    local pid = pid_of(raw)
    if pid then
        redis.call('SET', key('jobs', pid), raw)
        redis.pcall('LPUSH', key('processing'), pid)
    end
end
"""

# KEYS: the claims. ARGV: the message, `success` or `failed`, an id and a string for a message that Appwrite's
# retry command cannot read, the name of the queue.
_SETTLE_UTOPIA = """
local raw, how, pid_of_ours, text_of_ours = unpack(ARGV)
if redis.call('LREM', KEYS[1], -1, raw) == 0 then return 0 end
local pid = pid_of(raw)
if pid then redis.pcall('LREM', key('processing'), 1, pid) end
if how == 'success' then
    if pid then redis.call('DEL', key('jobs', pid)) end
else
    if not pid then
        pid = pid_of_ours
        redis.call('SET', key('jobs', pid), text_of_ours)
    end
    redis.pcall('LPUSH', key('failed'), pid)
end
count('INCR', key('stats', how))
count('DECR', key('stats', 'processing'))
return 1
"""


class UtopiaQueue:
    """
    The queue *name* of utopia-php/queue, with the keys of its consumer.
    """

    def __init__(self, connection: Redis, name: str, worker: str) -> None:
        self._connection = connection
        self._name = name
        self._queue = f"utopia-queue.queue.{name}"
        self._claims = Claims(connection, "utopia", self._queue, worker, "RIGHT", _UTOPIA)
        self._settle = connection.register_script(_UTOPIA + _SETTLE_UTOPIA)

    def exists(self) -> bool:
        """
        Return whether Appwrite has used the queue.
        """
        keys = [f"utopia-queue.{kind}.{self._name}" for kind in ("stats", "failed", "processing")]
        return self._connection.exists(self._queue, f"{keys[0]}.total", *keys[1:]) > 0

    def take(self) -> list[bytes]:
        """
        Claim the waiting messages, and return all claims of this worker, oldest first.
        """
        return self._claims.take(self._name)

    def settle(self, raw: bytes, failure: CertworkerError | None = None) -> None:
        """
        Remove the claim of the message *raw*.

        After a *failure*, Appwrite's retry command can send the message again. Instead of a message that the
        command cannot read, certworker stores one with its printable beginning.
        """
        how, pid = "failed" if failure else "success", uuid4().hex
        text = {
            "pid": pid,
            "queue": self._name,
            "timestamp": int(time.time()),
            "payload": {"malformed": displayed(raw)},
        }
        self._settle([self._claims.key], [raw, how, pid, json.dumps(text), self._name])

    def taken_by_others(self) -> int | None:
        """
        Return how many messages other consumers have taken.

        Return None if certworker's own count was missing and starts now, or if a count is invalid.
        """
        own_count = f"{KEY_PREFIX}:taken:{self._name}"
        if self._connection.set(own_count, 0, nx=True):
            return None
        keys = (f"utopia-queue.stats.{self._name}.total", own_count)
        total, taken = (self._count(key) for key in keys)
        return None if total is None or taken is None else total - taken

    def _count(self, key: str) -> int | None:
        """
        Return the number at *key*; 0 if there is no key, and None if the value is not a plausible count.
        """
        try:
            text = decode_text(self._connection.getrange(key, 0, MOST_DIGITS)) or "0"
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return None
        return int(text) if re.fullmatch(f"[0-9]{{1,{MOST_DIGITS}}}", text) else None
