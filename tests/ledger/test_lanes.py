"""
The lanes: who is next.
"""

from __future__ import annotations

import json

from redis import Redis

from certworker.ledger.lanes import LANE, Lane, Lanes, NewJob, Request

JOB = NewJob("job", "list", "hash", "[", "]", {"status": "queued", "origin": "here"})


def put(lanes: Lanes, lane: Lane, *names: str) -> None:
    """
    Let requests wait, whose tenant is the last part of their name.
    """
    lanes.put(lane, {Request((name,), name.rpartition(".")[2]): n for n, name in enumerate(names)})


def order(connection: Redis, lanes: Lanes, *beyond_their_share: str) -> list[str]:
    """
    All that waits, in the order in which it is taken.
    """
    names = []
    while lanes.take(JOB, beyond_their_share):
        ((arguments,),) = [json.loads(connection.hget("hash", "data") or b"")]
        names.append(arguments["domain"])
    return names


class TestLanes:
    def test_the_best_lane_goes_first(self, connection: Redis) -> None:
        """
        A certificate that expires tomorrow before one that is due, and that before a new name of a thousand.
        """
        lanes = Lanes(connection)
        for lane in ("new", "renewal", "expiring", "advised"):
            put(lanes, lane, f"{lane}.a")

        assert ["expiring.a", "advised.a", "renewal.a", "new.a"] == order(connection, lanes)

    def test_tenants_take_turns(self, connection: Redis) -> None:
        """
        One with five thousand names does not keep one with two waiting.
        """
        lanes = Lanes(connection)
        put(lanes, "new", "1.big", "2.big", "3.big", "4.big")
        put(lanes, "new", "1.small", "2.small")

        assert ["1.big", "1.small", "2.big", "2.small", "3.big", "4.big"] == order(connection, lanes)

    def test_who_holds_more_than_a_share_comes_last(self, connection: Redis) -> None:
        """
        Slow jobs would give a tenant all slots, if turns alone counted.
        """
        lanes = Lanes(connection)
        put(lanes, "new", "1.greedy")
        put(lanes, "new", "1.modest", "2.modest")

        assert ["1.modest", "2.modest", "1.greedy"] == order(connection, lanes, "greedy", "other")

    def test_who_asks_twice_waits_once_and_keeps_the_place(self, connection: Redis) -> None:
        """
        A look puts what still waits again, every quarter of an hour.
        """
        lanes = Lanes(connection)
        put(lanes, "renewal", "1.a", "2.a")
        put(lanes, "renewal", "2.a", "1.a")

        assert 2 == len(lanes)
        assert ["1.a", "2.a"] == order(connection, lanes)

    def test_a_request_becomes_a_job_in_one_step(self, connection: Redis) -> None:
        """
        Whenever a worker dies, the request is in its lane, or its job is in the list.
        """
        lanes = Lanes(connection)
        lanes.put("new", {Request(("a.org", "b.org"), "me", force=True, i_know=True): 1})
        taken = lanes.take(JOB, [])

        assert taken
        assert ("me", False) == (taken.tenant, taken.more)
        assert [b"job"] == connection.lrange("list", 0, -1)
        found = connection.hgetall("hash")
        assert (b"queued", b"here") == (found[b"status"], found[b"origin"])
        assert [{"domains": ["a.org", "b.org"], "force": True, "i_know": True, "tenant": "me"}] == json.loads(
            found[b"data"]
        )
        assert [] == connection.keys(f"{LANE}*")

    def test_an_evicted_lane_does_not_stop_the_others(self, connection: Redis) -> None:
        """
        Redis may evict any key; the names are on the agenda, too.
        """
        lanes = Lanes(connection)
        put(lanes, "new", "1.a")
        put(lanes, "new", "1.b")
        connection.delete(f"{LANE}new:a")

        assert ["1.b"] == order(connection, lanes)

    def test_a_thousand_names_are_put_in_two_commands(self, connection: Redis) -> None:
        """
        A backlog is parked while others wait for the queue.
        """
        lanes = Lanes(connection)
        put(lanes, "new", *(f"{number}.a" for number in range(1_000)))

        assert 1_000 == len(lanes)
