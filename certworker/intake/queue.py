"""
Puts requests and wake-ups on the queue, in the wire format of RQ.

It needs no RQ and imports little, because it is what other programs import. Each job is written and
queued by one Lua script: Redis never holds half of one.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import ceil
from typing import Any

from redis import Redis

from certworker.intake.client import client_of
from certworker.redis_address import PORT, RedisAddress

QUEUE = "certificates"
ISSUE = "certworker.issue"
LOOK = "certworker.look"
REMOVE = "certworker.remove"

QUEUE_KEY = f"rq:queue:{QUEUE}"
SCHEDULED_KEY = f"rq:scheduled:{QUEUE}"

#: Seconds. A job may take so long, and can be asked for its end so long afterwards.
JOB_TIMEOUT = 900
RESULT_TTL = 3600
RESULT_TTL_OF_A_LOOK = 60
FAILURE_TTL = 86_400

#: RQ's tools show it in a line.
LONGEST_DESCRIPTION = 120

# A job is a duplicate while an equal one is really on its way: a status alone may be left over from a list
# or a worker that is gone. Its hash is replaced, results included, once it has ended.
ENQUEUE = """
local job, list, scheduled, executions, results, queues = unpack(KEYS)
local id, moment, name = unpack(ARGV, 1, 3)
local status = redis.call('HGET', job, 'status')
if status == 'queued' and (redis.call('LPOS', list, id) or redis.call('LPOS', list .. ':intermediate', id))
or status == 'scheduled' and redis.call('ZSCORE', scheduled, id)
or status == 'started' and redis.call('EXISTS', executions) == 1 then
    return 0
end
redis.call('DEL', job, results)
redis.call('HSET', job, unpack(ARGV, 4))
redis.call('SADD', queues, name)
if moment == '' then redis.call('RPUSH', list, id) else redis.call('ZADD', scheduled, moment, id) end
return 1
"""

# The first wake-ups on the agenda, up to the wanted moment; whoever keeps thousands of other delayed jobs
# gets a look too many, which costs nothing.
STANDING_WAKE_UPS = """
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
    if string.sub(id, 1, 5) == 'look-' and redis.call('EXISTS', 'rq:job:' .. id) == 1 then return 1 end
end
return 0
"""


def request_certificate(
    domain: str | Sequence[str],
    *,
    force: bool = False,
    i_know: bool = False,
    tenant: str | None = None,
    by: str | None = None,
    connection: Redis | None = None,
) -> str:
    """
    Ask for a certificate for *domain*; return the id of the job.

    The same request is on the queue once: while it waits or runs, asking again gives the same id.

    Args:
        domain: A name, or several for one certificate.
        force: Issue anew even if the certificate in service is not due.
        i_know: Together with *force*, as often as the CA allows, and not only three times a week.
        tenant: Whose request it is: a share of the slots is for each. By default the registered domain.
        by: Who asks, for the record; nobody checks it.
        connection: The Redis of the worker; the one of `CERTWORKER_REDIS_URL`, or of the `_APP_REDIS_*`
            variables, if none is given.

    Raises:
        redis.RedisError: Redis did not take the request.
        ValueError: `CERTWORKER_REDIS_URL` is not the URL of a Redis.
    """
    names = [domain] if isinstance(domain, str) else list(domain)
    what: dict[str, Any] = {"domain": names[0]} if len(names) == 1 else {"domains": names}
    more = {"i_know": i_know, "tenant": tenant, "by": by}
    what |= {"force": force} | {field: value for field, value in more.items() if value}
    told_apart = [sorted({name.strip().lower() for name in names}), force, *([i_know] if i_know else [])]
    job_id = f"issue-{_digest(told_apart)}"
    if connection is not None:
        _enqueue(connection, job_id, ISSUE, what)
    else:
        with _connection_of_environment() as own:
            _enqueue(own, job_id, ISSUE, what)
    return job_id


def request_removal(name: str, *, by: str | None = None, connection: Redis) -> str:
    """
    Ask for *name* to be taken out of service; return the id of the job.

    Args:
        by: Who asks, for the record; nobody checks it.

    Raises:
        redis.RedisError: Redis did not take the request.
    """
    job_id = f"remove-{_digest(name)}"
    _enqueue(connection, job_id, REMOVE, {"domain": name} | ({"by": by} if by else {}))
    return job_id


def wake_at(connection: Redis, moment: datetime) -> None:
    """
    See that the agenda is looked at by *moment*; at once if that is over.

    Nothing is added where a wake-up stands already that is not later.
    """
    second, now = ceil(moment.timestamp()), datetime.now(UTC).timestamp()
    if moment.timestamp() <= now:
        _enqueue(connection, f"look-{int(now)}", LOOK, {})
    elif not connection.eval(STANDING_WAKE_UPS, 1, SCHEDULED_KEY, str(second)):
        _enqueue(connection, f"look-{second}", LOOK, {}, second)


def queue_length(connection: Redis) -> int:
    """
    How many jobs wait.
    """
    length = connection.llen(QUEUE_KEY)
    assert isinstance(length, int)  # noqa: S101 (redis-py types it for its asynchronous client, too)
    return length


def _digest(what: object) -> str:
    return sha256(json.dumps(what).encode()).hexdigest()[:32]


def _enqueue(
    connection: Redis, job_id: str, function: str, arguments: dict[str, Any], second: int | None = None
) -> None:
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    call = json.dumps([function, None, [], arguments])
    fields: dict[str, str | bytes | int] = {
        "data": zlib.compress(call.encode()),
        "origin": QUEUE,
        "status": "queued" if second is None else "scheduled",
        "created_at": created,
        "enqueued_at": created,
        "timeout": JOB_TIMEOUT,
        "result_ttl": RESULT_TTL_OF_A_LOOK if function == LOOK else RESULT_TTL,
        "failure_ttl": FAILURE_TTL,
        "description": f"{function} {json.dumps(arguments)}"[:LONGEST_DESCRIPTION],
    }
    keys = (
        f"rq:job:{job_id}",
        QUEUE_KEY,
        SCHEDULED_KEY,
        f"rq:executions:{job_id}",
        f"rq:results:{job_id}",
        "rq:queues",
    )
    moment = "" if second is None else str(second)
    flat = [part for field in fields.items() for part in field]
    connection.eval(ENQUEUE, len(keys), *keys, job_id, moment, QUEUE_KEY, *flat)


def _connection_of_environment() -> Redis:
    # The same variables and defaults as certworker.settings, whose import would cost a web server dear.
    if url := os.environ.get("CERTWORKER_REDIS_URL"):
        return client_of(RedisAddress.parse(url))
    host, port = os.environ.get("_APP_REDIS_HOST") or "redis", int(os.environ.get("_APP_REDIS_PORT") or PORT)
    user, password = os.environ.get("_APP_REDIS_USER"), os.environ.get("_APP_REDIS_PASS")
    return client_of(RedisAddress(((host, port),), user or None, password or None))
