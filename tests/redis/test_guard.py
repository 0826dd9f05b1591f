"""
Tests of the client of Redis with keys that other programs have written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError, WatchError

from certworker.redis import guard
from certworker.redis.client import connect
from certworker.redis.guard import ReplyTooLong
from certworker.redis.keys import kind_of
from certworker.redis.url import RedisURL
from tests.servers.redis import RedisServer
from tests.servers.sentinels import SERVICE, Sentinels

KEY = "certworker:story:a.org"
OTHER = "certworker:agenda"


@pytest.fixture
def limited(redis_server: RedisServer, connection: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """
    Yield a client that reads replies of at most 100,000 bytes.
    """
    monkeypatch.setattr(guard, "LONGEST_REPLY", 100_000)
    with connect(RedisURL.parse(redis_server.url)) as client:
        yield client


def plant_members(connection: Redis, key: str, members: list[str]) -> None:
    """
    Write *members* to *key* with its expected type. A string gets the last one.
    """
    kind = kind_of(key)
    assert kind
    for member in members:
        if kind.type == "list":
            connection.rpush(key, member)
        elif kind.type == "set":
            connection.sadd(key, member)
        elif kind.type == "zset":
            connection.zadd(key, {member: 1})
        elif kind.type == "hash":
            connection.hset(key, member[:5], member)
        elif kind.type == "stream":
            connection.xadd(key, {"event": member})
        else:
            connection.set(key, member * 2)


def run(connection: Redis, command: tuple[Any, ...], how: str) -> Any:
    """
    Return the reply to *command*, sent alone or in a pipeline.
    """
    if how == "alone":
        return connection.execute_command(*command)
    with connection.pipeline() as pipe:
        pipe.execute_command(*command)
        return pipe.execute()[0]


class TestGuardedRedis:
    def test_a_command_replaces_a_key_of_the_wrong_type(self, connection: Redis) -> None:
        """
        A command on a key of the wrong type succeeds.
        """
        connection.set(KEY, "x")

        assert 1 == connection.rpush(KEY, "line")

    def test_a_script_replaces_two_keys_of_the_wrong_type(self, connection: Redis) -> None:
        """
        A script on two keys of the wrong type succeeds, although Redis does not name the key.
        """
        connection.set(KEY, "x")
        connection.set(OTHER, "x")
        script = "redis.call('RPUSH', KEYS[1], 'x') return redis.call('ZADD', KEYS[2], 1, 'x')"

        assert 1 == connection.register_script(script)([KEY, OTHER])

    def test_another_error_of_a_script_is_raised(self, connection: Redis) -> None:
        """
        A script that fails with another error raises it, and is not repeated.
        """
        with pytest.raises(ResponseError, match="of its own"):
            connection.eval("return redis.error_reply('of its own')", 1, KEY)

    def test_a_blocking_command_replaces_a_key_of_the_wrong_type(self, connection: Redis) -> None:
        """
        A blocking command, with which the worker waits for jobs, succeeds as well.
        """
        connection.rpush(KEY, "line")
        connection.set("certworker:story:b.org", "x")

        assert b"line" == connection.blmove(KEY, "certworker:story:b.org", 1)


class TestGuardedPipeline:
    @pytest.mark.parametrize("transaction", [True, False])
    def test_only_failed_commands_are_sent_again(self, connection: Redis, transaction: bool) -> None:
        """
        Only the commands that failed are sent again, and the replies are in order.
        """
        connection.set(KEY, "x")
        with connection.pipeline(transaction=transaction) as pipe:
            pipe.incr("count")
            pipe.rpush(KEY, "line")
            pipe.llen(KEY)
            pipe.incr("count")

            assert [1, 1, 1, 2] == pipe.execute()

    @pytest.mark.parametrize("transaction", [True, False])
    def test_another_error_is_raised_with_its_command(self, connection: Redis, transaction: bool) -> None:
        """
        Another error is raised with its command, as in redis-py.
        """
        connection.set("of:others", "x")
        with connection.pipeline(transaction=transaction) as pipe:
            pipe.rpush("of:others", "x")
            with pytest.raises(ResponseError, match="RPUSH of:others"):
                pipe.execute()

    def test_an_error_is_returned_if_requested(self, connection: Redis) -> None:
        """
        With `raise_on_error=False`, which RQ uses, the error is one of the answers.
        """
        connection.set("of:others", "x")
        with connection.pipeline() as pipe:
            pipe.rpush("of:others", "x")

            (error,) = pipe.execute(raise_on_error=False)
        assert isinstance(error, ResponseError)

    def test_a_watched_key_of_the_wrong_type_is_replaced(self, connection: Redis) -> None:
        """
        The removal of a watched key raises WatchError, so that the caller repeats the transaction.
        """
        connection.set(KEY, "x")
        with connection.pipeline() as pipe:
            pipe.watch(KEY)
            assert 0 == pipe.llen(KEY)
            pipe.multi()
            pipe.rpush(KEY, "line")
            with pytest.raises(WatchError):
                pipe.execute()


class TestBoundedParser:
    def test_a_too_long_answer_is_not_read(self, limited: Redis) -> None:
        """
        A command with a too long answer fails, and the next command succeeds.
        """
        limited.set("long", "x" * 200_000)

        with pytest.raises(ReplyTooLong):
            limited.get("long")

        assert limited.ping()

    def test_a_too_long_answer_is_not_requested_again(self, limited: Redis) -> None:
        """
        The client does not repeat a command with a too long answer.
        """
        limited.set("long", "x" * 200_000)
        limited.config_resetstat()
        pipe = limited.pipeline()
        pipe.get("long")
        with pytest.raises(ReplyTooLong):
            pipe.execute()

        statistics: Any = limited.info("commandstats")
        assert 1 == statistics["cmdstat_get"]["calls"]

    @pytest.mark.parametrize(
        "command",
        [
            ("LRANGE", "rq:queue:certificates:intermediate", 0, -1),
            ("SMEMBERS", "rq:workers"),
            ("ZRANGE", "rq:wip:certificates", 0, -1),
            ("HGETALL", "certworker:challenges"),
            ("XRANGE", "certworker:events", "-", "+"),
            ("XREVRANGE", "rq:results:job", "+", "-"),
            ("GET", "certworker:configuration"),
        ],
        ids=lambda command: command[0],
    )
    @pytest.mark.parametrize("how", ["alone", "in a pipeline"])
    def test_large_members_are_removed_and_the_key_is_logged_once(
        self, limited: Redis, caplog: pytest.LogCaptureFixture, command: tuple[Any, ...], how: str
    ) -> None:
        """
        The large members of the key are removed, and the other members remain.
        """
        key, large = command[1], [f"{number}{'x' * 70_000}" for number in range(3)]
        plant_members(limited, key, ["small", *large])

        for _ in range(2):
            with suppress(ReplyTooLong):
                found = run(limited, command, how)

        assert not found or "small" in str(found)
        assert bool(found) == bool(limited.exists(key))
        assert len(str(found)) < 1_000
        lines = [line.getMessage().rpartition(": ")[0] for line in caplog.records]
        assert [key] == [line.rpartition(" ")[2] for line in lines]

    def test_a_large_value_of_another_program_remains(self, limited: Redis) -> None:
        """
        Only the keys of certworker and RQ are changed.
        """
        limited.rpush("of:others", "x" * 200_000)

        with pytest.raises(ReplyTooLong):
            limited.lrange("of:others", 0, -1)

        assert 1 == limited.llen("of:others")

    def test_the_limit_applies_to_each_answer(self, limited: Redis) -> None:
        """
        The limit applies to each reply of a pipeline, not to their sum.
        """
        limited.set("value", "x" * 60_000)
        with limited.pipeline(transaction=False) as pipe:
            for _ in range(20):
                pipe.get("value")

            assert 20 == len(pipe.execute())

    def test_a_primary_behind_sentinels_has_the_same_guards(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The client of a primary behind Sentinels has the same two guards.
        """
        monkeypatch.setattr(guard, "LONGEST_REPLY", 100_000)
        sentinels = Sentinels(tmp_path)
        sentinels.start()
        try:
            with connect(RedisURL.parse(f"redis+sentinel://{sentinels.hosts}/{SERVICE}")) as client:
                client.set(KEY, "x" * 200_000)
                with pytest.raises(ReplyTooLong):
                    client.get(KEY)
                assert 1 == client.rpush(KEY, "line")
        finally:
            sentinels.kill()
