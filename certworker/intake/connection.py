"""
The connection to Redis that the settings describe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from certworker.intake.redis_check import address_of, failure_of
from certworker.settings import Settings

#: A connection that is dead without saying so is noticed after this.
SOCKET_TIMEOUT_SECONDS = 15


def connect(settings: Settings, *, connections: int = 8) -> Redis:
    """
    A client with a pool of at most *connections*; it connects when it is first used.
    """
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user,
        password=settings.redis_password.get_secret_value() if settings.redis_password else None,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=30,
        max_connections=connections,
    )


@contextmanager
def connected(settings: Settings) -> Iterator[Redis]:
    """
    A connection for the length of a command.

    Raises:
        CertworkerError: Redis failed within the block; what is wrong with it, with the remedy.
    """
    with connect(settings) as connection:
        try:
            yield connection
        except RedisError as error:
            raise failure_of(error, address_of(connection)) from None
