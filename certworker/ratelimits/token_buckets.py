"""
Token buckets in Redis. One atomic step takes a token from all buckets, or from none.

Each bucket is one number (GCRA): the time when the bucket is full again. Taking a token adds the refill
interval to that time. A token is available if the time is not too far ahead. All buckets of a CA are members
of one sorted set, with these times as scores. A bucket without a member is full, unless the whole set is
missing, because an eviction removes the whole set.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, cast

from redis import Redis

from certworker.errors import printable
from certworker.redis.codec import LATEST, decode_text, score_to_time

logger = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: A member of each complete set. A set without this member was lost, and its other members are incomplete.
PRESENT = "alive"
#: A member after a loss, until the tokens that were used before the loss have certainly been refilled.
UNCERTAIN = "doubt"

#: A refused request is retried after at most a day, or when its bucket has a token, if that is later. For a
#: week after that time, its place in the line remains valid.
LONGEST_WAIT_MS = 86_400_000
REMEMBERED_MS = 604_800_000

#: The longest window that a CA documents, and the default of :attr:`TokenBucket.longest`.
LONGEST_WINDOW = timedelta(days=7)
#: A hundred years: about the length of a line of a million names with one certificate an hour.
LONGEST_LINE_MS = 3_155_760_000_000

#: KEYS: the sorted set. ARGV[1]: the current time in milliseconds since 1970; empty for the clock of Redis,
#: which all workers share. A time more than `furthest` milliseconds ahead is invalid: it counts as lost, and
#: `odd` lists its member.
_NOW = """
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local odd = {}
local function score(member, furthest)
    local text = redis.call('ZSCORE', KEYS[1], member)
    local found = text == 'inf' and math.huge or tonumber(text or nil)
    if not found then return nil end
    if found <= now + furthest then return found end
    odd[#odd + 1] = member
    return nil
end
"""

#: ARGV[2]: the identifier of the request. ARGV[3]: the longest time of uncertainty. ARGV[4...]: for each
#: bucket its member, interval, room, uncertainty, the reserve for new requests (negative without a line), and
#: the longest closure. Returns {} if the tokens were taken; {0} if the set was lost; {0, ...} with invalid
#: members; otherwise the number of the last bucket to have a token, and that time. A refused request with an
#: identifier gets a place in the line of the bucket, and retains it at each attempt. Distant places are
#: spread over the second half of the longest wait. The line therefore moves even if many requests do not
#: return. The script removes invalid members together with PRESENT, so that the worker restores the buckets
#: from the volume.
_TAKE = f"""{_NOW}
if not redis.call('ZSCORE', KEYS[1], '{PRESENT}') then return {{0}} end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local turn, longest, far = 'turn ' .. ARGV[2], {{}}, 0
for i = 4, #ARGV, 6 do
    longest[i] = tonumber(ARGV[i + 5])
    far = math.max(far, longest[i])
end
local doubt = score('{UNCERTAIN}', tonumber(ARGV[3]))
local promised = score(turn, 2 * math.max(far, {LONGEST_WAIT_MS}) + {REMEMBERED_MS})
local full, last, latest = {{}}, nil, now
for i = 4, #ARGV, 6 do
    local interval, room = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local found = score(ARGV[i], longest[i] + room - interval)
    full[i] = found or (doubt and now + tonumber(ARGV[i + 3])) or now
    local free = full[i] + interval - room
    if promised then free = free + math.max(tonumber(ARGV[i + 4]), 0) end
    if free > latest then last, latest = i, free end
end
local kept = last and tonumber(ARGV[last + 4]) or -1
local line = last and 'line ' .. ARGV[last]
local place = kept >= 0 and score(line, {LONGEST_LINE_MS}) or now
if #odd > 0 then
    redis.call('ZREM', KEYS[1], '{PRESENT}', unpack(odd))
    return {{0, unpack(odd)}}
end
if not last then
    for i = 4, #ARGV, 6 do
        local interval = tonumber(ARGV[i + 1])
        if interval > 0 then redis.call('ZADD', KEYS[1], full[i] + interval, ARGV[i]) end
    end
    if promised then redis.call('ZREM', KEYS[1], turn) end
    return {{}}
end
if kept >= 0 then
    if not promised then latest = latest + kept end
    promised = (promised or 0) - {REMEMBERED_MS}
    if promised < latest then
        place = math.max(place, latest)
        redis.call('ZADD', KEYS[1], place + tonumber(ARGV[last + 1]), line)
        local wait = place - now
        if wait > {LONGEST_WAIT_MS} then wait = ({LONGEST_WAIT_MS} + wait % {LONGEST_WAIT_MS}) / 2 end
        promised = math.max(latest, now + wait)
        if ARGV[2] ~= '' then redis.call('ZADD', KEYS[1], promised + {REMEMBERED_MS}, turn) end
    end
    latest = promised
end
return {{(last + 2) / 6, string.format('%.0f', latest)}}
"""

#: ARGV[2...]: for each change its kind, its bucket, the milliseconds or the end, and how far ahead a time
#: may be, in milliseconds. Removes invalid members, and returns them.
_SETTLE = f"""{_NOW}
for i = 2, #ARGV, 4 do
    local what, member, amount = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before = #odd
    local found = score(member, tonumber(ARGV[i + 3]))
    if #odd > before then redis.call('ZREM', KEYS[1], member) end
    if what == 'forget' then
        redis.call('ZREM', KEYS[1], member)
    elseif what == 'shut' then
        redis.call('ZADD', KEYS[1], 'GT', amount, member)
    elseif what == 'take' then
        redis.call('ZADD', KEYS[1], math.max(found or now, now) + tonumber(amount), member)
    elseif found then
        redis.call('ZADD', KEYS[1], found - tonumber(amount), member)
    end
end
return odd
"""

#: The maximum number of members that a search for buckets reads.
MEMBERS_SEARCHED = 1_000

#: The maximum number of members that one command writes. Redis serves other clients between two commands.
MOMENTS_A_COMMAND = 1_000


@dataclass(frozen=True)
class TokenBucket:
    """
    A bucket with its capacity and its refill interval.
    """

    name: str
    #: The time until one more token is available. Zero means that the bucket is never empty, but may be
    #: closed.
    interval: timedelta = timedelta(0)
    #: The maximum number of tokens.
    capacity: int = 1
    #: Whether half of the tokens count as used for a time after a loss.
    doubtful: bool = False
    #: The number of tokens in reserve for new requests while refused requests wait in line. A single name
    #: therefore does not wait behind thousands. None means that there is no line.
    reserved_for_new: int | None = None
    #: The longest closure. A time in Redis that is further ahead than :attr:`furthest` is invalid.
    longest: timedelta = LONGEST_WINDOW

    @property
    def furthest(self) -> int:
        """
        Return the maximum number of milliseconds by which the time in Redis may be ahead of the clock.
        """
        return _milliseconds(self.longest) + _milliseconds(self.interval) * max(self.capacity - 1, 0)


@dataclass(frozen=True)
class Exhausted:
    """
    A bucket without tokens for a request, and the time of the next attempt.
    """

    bucket: TokenBucket
    until: datetime


@dataclass(frozen=True)
class Adjustment:
    """
    A change of a bucket, for example at the end of an order.
    """

    kind: Literal["take", "give back", "shut", "forget"]
    bucket: TokenBucket
    #: The end of a closure; None if it is unknown, or for another kind.
    until: datetime | None = None


class TokenBuckets:
    """
    The buckets of one CA, shared by all workers.

    Args:
        connection: The connection to Redis.
        key: The key of the sorted set.
        known: Returns the names of buckets and when they are full again, from sources other than the set. It
            is called after a loss, with the current time.
        doubt: How long doubtful buckets count as half used after a loss.
        clock: The clock to use; None for the clock of Redis.
    """

    def __init__(
        self,
        connection: Redis,
        key: str,
        *,
        known: Callable[[datetime], Mapping[str, datetime]],
        doubt: timedelta,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._connection = connection
        self._key = key
        self._known = known
        self._doubt = doubt
        self._clock = clock
        self._take = connection.register_script(_TAKE)
        self._settle = connection.register_script(_SETTLE)

    def take(self, buckets: Sequence[TokenBucket], *, who: str = "") -> Exhausted | None:
        """
        Take one token from each of *buckets*, or from none if one of them is exhausted.

        Args:
            who: The identifier of the request, which gives it a place in a line; empty for no place.

        Returns:
            The exhausted bucket that is the last to have a token, or None if the tokens were taken.
        """
        arguments: list[Any] = []
        for each in buckets:
            interval = _milliseconds(each.interval)
            room = interval * each.capacity
            reserve = -1 if each.reserved_for_new is None else interval * each.reserved_for_new
            longest = _milliseconds(each.longest)
            arguments += [each.name, interval, room, room // 2 * each.doubtful, reserve, longest]
        doubt = _milliseconds(self._doubt)
        while answer := self._take([self._key], [self._now(), who, doubt, *arguments]):
            if answer[0]:
                return Exhausted(buckets[answer[0] - 1], score_to_time(float(answer[1]) / 1000) or LATEST)
            self._report(answer[1:])
            self._remember()
        return None

    def settle(self, changes: Iterable[Adjustment]) -> None:
        """
        Apply *changes* to the buckets.
        """
        arguments: list[Any] = []
        for each in changes:
            amount: object = _milliseconds(each.bucket.interval)
            if each.kind == "shut" and each.until:
                # At the end of the closure, exactly one token is available.
                amount = _score(each.until + each.bucket.interval * (each.bucket.capacity - 1))
            arguments += [each.kind, each.bucket.name, amount, each.bucket.furthest]
        if arguments:
            self._report(self._settle([self._key], [self._now(), *arguments]))

    def full_again(self, buckets: Sequence[TokenBucket]) -> list[datetime | None]:
        """
        Return when each of *buckets* is full again. For a full bucket, the time is in the past, or None.

        The time is also None if Redis has lost it, or has an invalid time.
        """
        names = [each.name for each in buckets]
        scores = self._connection.zmscore(self._key, names) if names else []
        now = _score(self.now())
        return [
            score_to_time(score / 1000) if score is not None and score <= now + each.furthest else None
            for each, score in zip(buckets, scores, strict=True)
        ]

    def fullest(self, prefix: str, count: int) -> list[str]:
        """
        Return at most *count* names of buckets that begin with *prefix*, the last to be full again first.

        The search ends after a thousand members.
        """
        members = cast(
            "list[bytes]",
            self._connection.zrevrangebyscore(
                self._key, "+inf", _score(self.now()), start=0, num=MEMBERS_SEARCHED
            ),
        )
        names = (decode_text(member) for member in members)
        return list(islice((name for name in names if name.startswith(prefix)), count))

    def now(self) -> datetime:
        """
        Return the current time of the clock in use.
        """
        if self._clock:
            return self._clock()
        seconds, microseconds = self._connection.time()
        moment = score_to_time(seconds + microseconds / 1_000_000)
        assert moment is not None  # noqa: S101 (the clock of Redis is before the year 10000)
        return moment

    def _remember(self) -> None:
        # No worker can take a token before the last command adds PRESENT.
        now = self.now()
        known = [(name, _score(moment)) for name, moment in self._known(now).items()]
        for start in range(0, len(known), MOMENTS_A_COMMAND):
            self._connection.zadd(self._key, dict(known[start : start + MOMENTS_A_COMMAND]), gt=True)
        self._connection.zadd(self._key, {UNCERTAIN: _score(now + self._doubt), PRESENT: math.inf})

    def _report(self, odd: Iterable[bytes]) -> None:
        for member in odd:
            logger.warning(
                "removed an invalid time from Redis: %s %s",
                self._key,
                printable(decode_text(member), 200),
                extra={"code": "redis.wrong_type"},
            )

    def _now(self) -> int | str:
        return _score(self._clock()) if self._clock else ""


def _milliseconds(span: timedelta) -> int:
    return math.ceil(span / timedelta(milliseconds=1))


def _score(moment: datetime) -> int:
    # Round down, as the scripts round the time of Redis.
    return (moment - EPOCH) // timedelta(milliseconds=1)
