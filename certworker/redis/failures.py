"""
The translation of Redis errors into failures with a remedy.
"""

from __future__ import annotations

from collections.abc import Callable

from redis import Redis, exceptions
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
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

#: Failures by the class of the error.
BY_CLASS: tuple[tuple[type[CertworkerError], tuple[type[RedisError], ...]], ...] = (
    (RedisAuthFailed, (AuthenticationError,)),
    (RedisReadOnly, (ReadOnlyError, MasterDownError)),
    (RedisIsCluster, (AskError, ClusterError)),
    (RedisUnreachable, (exceptions.ConnectionError, exceptions.TimeoutError)),
    (RedisOutOfMemory, (OutOfMemoryError,)),
    (RedisPermissionDenied, (NoPermissionError,)),
)
#: Failures by the text of the error, because redis-py has no class for some errors, nor for those of scripts.
BY_TEXT: tuple[tuple[type[CertworkerError], tuple[str, ...]], ...] = (
    (RedisOutOfMemory, ("OOM command not allowed",)),
    (RedisReadOnly, ("READONLY", "read only replica", "MISCONF")),
    (RedisPermissionDenied, ("NOPERM", "ACL failure", "can't run this command")),
    (RedisIsCluster, ("to the same slot", "to same slot", "non local key")),
    (RedisCommandMissing, ("unknown command", "Unknown Redis command")),
)


def to_failure(error: RedisError, address: str) -> CertworkerError:
    """
    Return the failure for *error* from Redis at *address*.
    """
    if isinstance(error, WrongType):
        return RedisWrongType(
            address=address,
            key=error.key,
            found=error.found,
            wanted=error.wanted,
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, MasterNotFoundError) and "AuthenticationError" in reason:
        return RedisAuthFailed(address=address, reason=reason)
    types = [failure for failure, classes in BY_CLASS if isinstance(error, classes)]
    types += [failure for failure, words in BY_TEXT if any(word in reason for word in words)]
    failure = types[0] if types else RedisFault
    if failure is RedisUnreachable and "[SSL" in reason:
        failure = RedisTlsFailed
    return failure(address=address, reason=reason)


def explainer(connection: Redis) -> Callable[[BaseException], CertworkerError | None]:
    """
    Return a function that returns the failure for an error of Redis at *connection*, or None for any other
    error.
    """
    address = address_of(connection)
    return lambda error: to_failure(error, address) if isinstance(error, RedisError) else None


def address_of(connection: Redis) -> str:
    """
    Return the address of *connection*, without the user and the password.
    """
    pool = connection.connection_pool
    options = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        sentinels = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
        hosts = tuple((str(each["host"]), int(each["port"])) for each in sentinels)
        return str(RedisURL(hosts, service=pool.service_name))
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
