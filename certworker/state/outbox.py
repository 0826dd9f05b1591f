"""
The notifications that wait for their delivery.

They survive restarts, and of all workers one delivers them.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from redis import Redis

from certworker.redis.codec import decode_text
from certworker.state.once_per import OncePer

logger = logging.getLogger(__name__)

OUTBOX = "certworker:outbox:"
SENDING = "certworker:sending:"
NOTIFIED = "certworker:told:"

#: More than this is not stored for a receiver that is away; the log has all of it.
MAX_ENTRIES = 1_000

#: Bytes. No notification is longer.
LARGEST_LETTER = 16_384

#: One worker delivers; if it dies meanwhile, another one delivers after this.
DELIVERY_TIMEOUT = timedelta(minutes=2)

#: What was told once is told again after this, should it still be true and never have been taken back.
NOTIFIED_TTL = timedelta(days=90)

# KEYS: the letters. ARGV: how many are stored, the largest size. What is larger is removed, and its place
# holds an empty text, which is no letter.
_READ = """
local lines = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)
for i, line in ipairs(lines) do
    if #line > tonumber(ARGV[2]) then
        redis.call('LSET', KEYS[1], i - 1, '')
        lines[i] = ''
    end
end
return lines
"""

# KEYS: the lock. ARGV: the token of its owner.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

# KEYS: what has been told of a name, then an outbox for each channel.
# ARGV: what is to be told, for how many seconds it counts as told, how many letters are stored, the letter.
# The letter comes first, or a failure between the two would lose it.
# What has been told without end, or for longer, counts as told for our time.
_TELL_ONCE = """
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > 1000 * ARGV[2] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 0 end
for i = 2, #KEYS do
    redis.call('RPUSH', KEYS[i], ARGV[4])
    redis.call('LTRIM', KEYS[i], -ARGV[3], -1)
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

# The same for the end of what has been told. ARGV: how many letters are stored, the letter.
_TAKE_BACK = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #KEYS do
    redis.call('RPUSH', KEYS[i], ARGV[2])
    redis.call('LTRIM', KEYS[i], -ARGV[1], -1)
end
return redis.call('DEL', KEYS[1])
"""

Letter = TypeVar("Letter")


class Outbox:
    """
    The letters to one receiver.

    Args:
        channel: Which one: `mail` or `hook`.
    """

    def __init__(self, connection: Redis, channel: str) -> None:
        self._connection = connection
        self.key = OUTBOX + channel
        self._channel = channel
        self._once = OncePer(connection, SENDING, DELIVERY_TIMEOUT)
        self._read = connection.register_script(_READ)
        self._release = connection.register_script(_RELEASE)

    def __len__(self) -> int:
        """
        How many letters wait.
        """
        return int(self._connection.llen(self.key))

    def put(self, letter: Mapping[str, Any]) -> None:
        """
        Store *letter*, which is JSON, until it is delivered.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            pipe.rpush(self.key, written(letter))
            pipe.ltrim(self.key, -MAX_ENTRIES, -1)
            pipe.execute()

    def deliver(
        self, read: Callable[[str], Letter | None], send: Callable[[Sequence[Letter]], object]
    ) -> int:
        """
        Hand all letters to *send* at once, and forget them when it returns.

        While another worker delivers nothing happens.

        Args:
            read: Makes a letter of its text; None: it is no letter, and is removed.
            send: Whatever it raises is passed on, and the letters stay.

        Returns:
            How many letters were delivered.
        """
        owner = secrets.token_hex(8)
        if not self._once.first(self._channel, owner):
            return 0
        try:
            lines: list[bytes] = self._read([self.key], [MAX_ENTRIES, LARGEST_LETTER])
            letters = {line: letter for line in lines if (letter := read(decode_text(line))) is not None}
            self._remove_foreign([line for line in lines if line not in letters])
            if letters:
                send(list(letters.values()))
            # By their content: the oldest ones may have been removed meanwhile to make room for others.
            self._remove(letters)
        finally:
            self._release([SENDING + self._channel], [owner])
        return len(letters)

    def _remove_foreign(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._remove(lines)
            logger.warning("removed %d entries from %s: they are no notifications", len(lines), self.key)

    def _remove(self, lines: Iterable[bytes]) -> None:
        with self._connection.pipeline(transaction=True) as pipe:
            for line in lines:
                pipe.lrem(self.key, 0, line)  # type: ignore[arg-type]
            pipe.execute()


class NotificationLog:
    """
    What has been told already, so that nothing is told once per attempt.
    """

    def __init__(self, connection: Redis) -> None:
        self._tell_once = connection.register_script(_TELL_ONCE)
        self._take_back = connection.register_script(_TAKE_BACK)

    def tell_once(self, name: str, what: str, letter: Mapping[str, Any], outboxes: Iterable[Outbox]) -> bool:
        """
        Put *letter* into all *outboxes*, unless *what* has been told of *name*; return whether it was put.
        """
        keys = [NOTIFIED + name, *(outbox.key for outbox in outboxes)]
        seconds = int(NOTIFIED_TTL.total_seconds())
        return bool(self._tell_once(keys, [what, seconds, MAX_ENTRIES, written(letter)]))

    def forget(self, name: str, letter: Mapping[str, Any], outboxes: Iterable[Outbox]) -> bool:
        """
        Put *letter* into all *outboxes* if anything has been told of *name*, and forget that it was.

        Returns:
            Whether it was put.
        """
        keys = [NOTIFIED + name, *(outbox.key for outbox in outboxes)]
        return bool(self._take_back(keys, [MAX_ENTRIES, written(letter)]))


def written(letter: Mapping[str, Any]) -> str:
    """
    Return *letter* as it stands in an outbox.
    """
    return json.dumps(dict(letter))
