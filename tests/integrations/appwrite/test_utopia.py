"""
Tests of the queue of utopia-php/queue, as Appwrite's health endpoint sees it.
"""

from __future__ import annotations

import json
from typing import cast

from redis import Redis

from certworker.errors.payload import PayloadMissing
from certworker.integrations.appwrite.utopia import UtopiaQueue
from tests.integrations.appwrite.core import NAME, UTOPIA, payload, produce, stats
from tests.servers.redis import RedisServer


class TestUtopiaQueue:
    def test_a_claimed_message_is_on_the_list_of_its_consumer(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A claimed message has the keys that Appwrite's consumer writes, even with a dot in its id.
        """
        produce(redis_server, payload("a.localhost"))
        queue = UtopiaQueue(connection, NAME, "one")

        (raw,) = queue.take()

        pid = json.loads(raw)["pid"]
        assert "." in pid
        assert raw == connection.get(f"utopia-queue.jobs.{NAME}.{pid}")
        assert [pid.encode()] == connection.lrange(f"utopia-queue.processing.{NAME}", 0, -1)
        assert (1, 1, 0) == tuple(stats(connection)[kind] for kind in ("total", "processing", "success"))

    def test_a_failed_message_can_be_read_again(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The key of a failed job remains, and its id is on the list of failures.
        """
        produce(redis_server, payload(""))
        queue = UtopiaQueue(connection, NAME, "one")
        (raw,) = queue.take()

        queue.settle(raw, PayloadMissing())

        (pid,) = connection.lrange(f"utopia-queue.failed.{NAME}", 0, -1)
        assert raw == connection.get(f"utopia-queue.jobs.{NAME}.{cast('bytes', pid).decode()}")
        assert (0, 1, 0) == tuple(
            stats(connection)[kind] for kind in ("processing", "failed", "processing list")
        )

    def test_it_exists_after_its_first_use(self, connection: Redis) -> None:
        """
        The queue exists after its first use, even if it is empty.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        assert not queue.exists()

        connection.incr(f"utopia-queue.stats.{NAME}.total")

        assert queue.exists()

    def test_messages_taken_by_others_are_counted(self, connection: Redis) -> None:
        """
        Messages of other consumers are counted, except after an eviction of certworker's own count.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        assert queue.taken_by_others() is None
        connection.lpush(UTOPIA, "one", "two")
        queue.take()
        assert 0 == queue.taken_by_others()

        connection.incr(f"utopia-queue.stats.{NAME}.total")

        assert 1 == queue.taken_by_others()
        connection.delete(f"certworker:appwrite:taken:{NAME}")
        assert queue.taken_by_others() is None
