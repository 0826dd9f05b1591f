"""
Faults of a Redis.
"""

from __future__ import annotations

from random import Random

from tests.servers.redis import RedisServer

#: The value of a key of another program, and the number of such keys before Redis evicts keys.
OF_OTHERS = b"x" * 16_384
ROOM = 20 * len(OF_OTHERS)
MOST_OF_OTHERS = 2_000


class Accidents:
    """
    The faults of a Redis, and their repair.
    """

    def __init__(self, server: RedisServer, *options: str) -> None:
        self.server = server
        #: The options of redis-server.
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
        Remove all keys.
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
        Fill Redis with keys of other programs until it evicts keys of certworker, as with `allkeys-lru`.
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
        The number of keys that Redis evicted.
        """
        return int(self.client.info("stats")["evicted_keys"])

    def hang(self) -> None:
        """
        Stop answering clients for a while.
        """
        self.client.client_pause(200)

    def read_only(self) -> None:
        """
        Make the server a replica, as after a failover.
        """
        self.client.replicaof("127.0.0.1", "1")

    def fill(self) -> None:
        """
        Set the memory limit below the used memory.
        """
        self.client.config_set("maxmemory", "1mb")

    def kill(self) -> None:
        """
        Kill the server.
        """
        self.server.kill()

    def repair(self) -> None:
        """
        End the fault.
        """
        if self.server.process is None:
            self.server.start(*self.options)
        self.client.config_set("maxmemory", "0")
        self.client.config_set("maxmemory-policy", "noeviction")
        for key in self.client.scan_iter("others:*", count=1_000):
            self.client.unlink(key)
        self.client.replicaof("no", "one")
