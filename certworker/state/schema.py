"""
The version of the ledger in Redis, so that an older worker does not misread a newer one's.

A change that older workers can live with needs no new version: they leave alone what they do not know.
"""

from __future__ import annotations

import logging

from redis import Redis

from certworker.errors import printable
from certworker.errors.worker import SchemaTooNew
from certworker.redis.codec import decode_text

logger = logging.getLogger(__name__)

KEY = "certworker:schema"
SCHEMA = 1

#: No certworker that is still in use is so many versions ahead; a higher number is nonsense.
MOST_AHEAD = 20

#: KEYS: the version. ARGV: ours, the highest that makes sense. The higher one of the two versions, which is
#: the value of the key from now on; and the former value, if that made no sense.
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
    Make sure that this version understands the ledger, and that older workers notice if they do not.

    A value that no certworker has written is replaced, with one line in the log.

    Raises:
        SchemaTooNew: A newer certworker writes the ledger.
    """
    found, *nonsense = connection.eval(_RAISE, 1, KEY, SCHEMA, SCHEMA + MOST_AHEAD)
    if nonsense:
        shown = printable(decode_text(nonsense[0]), 100)
        logger.warning("%s was %s, which is no version of the ledger; it is %d now", KEY, shown, SCHEMA)
    if found > SCHEMA:
        raise SchemaTooNew(where=f"The ledger in Redis ({KEY})", found=found, known=SCHEMA)
