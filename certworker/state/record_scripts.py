"""
The scripts of :mod:`certworker.state.domain_records`, each with its keys and arguments.
"""

#: KEYS: records. ARGV: the maximum number of fields of a record, the maximum number of bytes of a record, and
#: that of all records together. Returns the fields of the first records in one JSON string. A pipeline of
#: HGETALL takes redis-py three times as long (2.2 s for 50,000 names). A record that is too large counts as
#: lost. The script removes it, because a later write would not make it readable.
READ = """
local records, most, longest, left = {}, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i, key in ipairs(KEYS) do
    records[i] = false
    local count = redis.pcall('HLEN', key)
    if type(count) == 'number' and count > 0 and count <= most then
        local fields, size = redis.call('HGETALL', key), 0
        for _, part in ipairs(fields) do size = size + #part end
        if size <= longest then records[i], left = fields, left - size end
    end
    if not records[i] and type(count) == 'number' and count > 0 then redis.pcall('UNLINK', key) end
    if left <= 0 then break end
end
return cjson.encode(records)
"""

#: KEYS: records. ARGV: the field with a different value for each record; how many fields all records share;
#: these fields with their values; two fields to remove; then the different value for each record.
DEFER = """
local shared = 2 * ARGV[2]
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, ARGV[1], ARGV[2 + shared + 2 + i], unpack(ARGV, 3, 2 + shared))
    redis.call('HDEL', key, ARGV[3 + shared], ARGV[4 + shared])
end
"""

#: KEYS: records. ARGV: a tenant. Records the tenant for all names. If a record has another tenant, or no
#: tenant, records nothing, and returns the position of the first such record. Otherwise, returns 0.
CLAIM = """
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 and redis.call('HGET', key, 'tenant') ~= ARGV[1] then return i end
end
for _, key in ipairs(KEYS) do redis.call('HSET', key, 'tenant', ARGV[1]) end
return 0
"""

#: KEYS: a record. ARGV: a tenant. Records the tenant, unless another tenant has proved the ownership.
RECORD_TENANT = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner or owner == ARGV[1] then redis.call('HSET', KEYS[1], 'tenant', ARGV[1]) end
"""
