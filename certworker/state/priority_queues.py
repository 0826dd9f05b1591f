"""
The lanes: who waits for a free slot, and who is next.

::

    expiring   expires within 48 hours, and has less than a fifth of its life left
    advised    the CA wants it renewed now
    renewal    is due
    new        everything else: new names, attempts after a failure

The best lane goes first. Within a lane the tenants take turns, and those that hold more than their share of
the slots wait for those that do not. A lane of a tenant is one sorted set; who asks twice waits once.

Redis may evict any of it. So each name that waits stands on the agenda, too, with a later moment.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from redis import Redis

from certworker.domains import tenant_of
from certworker.errors import printable
from certworker.redis.codec import decode_text

logger = logging.getLogger(__name__)

PRIORITY_QUEUE = "certworker:lane:"

Priority = Literal["expiring", "advised", "renewal", "new"]
LANES: tuple[Priority, ...] = get_args(Priority)

#: A name that waits in a lane is looked at again after this, should the lane be lost.
UNTIL_A_LOST_LANE_IS_MISSED = timedelta(minutes=15)

#: So many requests go in one command; Redis serves others between two of them.
REQUESTS_A_COMMAND = 500

#: Turns in a lane count from one. A turn beyond this one was not counted: behind an infinite one all tenants
#: would have the same turn. It becomes the first one.
HIGHEST_TURN = 10**12

#: Bytes of a request that waits, and of a tenant.
LARGEST_REQUEST = 64 * 1024
LONGEST_TENANT = 1_024
#: So many removed keys are logged for one command.
MOST_NAMED = 50

_TURNS = f"""
local function last_turn(turns)
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', turns, '({HIGHEST_TURN}', '+inf', 'LIMIT', 0, 1000)) do
        redis.call('ZADD', turns, 0, each)
    end
    local last = redis.call('ZREVRANGE', turns, 0, 0, 'WITHSCORES')
    return math.max(tonumber(last[2]) or 0, 0)
end
"""

#: KEYS: the tenants of a lane by their turns, the lane of the tenant. ARGV: the tenant, then each score and
#: request.
_PUT = f"""{_TURNS}
redis.call('ZADD', KEYS[2], 'NX', unpack(ARGV, 2))
redis.call('ZADD', KEYS[1], 'NX', last_turn(KEYS[1]) + 1, ARGV[1])
"""

#: KEYS: the list and the hash of the job that is made, then the lanes. ARGV: the job's id, what stands before
#: and behind the arguments in its data, how many fields it has, these, then the tenants beyond their share.
#: The request leaves its lane and becomes a job in one step, so that it is never nowhere. What may fail comes
#: first. The answer: the tenant, whether it has more, and the request; then the keys that were removed, each
#: with what it was. A tenant with such a key loses its place, and the others keep theirs. A job that is there
#: already was made by the same command, which redis-py repeats after a lost answer: it is the answer.
_TAKE = f"""{_TURNS}
local list, hash = KEYS[1], KEYS[2]
local fields = tonumber(ARGV[4])
local beyond, removed = {{}}, {{}}
for i = 5 + fields, #ARGV do beyond[ARGV[i]] = true end
local most = #ARGV - 4 - fields
local made = redis.call('HMGET', hash, 'tenant', 'data')
if made[1] and made[2] then return {{made[1], 1, string.sub(made[2], #ARGV[2] + 1, -#ARGV[3] - 1)}} end
redis.call('LLEN', list)

for i = 3, #KEYS do
    local turns = KEYS[i]
    local last = last_turn(turns)
    while true do
        local tenants = redis.call('ZRANGE', turns, 0, most)
        local tenant = tenants[1]
        if not tenant then break end
        for _, each in ipairs(tenants) do
            if not beyond[each] then tenant = each break end
        end
        local lane = turns .. ':' .. tenant
        local kind, request = redis.call('TYPE', lane).ok, nil
        if #tenant > {LONGEST_TENANT} then kind = 'lane with too long a name' end
        if kind == 'zset' then
            request = redis.call('ZPOPMIN', lane)[1]
            if #request > {LARGEST_REQUEST} then
                kind, request = 'lane with too large a request', nil
            end
        elseif kind ~= 'none' then
            redis.call('UNLINK', lane)
        end
        if not request and kind ~= 'none' and #removed < {MOST_NAMED} then
            removed[#removed + 1] = {{string.sub(lane, 1, {LONGEST_TENANT}), kind}}
        end
        local more = redis.call('EXISTS', lane)
        if more == 1 then
            last = last + 1
            redis.call('ZADD', turns, last, tenant)
        else
            redis.call('ZREM', turns, tenant)
        end
        if request then
            redis.call('HSET', hash, 'tenant', tenant, 'data', ARGV[2] .. request .. ARGV[3],
                unpack(ARGV, 5, 4 + fields))
            redis.call('LPUSH', list, ARGV[1])
            return {{tenant, more, request, unpack(removed)}}
        end
    end
end
return {{false, 0, false, unpack(removed)}}
"""

#: KEYS: the lanes. How many requests wait in all of them.
_COUNT = """
local waiting = 0
for _, turns in ipairs(KEYS) do
    for _, tenant in ipairs(redis.call('ZRANGE', turns, 0, -1)) do
        local count = redis.pcall('ZCARD', turns .. ':' .. tenant)
        waiting = waiting + (tonumber(count) or 0)
    end
end
return waiting
"""


@dataclass(frozen=True)
class Request:
    """
    A request that waits: what the job asked for, and whose it is.
    """

    names: tuple[str, ...]
    tenant: str
    force: bool = False
    #: With force: as often as the CA allows.
    use_full_quota: bool = False

    def as_json(self) -> str:
        """
        The keyword arguments of the job; the same text for the same request, whoever made it.
        """
        asked: dict[str, object] = (
            {"domain": self.names[0]} if len(self.names) == 1 else {"domains": self.names}
        )
        flags = {"force": self.force, "use_full_quota": self.use_full_quota}
        asked |= {flag: True for flag, given in flags.items() if given}
        return json.dumps(
            asked if self.tenant == tenant_of(None, self.names) else asked | {"tenant": self.tenant}
        )


@dataclass(frozen=True)
class NewJob:
    """
    How a request becomes a job: what it is called, and where it stands in Redis.
    """

    id: str
    #: The list that its id is put on, and the hash that it becomes.
    list: str
    hash: str
    #: What stands before and behind the arguments in its data.
    before: str
    behind: str
    #: The other fields of the hash.
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Dequeued:
    """
    A request that was next, and whose it is.
    """

    tenant: str
    #: Whether another one of the same tenant waits in the same lane.
    more: bool
    #: The hash that the job has now in Redis.
    fields: Mapping[str, str]


class PriorityQueues:
    """
    The lanes that all workers of one Redis share.
    """

    def __init__(self, connection: Redis) -> None:
        self._put = connection.register_script(_PUT)
        self._take = connection.register_script(_TAKE)
        self._count = connection.register_script(_COUNT)

    def put(self, lane: Priority, requests: Mapping[Request, float]) -> None:
        """
        Let *requests* wait in *lane*; those of a tenant in the order of the numbers, the lowest first.

        One that waits there already keeps its place.
        """
        tenants: dict[str, list[str | float]] = {}
        for request, number in requests.items():
            tenants.setdefault(request.tenant, []).extend((number, request.as_json()))
        for tenant, flat in tenants.items():
            for start in range(0, len(flat), 2 * REQUESTS_A_COMMAND):
                some = flat[start : start + 2 * REQUESTS_A_COMMAND]
                self._put([PRIORITY_QUEUE + lane, f"{PRIORITY_QUEUE}{lane}:{tenant}"], [tenant, *some])

    def take(self, job: NewJob, beyond_their_share: Sequence[str]) -> Dequeued | None:
        """
        Make *job* of the request that is next; None if nobody waits.

        Args:
            beyond_their_share: These tenants come last in their lane.
        """
        fields = [part for field in job.fields.items() for part in field]
        taken = self._take(
            [job.list, job.hash, *(PRIORITY_QUEUE + lane for lane in LANES)],
            [job.id, job.before, job.behind, len(fields), *fields, *beyond_their_share],
        )
        tenant, more, request, *removed = taken
        for key, was in removed:
            logger.warning(
                "removed what is no request from Redis: %s was a %s",
                printable(decode_text(key), 200),
                decode_text(was),
                extra={"code": "redis.wrong_type"},
            )
        if not request:
            return None
        data = f"{job.before}{decode_text(request)}{job.behind}"
        return Dequeued(decode_text(tenant), bool(more), {**job.fields, "data": data})

    def __len__(self) -> int:
        return int(self._count([PRIORITY_QUEUE + lane for lane in LANES]))
