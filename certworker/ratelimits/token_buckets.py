"""
Token buckets in Redis: taken from all at once or from none, by the clock of Redis, in one round trip.

Each bucket is one number (GCRA): the time at which it is full again. Taking a token moves that time by the
refill interval; a token is available while the time is not too far ahead. All buckets of a CA are members of
one sorted set, with these times as scores. So a full bucket needs no member, and an eviction removes all
buckets or none: a bucket without a member is full, unless the whole set is gone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from redis import Redis

from certworker.errors import printable
from certworker.redis.codec import LATEST, decode_text, score_to_time

logger = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: A member of each complete set. A set without it was lost, and its other members are not complete.
PRESENT = "alive"
#: A member until everything that was used before a loss has certainly been refilled.
UNCERTAIN = "doubt"

#: No request in a line waits longer than this (a day) before it is tried again; its turn is kept for a week.
LONGEST_WAIT_MS = 86_400_000
REMEMBERED_MS = 604_800_000

#: The longest window that a CA documents. No bucket is closed for longer, see :attr:`TokenBucket.longest`.
LONGEST_WINDOW = timedelta(days=7)
#: A hundred years: a line of a million names at one certificate an hour.
LONGEST_LINE_MS = 3_155_760_000_000

#: ARGV[1]: the current time in milliseconds since 1970; empty: the clock of Redis, which all workers share.
#: A time further ahead than `furthest` milliseconds is invalid: it counts as lost, and is listed in `odd`.
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

#: ARGV[2]: the identifier of the request. ARGV[3]: how long a doubt lasts at most. ARGV[4...]: for each
#: bucket its member, interval, room, doubt, the reserve for new requests (below zero: no line) and the
#: longest closure. Returns {}: taken; {0, ...}: the set was lost, or these members are invalid; otherwise the
#: bucket that has a token last, and when. A refused request gets a place in the line of the bucket, and keeps
#: it however often it is tried. Far places are spread over half of the longest wait, so that the line moves
#: even if many do not come back. Invalid members are removed together with the mark PRESENT, so that the
#: buckets are filled again from what is known elsewhere.
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

#: ARGV[2...]: for each change its kind, the bucket, the milliseconds or the end, and how far ahead the time
#: of the bucket may be. Returns the invalid members, which are removed.
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

#: Members in one command; Redis serves other clients between two commands.
MOMENTS_A_COMMAND = 1_000


@dataclass(frozen=True)
class TokenBucket:
    """
    A bucket with its capacity and its refill interval.
    """

    name: str
    #: The time until one more token is available; zero: the bucket is never empty, only closed for a time.
    interval: timedelta = timedelta(0)
    #: The maximum number of tokens.
    capacity: int = 1
    #: Whether half of it counts as used for a time after a loss.
    doubtful: bool = False
    #: Refused requests wait in line, and new requests have this many tokens in reserve: a single name does
    #: not wait behind thousands. None: there is no line.
    reserved_for_new: int | None = None
    #: The longest time for which it may be closed; a later time in Redis is invalid.
    longest: timedelta = LONGEST_WINDOW

    @property
    def furthest(self) -> int:
        """
        How far ahead the time of the bucket may be, in milliseconds.
        """
        return _milliseconds(self.longest) + _milliseconds(self.interval) * max(self.capacity - 1, 0)


@dataclass(frozen=True)
class Exhausted:
    """
    A bucket that has no token until a time.
    """

    bucket: TokenBucket
    until: datetime


@dataclass(frozen=True)
class Adjustment:
    """
    A change of a bucket at the end of an order.
    """

    kind: Literal["take", "give back", "shut", "forget"]
    bucket: TokenBucket
    #: The end of a closure; None: unknown.
    until: datetime | None = None


class TokenBuckets:
    """
    The buckets of one CA, shared by all workers.

    Args:
        connection: The connection to Redis.
        key: The key of the sorted set.
        known: Returns what is known without Redis: the names of buckets and when they are full again. It is
            called after a loss, with the current time.
        doubt: How long doubtful buckets count as half used after a loss.
        clock: The clock to use; None: the clock of Redis.
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
            who: The identifier that keeps a place in the lines; empty: a new request each time.

        Returns:
            The exhausted bucket that has a token last; None: the tokens were taken.
        """
        arguments: list[Any] = []
        for each in buckets:
            interval = _milliseconds(each.interval)
            room = interval * each.capacity
            kept = -1 if each.reserved_for_new is None else interval * each.reserved_for_new
            longest = _milliseconds(each.longest)
            arguments += [each.name, interval, room, room // 2 * each.doubtful, kept, longest]
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
                # So that exactly one token is available at that time.
                amount = _score(each.until + each.bucket.interval * (each.bucket.capacity - 1))
            arguments += [each.kind, each.bucket.name, amount, each.bucket.furthest]
        if arguments:
            self._report(self._settle([self._key], [self._now(), *arguments]))

    def full_again(self, buckets: Sequence[TokenBucket]) -> list[datetime | None]:
        """
        Return when each of *buckets* is full again; None: it is full, or Redis has an invalid time.
        """
        names = [each.name for each in buckets]
        scores = self._connection.zmscore(self._key, names) if names else []
        now = _score(self.now())
        return [
            score_to_time(score / 1000) if score is not None and score <= now + each.furthest else None
            for each, score in zip(buckets, scores, strict=True)
        ]

    def now(self) -> datetime:
        """
        Return the current time of the clock in use.
        """
        if self._clock:
            return self._clock()
        seconds, microseconds = self._connection.time()
        moment = score_to_time(seconds + microseconds / 1_000_000)
        assert moment is not None  # noqa: S101 (Redis does not live in the year 10000)
        return moment

    def _remember(self) -> None:
        # No worker can take a token before the last command.
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
    # Rounded down, as the scripts round the time of Redis.
    return (moment - EPOCH) // timedelta(milliseconds=1)
