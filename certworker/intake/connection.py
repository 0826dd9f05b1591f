"""
The connection to Redis that the settings describe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from certworker.intake.client import client_of
from certworker.ledger.faults import address_of, failure_of
from certworker.settings import Settings


def connect(settings: Settings, *, connections: int = 8) -> Redis:
    """
    A client with a pool of at most *connections*; it connects when it is first used.
    """
    return client_of(settings.redis, connections=connections)


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
