"""
Which version of the ledger stands in Redis, so that an older worker does not misread a newer one's.

A change that older workers can live with needs no new version: they leave alone what they do not know.
"""

from __future__ import annotations

from redis import Redis

from certworker.errors.machine import SchemaTooNew

KEY = "certworker:schema"
SCHEMA = 1

#: KEYS: the version. ARGV: ours. The higher one, which stands there from now on.
_RAISE = """
local found = tonumber(redis.call('GET', KEYS[1])) or 0
if found >= tonumber(ARGV[1]) then return found end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
"""


def check_schema(connection: Redis) -> None:
    """
    See that the ledger is one that we understand, and from now on none that older workers misread.

    Raises:
        SchemaTooNew: A newer certworker keeps it.
    """
    found = int(connection.eval(_RAISE, 1, KEY, SCHEMA))
    if found > SCHEMA:
        raise SchemaTooNew(where=f"The ledger in Redis ({KEY})", found=found, known=SCHEMA)
