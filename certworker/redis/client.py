"""
Returns a client of redis-py: for Redis itself, or for the primary behind Sentinels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, exceptions
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import SSLConnection
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelManagedConnection

from certworker.redis.failures import address_of, to_failure
from certworker.redis.guard import GuardedRedis
from certworker.redis.impatient import ImpatientRedis
from certworker.redis.url import RedisURL

#: The timeout for connecting to Redis or to a Sentinel.
CONNECT_SECONDS = 5

#: The timeout for a reply. No command of certworker blocks for longer. By default, redis-py before 8 has no
#: timeout.
REPLY_SECONDS = 5

#: The two timeouts of the page's client. A stream of events waits up to a second for the next event.
IMPATIENT_CONNECT_SECONDS = 1
IMPATIENT_REPLY_SECONDS = 2


def connect(address: RedisURL, *, connections: int = 8, is_patient: bool = True) -> Redis:
    """
    Return a client with a pool of at most *connections*, which connects at its first command.

    Behind Sentinels, each new connection goes to the current primary.

    Args:
        address: The address of Redis or of its Sentinels, with the credentials.
        connections: The maximum number of connections.
        is_patient: Whether a command tries for up to about a minute to reach Redis. Otherwise, the command
            fails within seconds, and immediately while Redis is known not to respond.
    """
    connect_seconds = CONNECT_SECONDS if is_patient else IMPATIENT_CONNECT_SECONDS
    redis_class = GuardedRedis if is_patient else ImpatientRedis
    tls: dict[str, Any] = {} if address.tls is None else {"ssl": True, **address.tls}
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": REPLY_SECONDS if is_patient else IMPATIENT_REPLY_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "max_connections": connections,
        **({} if is_patient else {"retry": Retry(NoBackoff(), 0)}),
        **tls,
    }
    if address.service is None:
        ((host, port),) = address.hosts
        return redis_class(host=host, port=port, **options)
    sentinels = _SentinelPool(
        address.hosts,
        sentinel_kwargs={
            "socket_connect_timeout": connect_seconds,
            "socket_timeout": connect_seconds,
            # After a failed Sentinel, try the next one immediately. The retries of a command try all again.
            "retry": Retry(NoBackoff(), 0),
            **address.sentinel_access,
            **tls,
        },
    )
    secure = options.pop("ssl", False)
    primary: Redis = sentinels.master_for(
        address.service,
        redis_class=redis_class,
        connection_class=_SecureConnectionToPrimary if secure else _ConnectionToPrimary,
        **{"retry": _retries(), **options},
    )
    return primary


@contextmanager
def connected(address: RedisURL) -> Iterator[Redis]:
    """
    Yield a client for *address*, and close it at the end of the block.

    Raises:
        CertworkerError: A command in the block failed.
    """
    with connect(address) as connection:
        try:
            yield connection
        except RedisError as error:
            raise to_failure(error, address_of(connection)) from None


class _ConnectionToPrimary(SentinelManagedConnection):
    """
    A connection that finds the current primary whenever it connects.

    The connection of redis-py finds the primary only when it leaves the pool. After a lost connection, the
    retries of a command would go to the old primary, for about a minute if its host does not respond.
    """

    def _connect(self) -> Any:
        self.host, self.port = self.connection_pool.get_master_address()
        return super()._connect()


class _SecureConnectionToPrimary(_ConnectionToPrimary, SSLConnection):
    """
    A connection over TLS that finds the current primary whenever it connects.
    """


class _SentinelPool(Sentinel):
    """
    The Sentinels of redis-py, with the cause of each failure in the error.

    redis-py reports only the class of the error, which is the same for an untrusted certificate and for a
    closed port.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        failed = []
        for index, sentinel in enumerate(self.sentinels):
            try:
                known: Any = sentinel.sentinel_masters()
            except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
                where = "{host}:{port}".format_map(sentinel.get_connection_kwargs())
                failed.append(f"{where}: {type(error).__name__}: {error}")
                continue
            state = known.get(service_name)
            if state and self.check_master_state(state, service_name):
                # Next time, first try the Sentinel that knows the primary.
                self.sentinels[0], self.sentinels[index] = sentinel, self.sentinels[0]
                return str(state["ip"]), int(state["port"])
        why = f": {', '.join(failed)}" if failed else ""
        raise MasterNotFoundError(f"its Sentinels know no primary{why}")


def _retries() -> Retry:
    # These are the defaults of redis-py 8 for a client that creates its own pool.
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)
