"""
Wake-ups: delayed jobs that check the due names.

:mod:`certworker.worker.producer` schedules the wake-ups. The agenda only checks whether a wake-up is planned.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil

from redis import Redis

#: The registry of delayed jobs.
SCHEDULED_KEY = "rq:scheduled:certificates"

#: KEYS: the registry of delayed jobs. ARGV: a time. Returns 1 if that time is in the future, and a wake-up
#: is planned by then. Among thousands of delayed jobs, the script may miss it. An additional wake-up is
#: harmless.
_IS_PLANNED = """
if tonumber(ARGV[1]) <= tonumber(redis.call('TIME')[1]) then return 0 end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
    if string.sub(id, 1, 5) == 'look-' and redis.call('EXISTS', 'rq:job:' .. id) == 1 then return 1 end
end
return 0
"""


def ask_for_wake_up(connection: Redis, moment: datetime) -> int:
    """
    Return 1 if *moment* is in the future and a wake-up is planned by then, else 0.

    With a pipeline as the *connection*, the result is among the replies of the pipeline.
    """
    planned: int = connection.eval(_IS_PLANNED, 1, SCHEDULED_KEY, str(ceil(moment.timestamp())))
    return planned
