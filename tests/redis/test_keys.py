"""
Tests of the table of keys, and of the removal of keys of the wrong type.
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
from certworker.web.access import sessions
from tests import documentation
from tests.reference import redis_keys

WRONG = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")

#: A key of each kind.
EXAMPLES = {
    kind.pattern: kind.pattern.replace("FORMAT", "utopia").replace("NAME", "2001:db8::1") for kind in KINDS
}

REMOVABLE = [kind for kind in KINDS if kind.removable]

#: Functions that write a value of each type.
PLANT: dict[str, Any] = {
    "string": lambda redis, key: redis.set(key, "x"),
    "hash": lambda redis, key: redis.hset(key, "x", "x"),
    "list": lambda redis, key: redis.rpush(key, "x"),
    "set": lambda redis, key: redis.sadd(key, "x"),
    "zset": lambda redis, key: redis.zadd(key, {"x": 1}),
    "stream": lambda redis, key: redis.xadd(key, {"x": "x"}),
}


class TestKinds:
    def test_a_key_has_the_kind_of_its_pattern(self) -> None:
        """
        Each key has the kind of its own pattern, not that of a more general one.
        """
        assert [] == [kind.pattern for kind in KINDS if kind_of(EXAMPLES[kind.pattern]) != kind]

    @pytest.mark.parametrize("key", ["", "certworker", "certworker:", "rq:job", "rq:queue:other", "x:agenda"])
    def test_a_key_of_another_program_has_no_kind(self, key: str) -> None:
        """
        A key of another program has no kind, and so is not removed.
        """
        assert kind_of(key) is None

    def test_each_constant_is_in_the_table(self) -> None:
        """
        Each constant with a key of certworker matches a row of the table.
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
            sessions,
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
        The reference has the current table. `make docs-generated` writes it.
        """
        text = (documentation.DOCS / "reference" / "redis-keys.md").read_text()

        assert redis_keys(removable=True) in text
        assert redis_keys(removable=False) in text
        assert documentation.renewed(text) == text


class TestRemoveWrong:
    def test_a_key_of_the_wrong_type_is_removed_and_logged(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A key of the wrong type is removed, and the log line has both types.
        """
        for kind in REMOVABLE:
            caplog.clear()
            key, other = EXAMPLES[kind.pattern], "set" if kind.type != "set" else "list"
            PLANT[other](connection, key)

            assert remove_wrong(connection, ["ANY", key, "x"], WRONG)

            assert not connection.exists(key), key
            assert [
                f"removed a key of the wrong type from Redis: {key} was a {other}, not a {kind.type}"
            ] == [line.getMessage() for line in caplog.records]

    def test_a_key_of_the_right_type_remains(self, connection: Redis) -> None:
        """
        A key that another worker has replaced since remains.
        """
        for kind in REMOVABLE:
            key = EXAMPLES[kind.pattern]
            PLANT[kind.type](connection, key)

            assert remove_wrong(connection, ["ANY", key.encode()], WRONG)

            assert connection.exists(key), key

    @pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if not kind.removable], ids=lambda kind: kind.pattern
    )
    def test_a_key_of_appwrite_remains_and_is_named(self, connection: Redis, kind: Kind) -> None:
        """
        A key of Appwrite remains, and the error names it with both types.
        """
        key, other = EXAMPLES[kind.pattern], "hash"
        PLANT[other](connection, key)

        with pytest.raises(WrongType, match=f"{key} is a hash, not a {kind.type}"):
            remove_wrong(connection, ["ANY", key], WRONG)

        assert connection.exists(key)

    def test_a_full_stream_is_removed(self, connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
        """
        A stream with the last possible id is removed and logged, because Redis adds no entry after it.
        """
        end = f"{2**64 - 1}-{2**64 - 1}"
        connection.xadd(events.EVENTS, {"x": "x"}, id=end)
        connection.xdel(events.EVENTS, end)

        connection.xadd(events.EVENTS, {"x": "x"})

        assert 1 == connection.xlen(events.EVENTS)
        assert [f"removed a stream with an id in the future from Redis: {events.EVENTS}"] == [
            line.getMessage() for line in caplog.records
        ]

    @pytest.mark.parametrize("number", ["abc", "1e400", str(2**63 - 1), ""])
    def test_an_invalid_number_is_removed(self, connection: Redis, number: str) -> None:
        """
        An invalid number is removed. Otherwise, RQ would fail each successful job of the worker.
        """
        connection.hset("rq:worker:a", mapping={"successful_job_count": number, "birth": "x"})
        connection.set("certworker:appwrite:taken:v1", number)

        assert 1 == connection.hincrby("rq:worker:a", "successful_job_count", 1)
        assert 1 == connection.incr("certworker:appwrite:taken:v1")
        assert b"x" == connection.hget("rq:worker:a", "birth")

    def test_a_number_that_another_worker_removed_is_not_logged(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        If another worker has removed the invalid number, the command is repeated without a log line.
        """
        error = ResponseError("value is not an integer or out of range")

        assert remove_wrong(connection, ["INCR", "certworker:appwrite:taken:v1"], error)
        assert "removed" not in caplog.text

    @pytest.mark.parametrize("error", ["ERR syntax error", "NOAUTH", "OOM command not allowed"])
    def test_another_error_removes_nothing(self, connection: Redis, error: str) -> None:
        """
        Only an error about the value of a key leads to its removal.
        """
        connection.set(agenda.AGENDA, "x")

        assert not remove_wrong(connection, ["ZADD", agenda.AGENDA], ResponseError(error))

        assert connection.exists(agenda.AGENDA)

    def test_an_unknown_key_removes_nothing(self, connection: Redis) -> None:
        """
        A command on an unknown key raises the error of Redis, and the key remains.
        """
        connection.set("of:others", "x")

        with pytest.raises(ResponseError, match="WRONGTYPE"):
            connection.rpush("of:others", "x")

        assert connection.exists("of:others")

    def test_a_user_without_permission_gets_the_key(self, connection: Any, redis_server: Any) -> None:
        """
        A producer cannot remove the key, and its error names the key. The worker removes it.
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

    def test_a_removal_is_logged_with_its_code(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log line of a removal has the code of the failure.
        """
        connection.set(agenda.AGENDA, "x")
        with caplog.at_level(logging.WARNING):
            connection.zcard(agenda.AGENDA)

        assert ["redis.wrong_type"] == [line.__dict__["code"] for line in caplog.records]
