"""
The accidents of a Redis.
"""

from __future__ import annotations

from random import Random

from tests.servers.redis import RedisServer

#: Keys of other programs, and how many of them fit before Redis evicts keys, also those of certworker.
OF_OTHERS = b"x" * 16_384
ROOM = 20 * len(OF_OTHERS)
MOST_OF_OTHERS = 2_000


class Accidents:
    """
    What may happen to a Redis, and how a person repairs it.
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
        Remove half of certworker's keys, as a full Redis does.
        """
        keys = sorted(self.client.keys("certworker:*"))
        if keys:
            self.client.delete(*self.random.sample(keys, (len(keys) + 1) // 2))

    def crowd(self) -> None:
        """
        Fill Redis with keys of other programs, and let it evict those of certworker, as `allkeys-lru` does.
        """
        ours = set(self.client.keys("certworker:*"))
        self.client.config_set("maxmemory-policy", "allkeys-lru")
        self.client.config_set("maxmemory", self.client.info("memory")["used_memory"] + ROOM)
        for number in range(MOST_OF_OTHERS):
            self.client.set(f"others:{number}", OF_OTHERS)
            if number % 10 == 0 and ours - set(self.client.keys("certworker:*")):
                return
        raise AssertionError(f"none of ours was evicted, {self.evicted} of all")

    @property
    def evicted(self) -> int:
        """
        How many keys Redis itself has given up.
        """
        return int(self.client.info("stats")["evicted_keys"])

    def hang(self) -> None:
        """
        Answer no client for a while.
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
        Repair it.
        """
        if self.server.process is None:
            self.server.start(*self.options)
        self.client.config_set("maxmemory", "0")
        self.client.config_set("maxmemory-policy", "noeviction")
        for key in self.client.scan_iter("others:*", count=1_000):
            self.client.unlink(key)
        self.client.replicaof("no", "one")
