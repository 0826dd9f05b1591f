"""
Puts requests, removals, and wake-ups on the queue, in the wire format of RQ.

Other programs import this module, so it imports few modules, and not RQ. One transaction writes and enqueues
a job, so Redis never contains an incomplete job. A request uses no script, so that an ACL can deny scripts to
the requesting program: an endless script would block Redis.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from hashlib import sha256
from math import ceil
from typing import Any

from redis import Redis
from redis.exceptions import WatchError

from certworker.hosts import host_in, port_in
from certworker.redis.client import connect
from certworker.redis.url import PORT, RedisURL
from certworker.state.wake_ups import SCHEDULED_KEY, ask_for_wake_up
from certworker.variables import is_line, value_in

QUEUE = "certificates"
ISSUE = "certworker.issue"
CHECK_DUE = "certworker.look"
REMOVE = "certworker.remove"

QUEUE_KEY = f"rq:queue:{QUEUE}"

#: How many seconds a job may take, and for how many seconds Redis stores its result or failure.
JOB_TIMEOUT = 900
RESULT_TTL = 3600
RESULT_TTL_OF_A_WAKE_UP = 60
FAILURE_TTL = 86_400

#: The names of Redis users that may be part of job ids.
USER = re.compile(r"[A-Za-z0-9]{1,64}")

#: The maximum number of characters of a description. RQ's tools show it in one line.
LONGEST_DESCRIPTION = 120


def request_certificate(
    domain: str | Sequence[str],
    *,
    force: bool = False,
    use_full_quota: bool = False,
    tenant: str | None = None,
    by: str | None = None,
    connection: Redis | None = None,
) -> str:
    """
    Request a certificate for *domain*; return the id of the job.

    A repeated request has the same id. It does nothing while the job of the first request is on the queue or
    running.

    Args:
        domain: A name, or several names for one certificate.
        force: Issue even if the certificate in service is not due.
        use_full_quota: Together with *force*, issue as often as the CA allows. The default at Let's Encrypt
            is at most three certificates in a row for the same names, then one every 34 hours.
        tenant: The tenant of the request. Each tenant gets a share of the slots. The default is the
            registered domain.
        by: The requester, for the log; it is not verified.
        connection: A connection to the worker's Redis. The default is a new connection to the Redis in
            `CERTWORKER_REDIS_URL` or in the `_APP_REDIS_*` variables. These have the same meaning as for the
            worker, including secrets in files.

    Raises:
        redis.RedisError: Redis did not accept the request.
        ValueError: One of these variables is invalid.
    """
    names = [domain] if isinstance(domain, str) else list(domain)
    arguments: dict[str, Any] = {"domain": names[0]} if len(names) == 1 else {"domains": names}
    optional = {"use_full_quota": use_full_quota, "tenant": tenant, "by": by}
    arguments |= {"force": force} | {field: value for field, value in optional.items() if value}
    identity = [
        sorted({name.strip().lower() for name in names}),
        force,
        *([use_full_quota] if use_full_quota else []),
    ]
    with nullcontext(connection) if connection is not None else _connection_of_environment() as used:
        job_id = _id_of(used, "issue", identity)
        _enqueue(used, job_id, ISSUE, arguments)
    return job_id


def is_requested(connection: Redis, name: str) -> bool:
    """
    Return whether a request for exactly *name*, from the same Redis user, is on the queue or running.

    Requests with `use_full_quota`, and requests in the priority queues, do not count.

    Raises:
        redis.RedisError: Redis does not respond, or does not permit a command.
    """
    return any(
        _is_in_progress(connection, _id_of(connection, "issue", [[name], force])) for force in (False, True)
    )


def request_removal(name: str, *, by: str | None = None, connection: Redis) -> str:
    """
    Request the removal of *name* from service; return the id of the job.

    Args:
        name: The name.
        by: The requester, for the log; it is not verified.
        connection: A connection to the worker's Redis.

    Raises:
        redis.RedisError: Redis did not accept the request.
    """
    job_id = _id_of(connection, "remove", name)
    _enqueue(connection, job_id, REMOVE, {"domain": name} | ({"by": by} if by else {}))
    return job_id


def wake_at(connection: Redis, moment: datetime) -> None:
    """
    Schedule a check of the due names at *moment*, or immediately if *moment* has passed.

    If *moment* is in the future, and a wake-up is already scheduled by then, do nothing.

    Raises:
        redis.RedisError: Redis failed.
    """
    second, now = ceil(moment.timestamp()), datetime.now(UTC).timestamp()
    if moment.timestamp() <= now:
        _enqueue(connection, f"look-{int(now)}", CHECK_DUE, {})
    elif not ask_for_wake_up(connection, moment):
        _enqueue(connection, f"look-{second}", CHECK_DUE, {}, second)


def queue_length(connection: Redis) -> int:
    """
    Return the number of jobs on the queue.
    """
    length = connection.llen(QUEUE_KEY)
    assert isinstance(length, int)  # noqa: S101 (the types of redis-py include its asynchronous client)
    return length


def _id_of(connection: Redis, action: str, request: object) -> str:
    """
    Return the id of the job for *request*: `issue-DIGEST` for example, or `issue-USER-DIGEST` if *connection*
    has a Redis user.

    With the user in the id, an ACL of Redis can deny a producer the jobs of other users. A user name that has
    characters other than letters and digits, or is too long, is not part of the id: `issue-a-*` would also
    match ids of the user `a-b`.
    """
    user = str(connection.connection_pool.connection_kwargs.get("username") or "default")
    digest = sha256(json.dumps(request).encode()).hexdigest()[:32]
    return (
        f"{action}-{digest}" if user == "default" or not USER.fullmatch(user) else f"{action}-{user}-{digest}"
    )


def _enqueue(
    connection: Redis, job_id: str, function: str, arguments: dict[str, Any], second: int | None = None
) -> None:
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    call = json.dumps([function, None, [], arguments])
    fields: dict[Any, Any] = {
        "data": zlib.compress(call.encode()),
        "origin": QUEUE,
        "status": "queued" if second is None else "scheduled",
        "created_at": created,
        "enqueued_at": created,
        "timeout": JOB_TIMEOUT,
        "result_ttl": RESULT_TTL_OF_A_WAKE_UP if function == CHECK_DUE else RESULT_TTL,
        "failure_ttl": FAILURE_TTL,
        "description": f"{function} {json.dumps(arguments)}"[:LONGEST_DESCRIPTION],
    }
    job = f"rq:job:{job_id}"
    with connection.pipeline(transaction=True) as pipe:
        while True:
            try:
                pipe.watch(job)
                if _is_in_progress(pipe, job_id):
                    return
                pipe.multi()
                pipe.delete(job)
                pipe.delete(f"rq:results:{job_id}")
                pipe.hset(job, mapping=fields)
                pipe.sadd("rq:queues", QUEUE_KEY)
                if second is None:
                    pipe.rpush(QUEUE_KEY, job_id)
                else:
                    pipe.zadd(SCHEDULED_KEY, {job_id: second})
                pipe.execute()
            except WatchError:
                continue  # another program changed the job in the meantime
            return


def _is_in_progress(connection: Redis, job_id: str) -> bool:
    """
    Return whether the job *job_id* is on the queue, delayed, or running. For a transaction, the *connection*
    is its pipeline.

    The status alone does not prove it: Redis may have lost the list, or the worker may have been killed. A
    worker may take the job between two of these commands. Then the hash changes, or the id is in the
    intermediate list.
    """
    status: Any = connection.hget(f"rq:job:{job_id}", "status")
    if status in (b"queued", "queued"):
        lists = (QUEUE_KEY, f"{QUEUE_KEY}:intermediate")
        return any(connection.lpos(key, job_id) is not None for key in lists)
    if status in (b"scheduled", "scheduled"):
        return connection.zscore(SCHEDULED_KEY, job_id) is not None
    return status in (b"started", "started") and bool(connection.exists(f"rq:executions:{job_id}"))


def _connection_of_environment() -> Redis:
    # An import of certworker.settings would slow down a web server. A test compares the
    # result with the address in the settings.
    return connect(address_in(os.environ))


def address_in(environ: Mapping[str, str]) -> RedisURL:
    """
    Return the address of Redis in *environ*, by the variables, files, and rules of the worker's settings.

    Raises:
        ValueError: A variable is invalid. The message does not contain its value.
    """
    if url := value_in(environ, "CERTWORKER_REDIS_URL", secret=True):
        return RedisURL.parse(url)
    try:
        host = host_in(value_in(environ, "_APP_REDIS_HOST") or "redis")
        port = port_in(value_in(environ, "_APP_REDIS_PORT") or str(PORT))
    except ValueError as error:
        raise ValueError(f"_APP_REDIS_HOST and _APP_REDIS_PORT: {error}") from None
    user = value_in(environ, "_APP_REDIS_USER")
    if not is_line(user):
        raise ValueError("_APP_REDIS_USER has a line feed or another control character")
    password = value_in(environ, "_APP_REDIS_PASS", secret=True)
    return RedisURL(((host, port),), user or None, password or None)
