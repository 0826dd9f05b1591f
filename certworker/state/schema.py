"""
Two values in Redis: the version of the layout of the data, and a digest of the settings of the last start.

A worker checks both at its start, and the version again at each heartbeat. A change that older workers
tolerate needs no new version. Workers ignore unknown fields.
"""

from __future__ import annotations

import logging
from typing import Any

from redis import Redis

from certworker.errors import printable
from certworker.errors.worker import SchemaTooNew
from certworker.redis.codec import decode_text

logger = logging.getLogger(__name__)

KEY = "certworker:schema"
SCHEMA = 1

#: A version that is further ahead of :data:`SCHEMA` than this is invalid: no release is so far ahead.
LARGEST_LEAD = 20

#: A digest of the settings of the last start.
CONFIGURATION = "certworker:configuration"

#: KEYS: the version. ARGV: the version of this worker, the highest possible version. Stores and returns the
#: higher of the stored version and the version of this worker. Replaces an invalid stored value, and returns
#: it as well.
_RAISE = """
local kind = redis.call('TYPE', KEYS[1])['ok']
local value = kind == 'string' and redis.call('GETRANGE', KEYS[1], 0, 99) or nil
local found = value and string.match(value, '^%d%d?%d?%d?$') and tonumber(value) or nil
if found and found <= tonumber(ARGV[2]) and found >= tonumber(ARGV[1]) then return {found} end
redis.call('SET', KEYS[1], ARGV[1])
if found and found < tonumber(ARGV[1]) or kind == 'none' then return {tonumber(ARGV[1])} end
return {tonumber(ARGV[1]), value or kind}
"""


def check_schema(connection: Redis) -> None:
    """
    Check that this worker supports the layout in Redis, and store the worker's version for older workers.

    Replace and log an invalid version.

    Raises:
        SchemaTooNew: A newer certworker uses this Redis.
        redis.RedisError: Redis failed.
    """
    found, *invalid = connection.eval(_RAISE, 1, KEY, SCHEMA, SCHEMA + LARGEST_LEAD)
    if invalid:
        shown = printable(decode_text(invalid[0]), 100)
        logger.warning("replaced an invalid version in Redis: %s was %s, and is now %d", KEY, shown, SCHEMA)
    if found > SCHEMA:
        raise SchemaTooNew(where=f"the data in Redis ({KEY})", found=found, known=SCHEMA)


def have_settings_changed(connection: Redis, fingerprint: str) -> bool:
    """
    Store the *fingerprint* of the settings. Return whether the last start had different settings.

    With an empty Redis, the settings count as unchanged.

    Raises:
        redis.RedisError: Redis failed.
    """
    before: Any = connection.set(CONFIGURATION, fingerprint, get=True)
    return before is not None and decode_text(before) != fingerprint
