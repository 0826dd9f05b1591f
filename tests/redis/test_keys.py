"""
The keys of certworker in Redis, and those of another type.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from certworker.challenges import tokens
from certworker.issuance import pending_orders as orders
from certworker.observability import events, history
from certworker.ratelimits import budget
from certworker.redis.keys import KINDS, Kind, WrongType, kind_of, remove_wrong
from certworker.renewal import agenda
from certworker.state import (
    domain_records,
    locks,
    once_per,
    outbox,
    priority_queues,
    schema,
)
from tests import documentation
from tests.reference import redis_keys

WRONG = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")

#: A key of each kind.
EXAMPLES = {
    kind.pattern: kind.pattern.replace("FORMAT", "utopia").replace("NAME", "2001:db8::1") for kind in KINDS
}

#: Something of each type.
PLANT: dict[str, Any] = {
    "string": lambda redis, key: redis.set(key, "x"),
    "hash": lambda redis, key: redis.hset(key, "x", "x"),
    "list": lambda redis, key: redis.rpush(key, "x"),
    "set": lambda redis, key: redis.sadd(key, "x"),
    "zset": lambda redis, key: redis.zadd(key, {"x": 1}),
    "stream": lambda redis, key: redis.xadd(key, {"x": "x"}),
}


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
    def test_a_key_has_the_kind_of_its_own_pattern(self, kind: Kind) -> None:
        """
        A more general pattern does not come first.
        """
        assert kind_of(EXAMPLES[kind.pattern]) == kind

    @pytest.mark.parametrize("key", ["", "certworker", "certworker:", "rq:job", "rq:queue:other", "x:agenda"])
    def test_other_keys_have_none(self, key: str) -> None:
        """
        Keys of other programs are not removed.
        """
        assert kind_of(key) is None

    def test_each_key_of_the_ledger_is_in_the_table(self) -> None:
        """
        A new constant needs a row.
        """
        modules = (
            agenda,
            budget,
            once_per,
            events,
            priority_queues,
            locks,
            orders,
            outbox,
            domain_records,
            schema,
            history,
            tokens,
        )
        constants = {
            value
            for module in modules
            for value in vars(module).values()
            if isinstance(value, str) and value.startswith("certworker:")
        }

        assert len(constants) > 12
        assert [] == [
            each for each in constants if kind_of(f"{each}x:y" if each.endswith(":") else each) is None
        ]

    def test_the_reference_has_the_table(self) -> None:
        """
        `make docs-generated` writes docs/reference/redis-keys.md.
        """
        text = (documentation.DOCS / "reference" / "redis-keys.md").read_text()

        assert redis_keys(removable=True) in text
        assert redis_keys(removable=False) in text
        assert documentation.renewed(text) == text


class TestRemoveWrong:
    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if kind.removable], ids=lambda kind: kind.pattern
    )
    def test_a_key_of_another_type_is_removed_and_named(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, kind: Kind
    ) -> None:
        """
        One line has the key, its type and the expected type.
        """
        key, other = EXAMPLES[kind.pattern], "set" if kind.type != "set" else "list"
        PLANT[other](connection, key)

        assert remove_wrong(connection, ["ANY", key, "x"], WRONG)

        assert not connection.exists(key)
        assert [f"removed a key of another type from Redis: {key} was a {other}, not a {kind.type}"] == [
            line.getMessage() for line in caplog.records
        ]

    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if kind.removable], ids=lambda kind: kind.pattern
    )
    def test_a_key_of_the_right_type_stays(self, connection: Redis, kind: Kind) -> None:
        """
        Another worker may have replaced the key since.
        """
        key = EXAMPLES[kind.pattern]
        PLANT[kind.type](connection, key)

        assert remove_wrong(connection, ["ANY", key.encode()], WRONG)

        assert connection.exists(key)

    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if not kind.removable], ids=lambda kind: kind.pattern
    )
    def test_a_key_of_another_program_stays_and_is_named(self, connection: Redis, kind: Kind) -> None:
        """
        Appwrite's core may need it; the operator decides.
        """
        key, other = EXAMPLES[kind.pattern], "hash"
        PLANT[other](connection, key)

        with pytest.raises(WrongType, match=f"{key} is a hash, not a {kind.type}"):
            remove_wrong(connection, ["ANY", key], WRONG)

        assert connection.exists(key)

    def test_a_stream_that_takes_no_more_is_removed(self, connection: Redis) -> None:
        """
        Redis adds nothing after the last possible id, so all later events would be lost.
        """
        end = f"{2**64 - 1}-{2**64 - 1}"
        connection.xadd(events.EVENTS, {"x": "x"}, id=end)
        connection.xdel(events.EVENTS, end)

        connection.xadd(events.EVENTS, {"x": "x"})

        assert 1 == connection.xlen(events.EVENTS)

    @pytest.mark.parametrize("number", ["abc", "1e400", str(2**63 - 1), ""])
    def test_a_number_that_is_none_is_removed(self, connection: Redis, number: str) -> None:
        """
        RQ counts the jobs of a worker, and would fail each successful job.
        """
        connection.hset("rq:worker:a", mapping={"successful_job_count": number, "birth": "x"})
        connection.set("certworker:appwrite:taken:v1", number)

        assert 1 == connection.hincrby("rq:worker:a", "successful_job_count", 1)
        assert 1 == connection.incr("certworker:appwrite:taken:v1")
        assert b"x" == connection.hget("rq:worker:a", "birth")

    @pytest.mark.parametrize("error", ["ERR syntax error", "NOAUTH", "OOM command not allowed"])
    def test_another_answer_removes_nothing(self, connection: Redis, error: str) -> None:
        """
        Only what Redis says about the value of a key counts.
        """
        connection.set(agenda.AGENDA, "x")

        assert not remove_wrong(connection, ["ZADD", agenda.AGENDA], ResponseError(error))

        assert connection.exists(agenda.AGENDA)

    def test_an_unknown_key_removes_nothing(self, connection: Redis) -> None:
        """
        The command fails with Redis's own words.
        """
        connection.set("of:others", "x")

        with pytest.raises(ResponseError, match="WRONGTYPE"):
            connection.rpush("of:others", "x")

        assert connection.exists("of:others")

    def test_a_user_without_the_right_learns_the_key(self, connection: Any, redis_server: Any) -> None:
        """
        A producer may not remove the queue; the error names it, and the worker removes it.
        """
        connection.set("rq:queue:certificates", "x")
        connection.execute_command("ACL", "SETUSER", "web", "on", "nopass", "~rq:*", "+rpush", "+type")
        with (
            Redis(port=redis_server.port, username="web", password="x") as own,
            pytest.raises(WrongType, match="rq:queue:certificates is a string, not a list"),
        ):
            remove_wrong(own, ["RPUSH", "rq:queue:certificates", "x"], WRONG)

        connection.execute_command("ACL", "DELUSER", "web")
        assert 1 == connection.rpush("rq:queue:certificates", "x")

    def test_it_is_logged_under_its_code(self, connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
        """
        An alert on the code finds every removal.
        """
        connection.set(agenda.AGENDA, "x")
        with caplog.at_level(logging.WARNING):
            connection.zcard(agenda.AGENDA)

        assert ["redis.wrong_type"] == [line.__dict__["code"] for line in caplog.records]
