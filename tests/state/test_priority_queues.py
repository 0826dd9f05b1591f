"""
The request that is next: priorities, turns of tenants, and damaged keys.
"""

from __future__ import annotations

import json

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from certworker.state.priority_queues import PRIORITY_QUEUE, NewJob, Priority, PriorityQueues, Request
from tests.redis.test_keys import PLANT

JOB = NewJob("job", "list", "hash", "[", "]", {"status": "queued", "origin": "here"})


def put(priority_queues: PriorityQueues, priority: Priority, *names: str) -> None:
    """
    Queue a request for each of *names*, whose tenant is the last part of the name.
    """
    priority_queues.put(
        priority, {Request((name,), name.rpartition(".")[2]): n for n, name in enumerate(names)}
    )


def order(connection: Redis, priority_queues: PriorityQueues, *over_quota_tenants: str) -> list[str]:
    """
    Return the waiting names in the order in which they are taken.
    """
    names = []
    while priority_queues.take(JOB, over_quota_tenants):
        ((arguments,),) = [json.loads(connection.hget("hash", "data") or b"")]
        names.append(arguments["domain"])
        connection.delete("hash")
    return names


class TestPriorityQueues:
    def test_the_highest_priority_goes_first(self, connection: Redis) -> None:
        """
        A certificate that expires tomorrow precedes one that is due, and both precede new names.
        """
        priority_queues = PriorityQueues(connection)
        for priority in ("new", "renewal", "expiring", "advised"):
            put(priority_queues, priority, f"{priority}.a")

        assert ["expiring.a", "advised.a", "renewal.a", "new.a"] == order(connection, priority_queues)

    def test_tenants_take_turns(self, connection: Redis) -> None:
        """
        A tenant with two names does not wait for one with five thousand.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.big", "2.big", "3.big", "4.big")
        put(priority_queues, "new", "1.small", "2.small")

        assert ["1.big", "1.small", "2.big", "2.small", "3.big", "4.big"] == order(
            connection, priority_queues
        )

    def test_a_tenant_with_more_than_its_share_comes_last(self, connection: Redis) -> None:
        """
        Slow jobs would give a tenant all slots, if turns alone counted.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.greedy")
        put(priority_queues, "new", "1.modest", "2.modest")

        assert ["1.modest", "2.modest", "1.greedy"] == order(connection, priority_queues, "greedy", "other")

    def test_a_repeated_request_waits_once_and_keeps_its_position(self, connection: Redis) -> None:
        """
        A check puts waiting requests again, every quarter of an hour.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "renewal", "1.a", "2.a")
        put(priority_queues, "renewal", "2.a", "1.a")

        assert 2 == len(priority_queues)
        assert ["1.a", "2.a"] == order(connection, priority_queues)

    def test_a_request_becomes_a_job_in_one_step(self, connection: Redis) -> None:
        """
        Whenever a worker crashes, the request is in its queue or its job is in the list.
        """
        priority_queues = PriorityQueues(connection)
        priority_queues.put("new", {Request(("a.org", "b.org"), "me", force=True, use_full_quota=True): 1})
        taken = priority_queues.take(JOB, [])

        assert taken
        assert ("me", False) == (taken.tenant, taken.more)
        assert [b"job"] == connection.lrange("list", 0, -1)
        found = connection.hgetall("hash")
        assert (b"queued", b"here") == (found[b"status"], found[b"origin"])
        assert [
            {"domains": ["a.org", "b.org"], "force": True, "use_full_quota": True, "tenant": "me"}
        ] == json.loads(found[b"data"])
        assert [] == connection.keys(f"{PRIORITY_QUEUE}*")

    def test_an_evicted_queue_does_not_stop_the_others(self, connection: Redis) -> None:
        """
        Redis may evict any key; the names are also on the agenda.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a")
        put(priority_queues, "new", "1.b")
        connection.delete(f"{PRIORITY_QUEUE}new:a")

        assert ["1.b"] == order(connection, priority_queues)

    @pytest.mark.parametrize("kind", ["string", "list", "hash", "set", "stream"])
    def test_a_key_of_another_type_costs_its_tenant_only(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        """
        The key is removed, and one line names it.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "expiring", "1.a", "1.b", "1.c")
        connection.delete(f"{PRIORITY_QUEUE}expiring:a")
        PLANT[kind](connection, f"{PRIORITY_QUEUE}expiring:a")

        assert 2 == len(priority_queues)
        assert ["1.b", "1.c"] == order(connection, priority_queues)
        assert not connection.exists(f"{PRIORITY_QUEUE}expiring:a")
        assert [f"removed an invalid priority queue from Redis: {PRIORITY_QUEUE}expiring:a was a {kind}"] == [
            line.getMessage() for line in caplog.records
        ]

    def test_what_waits_replaces_a_key_of_another_type(self, connection: Redis) -> None:
        """
        The tenant of that key gets its certificate.
        """
        priority_queues = PriorityQueues(connection)
        connection.set(f"{PRIORITY_QUEUE}new:a", "x")

        put(priority_queues, "new", "1.a", "1.b")

        assert ["1.a", "1.b"] == order(connection, priority_queues)

    def test_a_request_that_is_too_large_costs_itself_only(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Redis allows 512 MB, which no worker has to read.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a", "1.b")
        connection.zadd(f"{PRIORITY_QUEUE}new:a", {"x" * 5_000_000: -1})
        connection.zadd(f"{PRIORITY_QUEUE}new", {"y" * 5_000_000: -1})

        assert {"1.a", "1.b"} == set(order(connection, priority_queues))
        assert [f"{PRIORITY_QUEUE}new:yyy", f"{PRIORITY_QUEUE}new:a w"] == [
            line.getMessage().partition("Redis: ")[2][: len(PRIORITY_QUEUE) + 7] for line in caplog.records
        ]

    @pytest.mark.parametrize("turn", ["inf", "1e300", "-inf", "9007199254740993"])
    def test_a_turn_beyond_all_bounds_does_not_end_the_turns(self, connection: Redis, turn: str) -> None:
        """
        After an infinite turn all tenants would have the same turn, and the order of names would decide.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.b")
        connection.zadd(f"{PRIORITY_QUEUE}new", {"b": float(turn)})
        put(priority_queues, "new", "2.b", "1.a", "2.a", "1.c", "2.c")

        taken = order(connection, priority_queues)
        assert ["1.a", "1.b", "1.c"] == sorted(taken[:3])

    def test_a_request_stays_where_its_job_cannot_be_made(self, connection: Redis) -> None:
        """
        A failed script has changed nothing.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a")
        connection.set("list", "no list")

        with pytest.raises(ResponseError, match="WRONGTYPE"):
            priority_queues.take(JOB, [])

        assert 1 == len(priority_queues)

    def test_a_command_that_is_repeated_takes_one_request(self, connection: Redis) -> None:
        """
        redis-py sends a command again whose answer was lost; the second request would replace the first.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a", "2.a")

        first, again = priority_queues.take(JOB, []), priority_queues.take(JOB, [])

        assert first == again
        assert (1, 1) == (len(priority_queues), connection.llen("list"))

    def test_a_thousand_names_are_put_in_two_commands(self, connection: Redis) -> None:
        """
        A large batch takes several commands.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", *(f"{number}.a" for number in range(1_000)))

        assert 1_000 == len(priority_queues)
