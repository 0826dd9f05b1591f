"""
The notifications that wait for delivery, and the subjects of past notifications.

Both survive restarts of certworker. One worker at a time delivers the notifications of a channel.
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
REMINDED = "certworker:reminded:"

#: The maximum number of notifications that are stored for one channel. If its receiver does not respond, the
#: oldest are dropped. The log contains all of them.
MAX_ENTRIES = 1_000

#: The maximum number of bytes of a notification.
LARGEST_NOTIFICATION = 16_384

#: After this time, another worker delivers, because the delivering worker was probably killed.
DELIVERY_TIMEOUT = timedelta(minutes=2)

#: How long the subjects of a name are stored after the latest of them. If the cause of a notification
#: continues, the notification is then repeated.
NOTIFIED_TTL = timedelta(days=90)

# KEYS: the outbox. ARGV: the maximum number of notifications, the maximum bytes of a notification. Replaces a
# larger entry with an empty string, which is not a notification.
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

# KEYS: the subjects of past notifications about a name, then the outbox of each channel. ARGV: the subject,
# the expiry of the subjects in seconds, the maximum number of stored notifications, the notification. The
# script writes the outboxes before the subject, so that a failure does not lose the notification. It limits
# the expiry of the set of subjects.
_NOTIFY_ONCE = """
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

# KEYS: as above. ARGV: the maximum number of stored notifications, the notification of the recovery. Removes
# the subjects. Does nothing if there are none.
_NOTIFY_RECOVERY = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #KEYS do
    redis.call('RPUSH', KEYS[i], ARGV[2])
    redis.call('LTRIM', KEYS[i], -ARGV[1], -1)
end
return redis.call('DEL', KEYS[1])
"""

Entry = TypeVar("Entry")


class Outbox:
    """
    The notifications that wait for delivery through one channel.

    Methods raise redis.RedisError if Redis fails.

    Args:
        connection: The connection to Redis.
        channel: `mail` or `hook`.
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
        Return the number of waiting notifications.
        """
        return int(self._connection.llen(self.key))

    def put(self, notification: Mapping[str, Any]) -> None:
        """
        Store *notification* until its delivery.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            pipe.rpush(self.key, encode(notification))
            pipe.ltrim(self.key, -MAX_ENTRIES, -1)
            pipe.execute()

    def deliver(self, read: Callable[[str], Entry | None], send: Callable[[Sequence[Entry]], object]) -> int:
        """
        Deliver all notifications with one call of *send*, and remove them when it returns.

        Do nothing while another worker is delivering.

        Args:
            read: Returns the notification in a string, or None if it is invalid. Invalid entries are removed.
            send: Delivers notifications. If it raises an error, they remain in the outbox, and this method
                raises the same error.

        Returns:
            The number of delivered notifications.
        """
        owner = secrets.token_hex(8)
        if not self._once.first(self._channel, owner):
            return 0
        try:
            lines: list[bytes] = self._read([self.key], [MAX_ENTRIES, LARGEST_NOTIFICATION])
            entries = {line: entry for line in lines if (entry := read(decode_text(line))) is not None}
            self._remove_invalid([line for line in lines if line not in entries])
            if entries:
                send(list(entries.values()))
            # Remove the entries by their content, because the oldest may have been dropped in the meantime.
            self._remove(entries)
        finally:
            self._release([SENDING + self._channel], [owner])
        return len(entries)

    def _remove_invalid(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._remove(lines)
            logger.warning("removed invalid entries from the Redis key %s: %d", self.key, len(lines))

    def _remove(self, lines: Iterable[bytes]) -> None:
        with self._connection.pipeline(transaction=True) as pipe:
            for line in lines:
                pipe.lrem(self.key, 0, line)  # type: ignore[arg-type] # redis-py accepts bytes as well
            pipe.execute()


class NotificationLog:
    """
    The subjects of past notifications, so that certworker does not notify after every attempt.

    Methods raise redis.RedisError if Redis fails.
    """

    def __init__(self, connection: Redis) -> None:
        self._notify_once = connection.register_script(_NOTIFY_ONCE)
        self._notify_recovery = connection.register_script(_NOTIFY_RECOVERY)

    def notify_once(
        self, name: str, subject: str, notification: Mapping[str, Any], outboxes: Iterable[Outbox]
    ) -> bool:
        """
        Put *notification* into all *outboxes*, unless there already was one about *subject* of *name*.

        Returns:
            Whether the notification is new.
        """
        return self._once(NOTIFIED + name, subject, notification, outboxes)

    def remind_once(
        self, name: str, subject: str, notification: Mapping[str, Any], outboxes: Iterable[Outbox]
    ) -> bool:
        """
        Put *notification* into all *outboxes*, unless there already was a reminder of *subject* of *name*.

        After a recovery of the name, its reminders are not repeated.

        Returns:
            Whether the reminder is new.
        """
        return self._once(REMINDED + name, subject, notification, outboxes)

    def _once(
        self, key: str, subject: str, notification: Mapping[str, Any], outboxes: Iterable[Outbox]
    ) -> bool:
        keys = [key, *(outbox.key for outbox in outboxes)]
        seconds = int(NOTIFIED_TTL.total_seconds())
        return bool(self._notify_once(keys, [subject, seconds, MAX_ENTRIES, encode(notification)]))

    def notify_recovery(self, name: str, notification: Mapping[str, Any], outboxes: Iterable[Outbox]) -> bool:
        """
        Put *notification* into all *outboxes* if there was a notification about any subject of *name*.

        Forget those subjects.

        Returns:
            Whether there was one.
        """
        keys = [NOTIFIED + name, *(outbox.key for outbox in outboxes)]
        return bool(self._notify_recovery(keys, [MAX_ENTRIES, encode(notification)]))


def encode(notification: Mapping[str, Any]) -> str:
    """
    Return *notification* as an entry of an outbox.
    """
    return json.dumps(dict(notification))
