"""
The states and the tenants of many records, without their other fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import compress

from redis import Redis

from certworker.redis.codec import decode_text, encode_time
from certworker.state.domain_records import (
    LONGEST_TENANT,
    MOST_FIELDS,
    RECORDS,
    RECORDS_PER_COMMAND,
    STATES,
    State,
    tenant_in,
)

#: The maximum number of characters of a state.
LONGEST_STATE = 20

#: Returns the state and the time of a record, and one more field; nothing if the record is invalid.
_FIELDS = """
local TIME = '^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$'
local pcall, call, find = redis.pcall, redis.call, string.find
local function fields(key, most, more)
    local count = pcall('HLEN', key)
    if type(count) ~= 'number' or count > most then return {} end
    local found = call('HMGET', key, 'state', 'updated', more)
    return found[1] and found[2] and find(found[2], TIME) and found or {}
end
"""

#: KEYS: records. ARGV: the maximum number of fields of a record, and of characters of a state. Returns the
#: states of the records in one string, separated by commas. The state of an invalid record is empty.
_READ = (
    _FIELDS
    + """
local states, most, longest = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
    local state = fields(key, most, 'tenant')[1]
    states[i] = state and #state <= longest and string.match(state, '^%l+$') or ''
end
return table.concat(states, ',')
"""
)

#: KEYS: records. ARGV: the maximum number of fields of a record, and of bytes of a tenant. Returns the
#: tenants of the records as JSON. The tenant of an invalid record is empty.
_TENANTS = (
    _FIELDS
    + """
local tenants, most, longest = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
    local tenant = fields(key, most, 'tenant')[3]
    tenants[i] = tenant and #tenant <= longest and tenant or ''
end
return cjson.encode(tenants)
"""
)


#: KEYS: records. ARGV: the maximum number of fields of a record, and the current time. Returns a character
#: for each record: 1 if a user may have to fix the name, else 0.
_DOUBTFUL = (
    _FIELDS
    + """
local flags, most, now = {}, tonumber(ARGV[1]), ARGV[2]
local served = {issued = true, covered = true}
local working = {waiting = true, issuing = true}
for i, key in ipairs(KEYS) do
    local found = fields(key, most, 'not_after')
    local state, ends = found[1], found[3]
    local is_valid = served[state] and ends and #ends == #now and ends > now and find(ends, TIME)
    flags[i] = (working[state] or is_valid) and '0' or '1'
end
return table.concat(flags)
"""
)


class RecordedStates:
    """
    The states and tenants in the records of :class:`~certworker.state.domain_records.DomainRecords`.

    Methods raise redis.RedisError if Redis fails.
    """

    def __init__(self, connection: Redis) -> None:
        self._read = connection.register_script(_READ)
        self._find_doubtful = connection.register_script(_DOUBTFUL)
        self._read_tenants = connection.register_script(_TENANTS)

    def read_many(self, names: Sequence[str]) -> Iterator[State | None]:
        """
        Yield the state of each of *names* in order, or None for a name without a valid record.

        Reading the states takes a tenth of the time of reading whole records.
        """
        known: dict[str, State] = {state: state for state in STATES}
        for first in range(0, len(names), RECORDS_PER_COMMAND):
            keys = [RECORDS + name for name in names[first : first + RECORDS_PER_COMMAND]]
            answer = decode_text(self._read(keys, [MOST_FIELDS, LONGEST_STATE]))
            yield from map(known.get, answer.split(","))

    def doubtful(self, names: Sequence[str], now: datetime) -> list[str]:
        """
        Return those of *names* that a user may have to fix, in their order.

        Each of the others has a certificate that is valid at *now*, or an attempt that is running or waiting.
        """
        found: list[str] = []
        for first in range(0, len(names), RECORDS_PER_COMMAND):
            batch = names[first : first + RECORDS_PER_COMMAND]
            keys = [RECORDS + name for name in batch]
            flags = decode_text(self._find_doubtful(keys, [MOST_FIELDS, encode_time(now)]))
            found += compress(batch, map("1".__eq__, flags))
        return found

    def tenants(self, names: Sequence[str]) -> Iterator[str]:
        """
        Yield the tenant of each of *names* in order; empty for a name without one, or without a valid record.
        """
        for first in range(0, len(names), RECORDS_PER_COMMAND):
            keys = [RECORDS + name for name in names[first : first + RECORDS_PER_COMMAND]]
            answer = self._read_tenants(keys, [MOST_FIELDS, 4 * LONGEST_TENANT])
            yield from map(tenant_in, json.loads(decode_text(answer)))
