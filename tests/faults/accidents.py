"""
The accidents of a Redis.
"""

from __future__ import annotations

from random import Random

from tests.servers.redis import RedisServer


class Accidents:
    """
    What may happen to a Redis, and how somebody repairs it.
    """

    def __init__(self, server: RedisServer, *options: str) -> None:
        self.server = server
        #: With which it is started.
        self.options = options
        self.client = server.client()
        self.random = Random(1)

    def cut(self) -> None:
        """
        End all connections.
        """
        self.client.client_kill_filter(_type="normal", skipme=True)

    def empty(self) -> None:
        """
        Forget everything.
        """
        self.client.flushall()

    def evict(self) -> None:
        """
        Forget half of what is ours, as a Redis does whose memory is full.
        """
        keys = sorted(self.client.keys("certworker:*"))
        if keys:
            self.client.delete(*self.random.sample(keys, (len(keys) + 1) // 2))

    def hang(self) -> None:
        """
        Answer nobody for a while.
        """
        self.client.client_pause(200)

    def read_only(self) -> None:
        """
        Become a replica, as after a failover.
        """
        self.client.replicaof("127.0.0.1", "1")

    def fill(self) -> None:
        """
        Have no memory left.
        """
        self.client.config_set("maxmemory", "1mb")

    def kill(self) -> None:
        """
        End.
        """
        self.server.kill()

    def repair(self) -> None:
        """
        Make it well again.
        """
        if self.server.process is None:
            self.server.start(*self.options)
        self.client.config_set("maxmemory", "0")
        self.client.replicaof("no", "one")
