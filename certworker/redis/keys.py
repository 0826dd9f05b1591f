"""
The keys in Redis that certworker uses: the pattern, the type, and the content of each.

Every program with access to Redis can replace one of these keys with a key of another type. Redis then
answers most commands for the key with WRONGTYPE. :func:`remove_wrong` removes and logs such a key of
certworker or RQ.

docs/reference/redis-keys.md has the same keys. Words in capitals are placeholders for names, labels, ids, and
times.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from certworker.errors import printable
from certworker.redis.codec import decode_text

logger = logging.getLogger(__name__)

Type = Literal["string", "hash", "list", "set", "zset", "stream"]

#: The maximum number of bytes of a key. A longer argument of a command is a value.
LONGEST_KEY = 1_024


@dataclass(frozen=True)
class Kind:
    """
    The keys of one pattern.
    """

    pattern: str
    type: Type
    content: str
    #: Whether certworker may remove an invalid key, or its invalid parts. Of the keys of Appwrite's core,
    #: certworker only reports those of another type.
    removable: bool = True

    @property
    def largest(self) -> int:
        """
        Return the maximum number of bytes of a member, a field, a value, or an entry of a stream.
        """
        has_ids = self.pattern.startswith("rq:") and self.type not in ("hash", "stream")
        return LONGEST_KEY if has_ids else LARGEST_MEMBER

    def matches(self, key: str) -> bool:
        """
        Return whether *key* matches this pattern.
        """
        return _expression(self.pattern).fullmatch(key) is not None


#: All kinds of keys. The first pattern that matches a key applies.
KINDS = (
    Kind("certworker:agenda", "zset", "Names, with the time of the next check of each."),
    Kind("certworker:appwrite:FORMAT:alive:WORKER", "string", "A worker takes Appwrite's messages; expires."),
    Kind("certworker:appwrite:FORMAT:claims:WORKER", "list", "Messages that a worker has taken."),
    Kind("certworker:appwrite:FORMAT:workers", "set", "Workers that have taken messages."),
    Kind("certworker:appwrite:taken:QUEUE", "string", "How many messages certworker took."),
    Kind("certworker:budget:AUTHORITY", "zset", "Token buckets, with the time when each is full again."),
    Kind("certworker:challenges", "hash", "Challenge tokens to which any worker responds."),
    Kind("certworker:answering:ID", "string", "A worker answers a comparison; expires."),
    Kind("certworker:comparison:ID", "stream", "An encrypted answer to a comparison; expires."),
    Kind("certworker:comparisons", "stream", "Encrypted lists of names that hosts compare; 100 at most."),
    Kind("certworker:configuration", "string", "A digest of the settings of the last start."),
    Kind("certworker:compared", "string", "Whether the agenda has every name on the volume."),
    Kind("certworker:dns01:line:ZONE", "zset", "Orders that wait to change a zone; expires."),
    Kind("certworker:dns01:paused:PROVIDER", "string", "When a DNS provider accepts changes again; expires."),
    Kind("certworker:dns01:records", "hash", "TXT records that certworker has created."),
    Kind("certworker:dns01:removed:RECORD", "string", "A worker has deleted this TXT record; expires."),
    Kind(
        "certworker:dns01:seen:ZONE", "zset", "When each order in that line last checked its turn; expires."
    ),
    Kind(
        "certworker:dns01:settling:PROVIDER",
        "string",
        "The extra wait before validations with this DNS provider, in ms; expires.",
    ),
    Kind("certworker:doubt:NAME", "string", "A name was ordered despite a probable refusal; expires."),
    Kind("certworker:elsewhere", "hash", "Names in service that point to another server."),
    Kind("certworker:elsewhere:checked", "string", "The time until which the daily checks are done."),
    Kind("certworker:elsewhere:turn:WHAT", "string", "A worker makes these checks; expires."),
    Kind("certworker:events", "stream", "The last outcomes, for other programs."),
    Kind("certworker:fence", "string", "The last fencing token."),
    Kind("certworker:health", "set", "Workers that report their health."),
    Kind("certworker:health:WORKER", "string", "The health of a worker, and its load on Traefik; expires."),
    Kind("certworker:lane:PRIORITY:TENANT", "zset", "Requests of a tenant with one priority."),
    Kind("certworker:lane:PRIORITY", "zset", "Tenants with requests of one priority, by turn."),
    Kind("certworker:lock:NAME", "string", "A worker issues for the name, or changes a zone; expires."),
    Kind("certworker:name:NAME", "hash", "The last outcome for a name, its tenant, and its forced request."),
    Kind("certworker:nodes", "hash", "The last report of each host with its own volume."),
    Kind("certworker:order:AUTHORITY:SET", "string", "The URL of a pending order; expires."),
    Kind("certworker:outbox:CHANNEL", "list", "Notifications that wait for delivery."),
    Kind(
        "certworker:paused:AUTHORITY", "hash", "Names that the CA has paused, with the page to resume them."
    ),
    Kind("certworker:probe", "string", "Shows that Redis accepts writes; expires."),
    Kind(
        "certworker:published",
        "stream",
        "Encrypted bundles for other hosts: certificates with their keys, and removals; about 12 MB at most.",
    ),
    Kind("certworker:reminded:NAME", "set", "Reminders of the expiry of an imported certificate; expires."),
    Kind("certworker:said:WHAT", "string", "Lines that were already logged today; expires."),
    Kind("certworker:schema", "string", "The version of this layout."),
    Kind("certworker:sending:CHANNEL", "string", "A worker delivers notifications; expires."),
    Kind("certworker:sessions", "zset", "Sessions of the page that a logout has ended; expires."),
    Kind("certworker:story:NAME", "list", "The last events of a name; expires."),
    Kind("certworker:told:NAME", "set", "Subjects of notifications about a name; expires."),
    Kind("rq:clean_registries:certificates", "string", "A worker cleans RQ's registries; expires."),
    Kind("rq:canceled:certificates", "zset", "RQ's registry of canceled jobs."),
    Kind("rq:deferred:certificates", "zset", "RQ's registry of deferred jobs."),
    Kind("rq:execution:ID:EXECUTION", "hash", "One run of a job; expires."),
    Kind("rq:executions:ID", "zset", "All runs of a job."),
    Kind("rq:failed:certificates", "zset", "RQ's registry of failed jobs."),
    Kind("rq:finished:certificates", "zset", "RQ's registry of finished jobs."),
    Kind("rq:job:ID:dependents", "set", "Jobs that wait for a job."),
    Kind("rq:job:ID", "hash", "A job: the call, its status and its times."),
    Kind("rq:queue:certificates", "list", "Ids of the waiting jobs."),
    Kind("rq:queue:certificates:intermediate", "list", "Ids between the queue and a worker."),
    Kind("rq:queues", "set", "All queues of RQ."),
    Kind("rq:results:ID", "stream", "How a job ended; expires."),
    Kind("rq:scheduled:certificates", "zset", "RQ's registry of delayed jobs."),
    Kind("rq:scheduler-lock:certificates", "string", "The worker that moves delayed jobs; expires."),
    Kind("rq:scheduler:SCHEDULER", "hash", "A scheduler; expires."),
    Kind("rq:wip:certificates", "zset", "Running jobs, with the expiry of their leases."),
    Kind("rq:worker:WORKER", "hash", "A worker; expires."),
    Kind("rq:workers", "set", "All workers of RQ."),
    Kind("rq:workers:certificates", "set", "The workers of this queue."),
    Kind("resque:delayed:TIME", "list", "Delayed messages of Appwrite 1.2 and earlier.", removable=False),
    Kind("resque:delayed_queue_schedule", "zset", "The times of delayed messages.", removable=False),
    Kind("resque:failed", "list", "Messages that failed.", removable=False),
    Kind("resque:queue:QUEUE", "list", "Messages of Appwrite 1.2 and earlier.", removable=False),
    Kind("resque:queues", "set", "The queues of Appwrite 1.2 and earlier.", removable=False),
    Kind("resque:stat:COUNT", "string", "Counts of messages.", removable=False),
    Kind("utopia-queue.failed.QUEUE", "list", "Ids of messages that failed.", removable=False),
    Kind("utopia-queue.jobs.QUEUE.ID", "string", "A message in progress.", removable=False),
    Kind("utopia-queue.processing.QUEUE", "list", "Ids of messages in progress.", removable=False),
    Kind("utopia-queue.queue.QUEUE", "list", "Messages of Appwrite 1.3 and later.", removable=False),
    Kind("utopia-queue.stats.QUEUE.COUNT", "string", "Counts of messages.", removable=False),
)

#: The replies of Redis to a command that cannot use the value of a key.
_UNUSABLE = re.compile(
    "WRONGTYPE|last possible ID|smaller than the target stream|is not an integer|not a.* float|would overflow"
)

#: Commands that add to a number in a hash or in a string.
_COUNTING = {"HINCRBY", "HINCRBYFLOAT", "INCR", "INCRBY"}

#: KEYS: keys. ARGV: the expected type of each. Removes each key of another type, and each stream whose last
#: id is more than a day ahead. A stream whose last id is the last possible one accepts no new entry. Returns
#: the removed keys with their types.
_REMOVE = """
local removed = {}
local tomorrow = redis.call('TIME')[1] + 86400
for i, key in ipairs(KEYS) do
    local found = redis.call('TYPE', key).ok
    local wrong = found ~= 'none' and found ~= ARGV[i] and found
    if found == 'stream' and not wrong then
        local facts = redis.call('XINFO', 'STREAM', key)
        for j = 1, #facts, 2 do
            local last = facts[j] == 'last-generated-id' and string.match(facts[j + 1], '^%d+')
            if last and tonumber(last) / 1000 > tomorrow then wrong = found end
        end
    end
    if wrong then
        redis.call('UNLINK', key)
        removed[#removed + 1] = {key, wrong}
    end
end
return removed
"""


#: The maximum number of bytes of a member, a field, a value, or an entry of a stream. RQ's lists, sets,
#: sorted sets, and strings contain ids and keys, which are shorter.
LARGEST_MEMBER = 64 * 1024

#: KEYS: keys. ARGV: for each, the maximum number of bytes of a member, a field, a value, or an entry. Removes
#: what is larger, and returns the number of removals for each key.
_REMOVE_LARGE = """
local removed = {}
for i, key in ipairs(KEYS) do
    local kind, most, large, members = redis.call('TYPE', key).ok, tonumber(ARGV[i]), {}, {}
    if kind == 'string' and #redis.call('GET', key) > most then redis.call('UNLINK', key) removed[i] = 1 end
    if kind == 'list' then members = redis.call('LRANGE', key, 0, -1) end
    if kind == 'set' then members = redis.call('SMEMBERS', key) end
    if kind == 'zset' then members = redis.call('ZRANGE', key, 0, -1) end
    if kind == 'hash' then members = redis.call('HKEYS', key) end
    if kind == 'stream' then
        for _, entry in ipairs(redis.call('XREVRANGE', key, '+', '-')) do
            local size = 0
            for _, part in ipairs(entry[2]) do size = size + #part end
            if size > most then large[#large + 1] = entry[1] end
        end
    end
    for _, member in ipairs(members) do
        local size = #member
        if kind == 'hash' then size = math.max(size, redis.call('HSTRLEN', key, member)) end
        if size > most then large[#large + 1] = member end
    end
    for _, member in ipairs(large) do
        if kind == 'list' then redis.call('LREM', key, 0, member) end
        if kind == 'set' then redis.call('SREM', key, member) end
        if kind == 'zset' then redis.call('ZREM', key, member) end
        if kind == 'hash' then redis.call('HDEL', key, member) end
        if kind == 'stream' then redis.call('XDEL', key, member) end
    end
    removed[i] = removed[i] or #large
end
return removed
"""


class WrongType(ResponseError):
    """
    A key has the wrong type, and certworker may not remove it.
    """

    def __init__(self, key: str, found: str, wanted: str) -> None:
        self.key, self.found, self.wanted = key, found, wanted
        super().__init__(f"WRONGTYPE {key} is a {found}, not a {wanted}")


@lru_cache(maxsize=4_096)
def kind_of(key: str) -> Kind | None:
    """
    Return the kind of *key*, or None if the key matches no pattern.
    """
    return next((kind for kind in KINDS if kind.matches(key)), None)


def remove_wrong(connection: Redis, command: Sequence[Any], error: ResponseError) -> bool:
    """
    Remove the key or field that caused *error*. Return whether the command may now succeed.

    This function removes and logs a key of :data:`KINDS` with another type, a stream with an id more than a
    day ahead, and an invalid number.

    Args:
        connection: The connection to Redis.
        command: The name of the command and its arguments.
        error: The reply to the command.

    Raises:
        WrongType: The key belongs to Appwrite's core, or the Redis user may not remove it.
    """
    if not _UNUSABLE.search(str(error)):
        return False
    if "WRONGTYPE" not in str(error) and str(command[0]).upper() in _COUNTING:
        return _remove_number(connection, command)
    found = {key: kind for part in command[1:] if (key := _key(part)) and (kind := kind_of(key))}
    removable = {key: kind.type for key, kind in found.items() if kind.removable}
    try:
        arguments = (*removable, *removable.values())
        removed: Any = connection.eval(_REMOVE, len(removable), *arguments) if removable else []
    except NoPermissionError:
        removed = []
    for key, was in removed:
        _log_removed(decode_text(key), decode_text(was), removable)
    if not removed:
        _name_wrong(connection, found)
    # Another thread or worker may have removed the key between the two commands.
    return bool(removable)


def remove_large(connection: Redis, command: Sequence[Any]) -> None:
    """
    Remove oversized values from the keys of *command*, whose reply was too long.

    From the removable keys of :data:`KINDS`, this function removes the members, fields, values, and entries
    that are larger than those of certworker and RQ. It logs each key from which it removed something.

    Args:
        connection: The connection to Redis.
        command: The name of the command and its arguments.
    """
    kinds = {key: kind for part in command[1:] if (key := _key(part)) and (kind := kind_of(key))}
    most = {key: kind.largest for key, kind in kinds.items() if kind.removable}
    try:
        removed: Any = connection.eval(_REMOVE_LARGE, len(most), *most, *most.values()) if most else []
    except NoPermissionError:
        return
    for key, count in zip(most, removed, strict=True):
        if count:
            logger.warning(
                "removed entries of more than %d bytes from %s: %d",
                most[key],
                printable(key, 200),
                count,
                extra={"code": "redis.wrong_type"},
            )


def _log_removed(key: str, was: str, wanted: Mapping[str, str]) -> None:
    extra = {"code": "redis.wrong_type"}
    if was == wanted.get(key):
        logger.warning(
            "removed a stream with an id in the future from Redis: %s", printable(key, 200), extra=extra
        )
        return
    logger.warning(
        "removed a key of the wrong type from Redis: %s was a %s, not a %s",
        printable(key, 200),
        was,
        wanted.get(key, "key of certworker"),
        extra=extra,
    )


def _remove_number(connection: Redis, command: Sequence[Any]) -> bool:
    key = _key(command[1])
    kind = kind_of(key) if key else None
    if key is None or kind is None or not kind.removable:
        return False
    field = decode_text(command[2]) if kind.type == "hash" else ""
    if connection.hdel(key, field) if field else connection.delete(key):
        logger.warning(
            "removed an invalid number from Redis: %s %s",
            printable(key, 200),
            printable(field, 200),
            extra={"code": "redis.wrong_type"},
        )
    # Another thread or worker may have removed the number between the two commands.
    return True


def _name_wrong(connection: Redis, found: Mapping[str, Kind]) -> None:
    for key, kind in found.items():
        try:
            is_now = decode_text(connection.type(key))
        except NoPermissionError:
            continue
        if is_now not in ("none", kind.type):
            raise WrongType(key, is_now, kind.type)


def _key(part: object) -> str | None:
    if not isinstance(part, str | bytes) or len(part) > LONGEST_KEY:
        return None
    try:
        return part if isinstance(part, str) else part.decode()
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=len(KINDS))
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".+" if part.isupper() else re.escape(part) for part in re.split(r"([A-Z]+)", pattern)),
        re.DOTALL,
    )
