"""
The queue of utopia-php/queue (Appwrite 1.3 and later), counted as its own consumer counts.
"""

from __future__ import annotations

import json
import re
import time
from uuid import uuid4

from redis import Redis
from redis.exceptions import ResponseError

from certworker.errors import CertworkerError
from certworker.integrations.appwrite.claims import OURS, Claims, displayed
from certworker.redis.codec import decode_text
from certworker.worker.payload import LARGEST

#: Digits of a count of messages.
MOST_DIGITS = 15

# The id of a message that Appwrite's retry command can read; of any other it would stop.
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
-- A count that is no number, or a key of another type, costs no message: the core's keys stay as they are,
-- and certworker's own count starts again.
local function count(command, counter) return type(redis.pcall(command, counter)) == 'number' end
local function taken(raw)
    local ours = '{OURS}:taken:' .. name
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

# KEYS: our claims. ARGV: the message, `success` or `failed`, an id and a text for a message that has none.
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
    The queue *name* of utopia-php/queue, and what its consumer keeps in Redis.
    """

    def __init__(self, connection: Redis, name: str, worker: str) -> None:
        self._connection = connection
        self._name = name
        self._queue = f"utopia-queue.queue.{name}"
        self._claims = Claims(connection, "utopia", self._queue, worker, "RIGHT", _UTOPIA)
        self._settle = connection.register_script(_UTOPIA + _SETTLE_UTOPIA)

    def exists(self) -> bool:
        """
        Whether a core has ever used it.
        """
        kept = [f"utopia-queue.{kind}.{self._name}" for kind in ("stats", "failed", "processing")]
        return self._connection.exists(self._queue, f"{kept[0]}.total", *kept[1:]) > 0

    def take(self) -> list[bytes]:
        """
        The messages that this worker has claimed, oldest first, after it has claimed what there is.
        """
        return self._claims.take(self._name)

    def settle(self, raw: bytes, failure: CertworkerError | None = None) -> None:
        """
        The message *raw* is done with, well or with *failure*: then it can be sent again from the list of
        failures, and one that is no message is there in a form that can be read.
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
        How many messages were taken by others than certworker, as long as both of us have counted; None if
        we have just begun to.
        """
        ours = f"{OURS}:taken:{self._name}"
        if self._connection.set(ours, 0, nx=True):
            return None
        keys = (f"utopia-queue.stats.{self._name}.total", ours)
        total, taken = (self._count(key) for key in keys)
        return None if total is None or taken is None else total - taken

    def _count(self, key: str) -> int | None:
        """
        Return the number at *key*, 0 where there is none, and None for anything but a plausible count.
        """
        try:
            text = decode_text(self._connection.getrange(key, 0, MOST_DIGITS)) or "0"
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return None
        return int(text) if re.fullmatch(f"[0-9]{{1,{MOST_DIGITS}}}", text) else None
