"""
What an error of Redis means for an operator, and where that Redis is.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from redis import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterError,
    ConnectionError,  # noqa: A004 (redis-py's own, which is not the built-in one)
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from certworker.errors import CertworkerError
from certworker.errors.redis import (
    RedisAuthFailed,
    RedisCommandMissing,
    RedisFault,
    RedisIsCluster,
    RedisOutOfMemory,
    RedisPermissionDenied,
    RedisReadOnly,
    RedisTlsFailed,
    RedisUnreachable,
    RedisWrongType,
)
from certworker.redis.keys import WrongType
from certworker.redis.url import RedisURL

#: Which failure an error is, by its class.
CLASSES: tuple[tuple[type[CertworkerError], tuple[type[RedisError], ...]], ...] = (
    (RedisAuthFailed, (AuthenticationError,)),
    (RedisReadOnly, (ReadOnlyError, MasterDownError)),
    (RedisIsCluster, (AskError, ClusterError)),
    (RedisUnreachable, (ConnectionError, TimeoutError)),
    (RedisOutOfMemory, (OutOfMemoryError,)),
    (RedisPermissionDenied, (NoPermissionError,)),
)
#: And by what Redis writes: an error in a script has lost its class.
WORDS: tuple[tuple[type[CertworkerError], tuple[str, ...]], ...] = (
    (RedisOutOfMemory, ("OOM command not allowed",)),
    (RedisReadOnly, ("READONLY", "read only replica", "MISCONF")),
    (RedisPermissionDenied, ("NOPERM", "ACL failure", "can't run this command")),
    (RedisIsCluster, ("to the same slot", "to same slot", "non local key")),
    (RedisCommandMissing, ("unknown command", "Unknown Redis command")),
)


def to_failure(error: RedisError, address: str) -> CertworkerError:
    """
    What *error* of the Redis at *address* means for an operator.
    """
    if isinstance(error, WrongType):
        return RedisWrongType(
            address=address,
            key=error.key,
            found=error.found,
            wanted=error.wanted,
            quoted=shlex.quote(error.key),
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, MasterNotFoundError) and "AuthenticationError" in reason:
        return RedisAuthFailed(address=address, reason=reason)
    kinds = [kind for kind, classes in CLASSES if isinstance(error, classes)]
    kinds += [kind for kind, words in WORDS if any(word in reason for word in words)]
    kind = kinds[0] if kinds else RedisFault
    if kind is RedisUnreachable and "[SSL" in reason:
        kind = RedisTlsFailed
    return kind(address=address, reason=reason)


def explainer(connection: Redis) -> Callable[[BaseException], CertworkerError | None]:
    """
    Return a function that explains the errors of the Redis of *connection*, and no others.
    """
    address = address_of(connection)
    return lambda error: to_failure(error, address) if isinstance(error, RedisError) else None


def address_of(connection: Redis) -> str:
    """
    Where *connection* goes, without user or password.
    """
    pool = connection.connection_pool
    options = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        sentinels = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
        hosts = tuple((str(each["host"]), int(each["port"])) for each in sentinels)
        return str(RedisURL(hosts, service=pool.service_name))
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
