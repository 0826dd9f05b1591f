"""
The connection to Redis that the settings describe.
"""

from __future__ import annotations

from redis import Redis

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
