"""
The requests that wait for a free slot, by priority and tenant.

::

    expiring   the certificate expires within 48 hours, and less than a fifth of its validity is left, or a
               stored certificate is not in service yet
    advised    the CA suggests a renewal before the age of the certificate requires one
    renewal    the certificate is due, or is not in service
    new        all other requests, for example for names without a certificate

The workers serve the priorities in this order. Within a priority, the tenants take turns. A tenant that holds
its share of the slots waits for the others. The requests of one tenant with the same priority are the members
of one sorted set.

Redis may evict any of these keys. Each waiting name is therefore also on the agenda, with a later check.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from redis import Redis

from certworker.errors import printable
from certworker.redis.codec import decode_text, score_to_time

logger = logging.getLogger(__name__)

PRIORITY_QUEUE = "certworker:lane:"

Priority = Literal["expiring", "advised", "renewal", "new"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

#: After this time, a waiting name is checked again, in case its queue is lost.
LOST_QUEUE_CHECK = timedelta(minutes=15)

#: The maximum number of requests that one command writes. Redis serves other clients between two commands.
REQUESTS_PER_COMMAND = 500

#: Turns count from one. A higher turn than this is invalid, and becomes 0, which comes first. After an
#: infinite turn, all tenants would have the same turn.
HIGHEST_TURN = 10**12

#: The maximum number of bytes of a request, and of a tenant.
LARGEST_REQUEST = 64 * 1024
LONGEST_TENANT = 1_024
#: The maximum number of log lines about removed keys for one command.
MAX_REMOVALS_LOGGED = 50

_TURNS = f"""
local function last_turn(turns)
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', turns, '({HIGHEST_TURN}', '+inf', 'LIMIT', 0, 1000)) do
        redis.call('ZADD', turns, 0, each)
    end
    local last = redis.call('ZREVRANGE', turns, 0, 0, 'WITHSCORES')
    return math.max(tonumber(last[2]) or 0, 0)
end
"""

#: KEYS: the tenants of a priority by turn, the requests of the tenant. ARGV: the tenant, then each score with
#: its request.
_PUT = f"""{_TURNS}
redis.call('ZADD', KEYS[2], 'NX', unpack(ARGV, 2))
redis.call('ZADD', KEYS[1], 'NX', last_turn(KEYS[1]) + 1, ARGV[1])
"""

#: KEYS: the list and the hash of the new job, then the tenants of each priority. ARGV: the id of the job, the
#: parts of its data before and after the arguments, the number of the names and values of its other fields,
#: these names and values, then the tenants over their share. The script converts the request into a job in
#: one step, so that a crash does not lose it. Commands that may fail come first. Returns the tenant, whether
#: it has more requests, the request, and its score in the priority `new`, which is the last one; then the
#: removed keys with their types. The tenant of a removed key loses its turn. If the job exists, redis-py has
#: repeated the command after a lost reply, and the script returns that job.
_TAKE = f"""{_TURNS}
local list, hash = KEYS[1], KEYS[2]
local fields = tonumber(ARGV[4])
local beyond, removed = {{}}, {{}}
for i = 5 + fields, #ARGV do beyond[ARGV[i]] = true end
local most = #ARGV - 4 - fields
local made = redis.call('HMGET', hash, 'tenant', 'data')
if made[1] and made[2] then return {{made[1], 1, string.sub(made[2], #ARGV[2] + 1, -#ARGV[3] - 1), ''}} end
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
        local queue = turns .. ':' .. tenant
        local kind, request, score = redis.call('TYPE', queue).ok, nil, ''
        if #tenant > {LONGEST_TENANT} then kind = 'queue with too long a name' end
        if kind == 'zset' then
            local popped = redis.call('ZPOPMIN', queue)
            request = popped[1]
            if i == #KEYS then score = popped[2] end
            if #request > {LARGEST_REQUEST} then
                kind, request = 'queue with too large a request', nil
            end
        elseif kind ~= 'none' then
            redis.call('UNLINK', queue)
        end
        if not request and kind ~= 'none' and #removed < {MAX_REMOVALS_LOGGED} then
            removed[#removed + 1] = {{string.sub(queue, 1, {LONGEST_TENANT}), kind}}
        end
        local more = redis.call('EXISTS', queue)
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
            return {{tenant, more, request, score, unpack(removed)}}
        end
    end
end
return {{false, 0, false, '', unpack(removed)}}
"""

#: KEYS: the tenants of each priority. Returns the number of waiting requests.
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
    A request that waits for a slot, with its tenant.
    """

    names: tuple[str, ...]
    tenant: str
    force: bool = False
    #: With *force*, whether to order as often as the CA allows.
    use_full_quota: bool = False
    #: Whether the request names the tenant, which is then recorded. Otherwise, the tenant is the registered
    #: domain.
    names_tenant: bool = True
    #: The requester, not verified; not compared, and not part of the job.
    by: object = field(default=None, compare=False)

    def as_json(self) -> str:
        """
        Return the keyword arguments of the job as JSON. Equal requests have the same JSON.
        """
        arguments: dict[str, object] = (
            {"domain": self.names[0]} if len(self.names) == 1 else {"domains": self.names}
        )
        flags = {"force": self.force, "use_full_quota": self.use_full_quota}
        arguments |= {flag: True for flag, given in flags.items() if given}
        return json.dumps(arguments | ({"tenant": self.tenant} if self.names_tenant else {}))


@dataclass(frozen=True)
class NewJob:
    """
    The job for a request: its id, and its keys in Redis.
    """

    id: str
    #: The keys of the list for the id, and of the hash of the job.
    list: str
    hash: str
    #: The parts of the job's data before and after the arguments.
    before: str
    after: str
    #: The other fields of the hash.
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Dequeued:
    """
    The next request, with its tenant.
    """

    tenant: str
    #: Whether the tenant has another waiting request with the same priority.
    more: bool
    #: The fields of the job's hash in Redis.
    fields: Mapping[str, str]
    #: When a request with the priority `new` was enqueued; None for any other priority, or if unknown.
    enqueued: datetime | None


class PriorityQueues:
    """
    The priority queues, shared by all workers that use the same Redis.

    Methods raise redis.RedisError if Redis fails.
    """

    def __init__(self, connection: Redis) -> None:
        self._put = connection.register_script(_PUT)
        self._take = connection.register_script(_TAKE)
        self._count = connection.register_script(_COUNT)

    def put(self, priority: Priority, requests: Mapping[Request, float]) -> None:
        """
        Put *requests* with their scores into the queue of *priority*.

        Of the requests of a tenant, the one with the lowest score is served first. A request that is already
        waiting there retains its place.
        """
        tenants: dict[str, list[str | float]] = {}
        for request, score in requests.items():
            tenants.setdefault(request.tenant, []).extend((score, request.as_json()))
        for tenant, flat in tenants.items():
            for start in range(0, len(flat), 2 * REQUESTS_PER_COMMAND):
                batch = flat[start : start + 2 * REQUESTS_PER_COMMAND]
                keys = [PRIORITY_QUEUE + priority, f"{PRIORITY_QUEUE}{priority}:{tenant}"]
                self._put(keys, [tenant, *batch])

    def take(self, job: NewJob, over_quota_tenants: Sequence[str]) -> Dequeued | None:
        """
        Convert the next request into *job*. Return None if no request is waiting.

        Args:
            job: The id and the keys of the job.
            over_quota_tenants: The tenants that come last within a priority.
        """
        fields = [part for field in job.fields.items() for part in field]
        taken = self._take(
            [job.list, job.hash, *(PRIORITY_QUEUE + priority for priority in PRIORITIES)],
            [job.id, job.before, job.after, len(fields), *fields, *over_quota_tenants],
        )
        tenant, more, request, score, *removed = taken
        for key, was in removed:
            logger.warning(
                "removed invalid requests from Redis: %s was a %s",
                printable(decode_text(key), 200),
                decode_text(was),
                extra={"code": "redis.wrong_type"},
            )
        if not request:
            return None
        data = f"{job.before}{decode_text(request)}{job.after}"
        enqueued = score_to_time(_number(score))
        return Dequeued(decode_text(tenant), bool(more), {**job.fields, "data": data}, enqueued)

    def __len__(self) -> int:
        return int(self._count([PRIORITY_QUEUE + priority for priority in PRIORITIES]))


def _number(score: bytes) -> float | None:
    return float(score) if score else None
