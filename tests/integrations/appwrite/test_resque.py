"""
Tests of the queue of php-resque.
"""

from __future__ import annotations

from redis import Redis

from certworker.integrations.appwrite.resque import ResqueQueue
from tests.integrations.appwrite.core import NAME, RESQUE, php
from tests.servers.redis import RedisServer


class TestResqueQueue:
    def test_it_exists_after_its_first_use(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The queue exists as soon as its name is in the set, even if it is empty.
        """
        queue = ResqueQueue(connection, NAME, "one")
        assert not queue.exists()

        php("resque", redis_server, "a.localhost")

        assert queue.exists()
        connection.delete(RESQUE)
        assert queue.exists()

    def test_the_oldest_message_comes_first(self, connection: Redis) -> None:
        """
        The oldest message comes first, although php-resque pushes to the other end.
        """
        connection.rpush(RESQUE, "first", "second")

        assert [b"first", b"second"] == ResqueQueue(connection, NAME, "one").take()

    def test_a_settled_message_is_counted_once(self, connection: Redis) -> None:
        """
        A message that is settled twice is counted once.
        """
        connection.rpush(RESQUE, "first")
        queue = ResqueQueue(connection, NAME, "one")
        (raw,) = queue.take()

        queue.settle(raw)
        queue.settle(raw)

        assert b"1" == connection.get("resque:stat:processed")
        assert [] == queue.take()

    def test_a_delayed_key_of_another_type_is_ignored(self, connection: Redis) -> None:
        """
        A key of another type remains, and the jobs of other times are taken.
        """
        job = f'{{"queue": "{NAME}"}}'
        connection.zadd(ResqueQueue.DELAYED, {"1": 1, "2": 2})
        connection.set("resque:delayed:1", "x")
        connection.rpush("resque:delayed:2", job)

        assert [job.encode()] == ResqueQueue(connection, NAME, "one").take()
        assert connection.exists("resque:delayed:1")
