"""
What an error of Redis means for an operator, and where that Redis is.
"""

from __future__ import annotations

from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 (redis-py's own, which is not the built-in one)
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from certworker.errors import CertworkerError
from certworker.errors.redis import (
    RedisFault,
    RedisFull,
    RedisReadOnly,
    RedisRefusesUs,
    RedisUnreachable,
    RedisUntrusted,
)
from certworker.redis_address import RedisAddress


def failure_of(error: RedisError, address: str) -> CertworkerError:
    """
    What *error* of the Redis at *address* means for an operator.
    """
    reason = str(error) or type(error).__name__
    kind: type[CertworkerError] = RedisFault
    if isinstance(error, MasterNotFoundError):
        kind = RedisRefusesUs if "AuthenticationError" in reason else RedisUnreachable
    elif isinstance(error, (AuthenticationError, NoPermissionError)):
        kind = RedisRefusesUs
    elif isinstance(error, OutOfMemoryError) or "OOM command not allowed" in reason:
        kind = RedisFull
    elif isinstance(error, ReadOnlyError) or "READONLY" in reason or "MISCONF" in reason:
        kind = RedisReadOnly
    elif isinstance(error, (ConnectionError, TimeoutError)):
        kind = RedisUnreachable
    if kind is RedisUnreachable and "[SSL" in reason:
        kind = RedisUntrusted
    return kind(address=address, reason=reason)


def address_of(connection: Redis) -> str:
    """
    Where *connection* goes, without user or password.
    """
    pool = connection.connection_pool
    options = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        sentinels = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
        hosts = tuple((str(each["host"]), int(each["port"])) for each in sentinels)
        return str(RedisAddress(hosts, service=pool.service_name))
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
