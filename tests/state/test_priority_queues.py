"""
Tests of the priority queues: priorities, turns of tenants, and invalid keys.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from certworker.state.priority_queues import PRIORITY_QUEUE, NewJob, Priority, PriorityQueues, Request
from tests.redis.test_keys import PLANT

JOB = NewJob("job", "list", "hash", "[", "]", {"status": "queued", "origin": "here"})


def put(priority_queues: PriorityQueues, priority: Priority, *names: str) -> None:
    """
    Queue a request for each of *names*. The last label of a name is its tenant.
    """
    priority_queues.put(
        priority, {Request((name,), name.rpartition(".")[2]): n for n, name in enumerate(names)}
    )


def order(connection: Redis, priority_queues: PriorityQueues, *over_quota_tenants: str) -> list[str]:
    """
    Take all waiting requests, and return their names in order.
    """
    names = []
    while priority_queues.take(JOB, over_quota_tenants):
        ((arguments,),) = [json.loads(connection.hget("hash", "data") or b"")]
        names.append(arguments["domain"])
        connection.delete("hash")
    return names


class TestPriorityQueues:
    def test_the_highest_priority_is_first(self, connection: Redis) -> None:
        """
        Expiring certificates precede due renewals, and both precede new names.
        """
        priority_queues = PriorityQueues(connection)
        for priority in ("new", "renewal", "expiring", "advised"):
            put(priority_queues, priority, f"{priority}.a")

        assert ["expiring.a", "advised.a", "renewal.a", "new.a"] == order(connection, priority_queues)

    def test_tenants_take_turns(self, connection: Redis) -> None:
        """
        Tenants with waiting requests take turns, regardless of the number of their requests.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.big", "2.big", "3.big", "4.big")
        put(priority_queues, "new", "1.small", "2.small")

        assert ["1.big", "1.small", "2.big", "2.small", "3.big", "4.big"] == order(
            connection, priority_queues
        )

    def test_a_tenant_over_its_quota_is_last(self, connection: Redis) -> None:
        """
        A tenant that uses more than its share of the slots is last.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.over_quota")
        put(priority_queues, "new", "1.within_quota", "2.within_quota")

        assert ["1.within_quota", "2.within_quota", "1.over_quota"] == order(
            connection, priority_queues, "over_quota", "other"
        )

    def test_a_repeated_request_retains_its_position(self, connection: Redis) -> None:
        """
        A repeated request waits once, and retains its position.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "renewal", "1.a", "2.a")
        put(priority_queues, "renewal", "2.a", "1.a")

        assert 2 == len(priority_queues)
        assert ["1.a", "2.a"] == order(connection, priority_queues)

    def test_a_request_becomes_a_job_in_one_step(self, connection: Redis) -> None:
        """
        Taking a request removes it from its queue and creates its job in one step.
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

    def test_only_a_named_tenant_is_part_of_the_job(self, connection: Redis) -> None:
        """
        A named tenant remains in the job, even if it equals the registered domain. Otherwise, there is none.
        """
        priority_queues = PriorityQueues(connection)
        priority_queues.put("new", {Request(("a.org",), "a.org"): 1})
        priority_queues.put("new", {Request(("b.org",), "b.org", names_tenant=False): 1})
        found = []
        while taken := priority_queues.take(JOB, []):
            found += json.loads(taken.fields["data"])
            connection.delete("hash")

        assert [{"domain": "a.org", "tenant": "a.org"}, {"domain": "b.org"}] == found

    @pytest.mark.parametrize(
        ("priority", "score", "enqueued"),
        [
            ("new", 1_800_000_000, datetime(2027, 1, 15, 8, tzinfo=UTC)),
            ("renewal", 1_800_000_000, None),
            ("new", float("inf"), None),
        ],
    )
    def test_a_new_request_has_its_time(
        self, connection: Redis, priority: Priority, score: float, enqueued: datetime | None
    ) -> None:
        """
        The score of a new request is the time at which it was enqueued. Other scores are deadlines.
        """
        priority_queues = PriorityQueues(connection)
        priority_queues.put(priority, {Request(("a.org",), "me"): score})
        taken = priority_queues.take(JOB, [])

        assert taken
        assert enqueued == taken.enqueued

    def test_an_evicted_queue_does_not_affect_the_others(self, connection: Redis) -> None:
        """
        An evicted queue does not affect the queues of other tenants.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a")
        put(priority_queues, "new", "1.b")
        connection.delete(f"{PRIORITY_QUEUE}new:a")

        assert ["1.b"] == order(connection, priority_queues)

    @pytest.mark.parametrize("kind", ["string", "list", "hash", "set", "stream"])
    def test_a_key_of_another_type_affects_its_tenant_only(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        """
        A key of another type is removed with one log line, and the other tenants are served.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "expiring", "1.a", "1.b", "1.c")
        connection.delete(f"{PRIORITY_QUEUE}expiring:a")
        PLANT[kind](connection, f"{PRIORITY_QUEUE}expiring:a")

        assert 2 == len(priority_queues)
        assert ["1.b", "1.c"] == order(connection, priority_queues)
        assert not connection.exists(f"{PRIORITY_QUEUE}expiring:a")
        assert [f"removed invalid requests from Redis: {PRIORITY_QUEUE}expiring:a was a {kind}"] == [
            line.getMessage() for line in caplog.records
        ]

    def test_a_request_replaces_a_key_of_another_type(self, connection: Redis) -> None:
        """
        A new request replaces a key of another type.
        """
        priority_queues = PriorityQueues(connection)
        connection.set(f"{PRIORITY_QUEUE}new:a", "x")

        put(priority_queues, "new", "1.a", "1.b")

        assert ["1.a", "1.b"] == order(connection, priority_queues)

    def test_a_request_that_is_too_large_is_removed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A request or a tenant that is too large is removed with one log line, and the others are served.
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
    def test_an_invalid_turn_does_not_affect_the_order(self, connection: Redis, turn: str) -> None:
        """
        Tenants take turns after another program wrote an invalid turn.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.b")
        connection.zadd(f"{PRIORITY_QUEUE}new", {"b": float(turn)})
        put(priority_queues, "new", "2.b", "1.a", "2.a", "1.c", "2.c")

        taken = order(connection, priority_queues)
        assert ["1.a", "1.b", "1.c"] == sorted(taken[:3])

    def test_a_request_remains_if_its_job_cannot_be_created(self, connection: Redis) -> None:
        """
        A request remains in its queue if Redis cannot create its job.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a")
        connection.set("list", "no list")

        with pytest.raises(ResponseError, match="WRONGTYPE"):
            priority_queues.take(JOB, [])

        assert 1 == len(priority_queues)

    def test_a_repeated_command_takes_one_request(self, connection: Redis) -> None:
        """
        A repeated command for the same job takes one request. redis-py repeats a command after a lost
        answer.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", "1.a", "2.a")

        first, repeated = priority_queues.take(JOB, []), priority_queues.take(JOB, [])

        assert first
        assert replace(first, enqueued=None) == repeated
        assert (1, 1) == (len(priority_queues), connection.llen("list"))

    def test_a_large_batch_is_put_in_several_commands(self, connection: Redis) -> None:
        """
        A batch of a thousand requests is stored in several commands.
        """
        priority_queues = PriorityQueues(connection)
        put(priority_queues, "new", *(f"{number}.a" for number in range(1_000)))

        assert 1_000 == len(priority_queues)
