"""
How the queue stands.
"""

from __future__ import annotations

from redis import Redis

from certworker.worker.producer import request_certificate
from certworker.worker.queue_stats import MOST_FOREIGN, queue_stats


class TestSurvey:
    def test_an_empty_redis_has_nothing_to_tell(self, connection: Redis) -> None:
        """
        Nobody works, and nobody waits.
        """
        found = queue_stats(connection)

        assert (0, 0, False, (), None) == (
            found.waiting,
            found.workers,
            found.scheduler,
            found.foreign,
            found.evicts,
        )

    def test_those_who_wait_and_those_who_work_are_counted(self, connection: Redis) -> None:
        """
        A worker that was killed is still in the set, but its key has gone.
        """
        request_certificate("shop.example.org", connection=connection)
        connection.sadd("rq:workers:certificates", "rq:worker:alive", "rq:worker:dead")
        connection.hset("rq:worker:alive", "birth", "1")
        connection.set("rq:scheduler-lock:certificates", "alive")
        found = queue_stats(connection)

        assert (1, 1, True) == (found.waiting, found.workers, found.scheduler)

    def test_a_queue_that_nobody_takes_from_is_told(self, connection: Redis) -> None:
        """
        Somebody may have spelt the name of ours otherwise.
        """
        connection.sadd("rq:queues", "rq:queue:certificates", "rq:queue:v1-certificates", "rq:queue:mails")
        connection.rpush("rq:queue:v1-certificates", "a", "b")
        connection.rpush("rq:queue:mails", "c")
        connection.sadd("rq:workers:mails", "rq:worker:postman")
        connection.hset("rq:worker:postman", "birth", "1")

        (foreign,) = queue_stats(connection).foreign
        assert "The queue v1-certificates has 2 waiting jobs and no worker" in foreign.message

    def test_what_others_wrote_costs_itself_only(self, connection: Redis) -> None:
        """
        Names that are no text, too long, or keys of another type hide no other queue.
        """
        members: list[bytes | str] = [
            b"\xff\xfe",
            "",
            "x" * 1_000_000,
            "rq:queue:\x1b[2J",
            "rq:queue:string",
            "rq:queue:lost",
        ]
        connection.sadd("rq:queues", *members)
        connection.set("rq:queue:string", "x")
        connection.set("rq:workers:lost", "x")
        connection.sadd("rq:workers:certificates", b"\xff", "x" * 1_000_000)
        for key in ("rq:queue:\x1b[2J", "rq:queue:lost"):
            connection.rpush(key, "a")

        found = queue_stats(connection)

        assert ["lost"] == [each.message.split()[2] for each in found.foreign]
        assert 0 == found.workers

    def test_thousands_of_queues_are_not_all_reported(self, connection: Redis) -> None:
        """
        A person reads some, and the command ends soon.
        """
        with connection.pipeline(transaction=False) as pipe:
            for number in range(2_000):
                pipe.sadd("rq:queues", f"rq:queue:{number}")
                pipe.rpush(f"rq:queue:{number}", "a")
            pipe.execute()

        assert MOST_FOREIGN == len(queue_stats(connection).foreign)

    def test_a_redis_that_forgets_is_told(self, connection: Redis) -> None:
        """
        Jobs would go without a trace.
        """
        connection.config_set("maxmemory", "1gb")
        connection.config_set("maxmemory-policy", "allkeys-lru")
        try:
            evicts = queue_stats(connection).evicts
            assert evicts
            assert "allkeys-lru" in evicts.message
            connection.config_set("maxmemory", "0")
            assert queue_stats(connection).evicts is None
        finally:
            connection.config_set("maxmemory-policy", "noeviction")
            connection.config_set("maxmemory", "0")

    def test_a_redis_that_does_not_tell_is_left_alone(self, connection: Redis) -> None:
        """
        Many hosts forbid CONFIG.
        """
        connection.acl_setuser(
            "guest", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-config"]
        )
        options = connection.connection_pool.connection_kwargs
        with Redis(host=options["host"], port=options["port"], username="guest", password="any") as guest:
            assert queue_stats(guest).evicts is None
        connection.acl_deluser("guest")
