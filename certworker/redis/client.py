"""
The client of redis-py for an address: Redis itself, or the primary that Sentinels name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004 (redis-py's own, which is not the built-in one)
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from certworker.redis.failures import address_of, to_failure
from certworker.redis.guard import GuardedRedis
from certworker.redis.url import RedisURL

#: A host that does not answer, Redis or Sentinel, is given up after this.
CONNECT_SECONDS = 5

#: A Redis that took a command and does not answer it is given up after this. No command of certworker blocks
#: for longer; redis-py before 8 waits without end.
ANSWER_SECONDS = 5


def connect(address: RedisURL, *, connections: int = 8) -> Redis:
    """
    Return a client with a pool of at most *connections*; it connects at its first command.

    Behind Sentinels each new connection goes to the primary that they name at that time.
    """
    tls: dict[str, Any] = {} if address.tls is None else {"ssl": True, **address.tls}
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "max_connections": connections,
        **tls,
    }
    if address.service is None:
        ((host, port),) = address.hosts
        return GuardedRedis(host=host, port=port, **options)
    sentinels = _SentinelPool(
        address.hosts,
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            # One that fails is followed by the next one, and the question is asked again as a whole.
            "retry": Retry(NoBackoff(), 0),
            **address.sentinel_access,
            **tls,
        },
    )
    primary: Redis = sentinels.master_for(
        address.service, redis_class=GuardedRedis, retry=_patience(), **options
    )
    return primary


@contextmanager
def connected(address: RedisURL) -> Iterator[Redis]:
    """
    Return a connection to *address* that closes when the block ends.

    Raises:
        CertworkerError: Redis failed within the block; the cause with its remedy.
    """
    with connect(address) as connection:
        try:
            yield connection
        except RedisError as error:
            raise to_failure(error, address_of(connection)) from None


class _SentinelPool(Sentinel):
    """
    Those of redis-py, whose own error names but the class of what failed: the certificate of a stranger reads
    like a port where nobody listens.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        failed = []
        for place, sentinel in enumerate(self.sentinels):
            try:
                known: Any = sentinel.sentinel_masters()
            except (ConnectionError, TimeoutError) as error:
                where = "{host}:{port}".format_map(sentinel.get_connection_kwargs())
                failed.append(f"{where}: {type(error).__name__}: {error}")
                continue
            state = known.get(service_name)
            if state and self.check_master_state(state, service_name):
                # Who knows is asked first the next time.
                self.sentinels[0], self.sentinels[place] = sentinel, self.sentinels[0]
                return str(state["ip"]), int(state["port"])
        why = f": {', '.join(failed)}" if failed else ""
        raise MasterNotFoundError(f"its Sentinels name no primary{why}")


def _patience() -> Retry:
    # As redis-py has it where no pool is given.
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)
