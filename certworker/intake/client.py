"""
The client of redis-py for an address: Redis itself, or whichever is the primary by the word of Sentinels.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from certworker.redis_address import RedisAddress

#: A host that does not answer, Redis or Sentinel, is given up after this.
CONNECT_SECONDS = 5


def client_of(address: RedisAddress, *, connections: int = 8) -> Redis:
    """
    A client with a pool of at most *connections*; it connects when it is first used.

    Behind Sentinels each new connection goes to whom they call the primary by then.
    """
    tls: dict[str, Any] = {} if address.tls is None else {"ssl": True, **address.tls}
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "max_connections": connections,
        **tls,
    }
    if address.service is None:
        ((host, port),) = address.hosts
        return Redis(host=host, port=port, **options)
    sentinels = Sentinel(
        address.hosts,
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            # One that fails is followed by the next one, and the question is asked again as a whole.
            "retry": Retry(NoBackoff(), 0),
            **address.sentinel_access,
            **tls,
        },
    )
    primary: Redis = sentinels.master_for(address.service, retry=_patience(), **options)
    return primary


def _patience() -> Retry:
    # As redis-py has it where no pool is given.
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)
