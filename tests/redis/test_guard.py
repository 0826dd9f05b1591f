"""
A client of Redis that survives what other programs write there.
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
from certworker.redis.guard import AnswerTooLong
from certworker.redis.keys import kind_of
from certworker.redis.url import RedisURL
from tests.servers.redis import RedisServer
from tests.servers.sentinels import SERVICE, Sentinels

KEY = "certworker:story:a.org"
OTHER = "certworker:agenda"


@pytest.fixture
def narrow(redis_server: RedisServer, connection: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """
    A client that reads answers of 100,000 bytes at most.
    """
    monkeypatch.setattr(guard, "LONGEST_ANSWER", 100_000)
    with connect(RedisURL.parse(redis_server.url)) as client:
        yield client


def plant_members(connection: Redis, key: str, members: list[str]) -> None:
    """
    Write *members* to *key*, as what it has to be; a value is the last one.
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
        else:
            connection.set(key, member * 2)


def run(connection: Redis, command: tuple[Any, ...], how: str) -> Any:
    """
    The answer to *command*, alone or in a pipeline.
    """
    if how == "alone":
        return connection.execute_command(*command)
    with connection.pipeline() as pipe:
        pipe.execute_command(*command)
        return pipe.execute()[0]


class TestGuardedRedis:
    def test_a_command_works_in_spite_of_a_wrong_key(self, connection: Redis) -> None:
        """
        The caller does not notice.
        """
        connection.set(KEY, "x")

        assert 1 == connection.rpush(KEY, "line")

    def test_a_script_works_in_spite_of_two_wrong_keys(self, connection: Redis) -> None:
        """
        The answer of Redis does not name the key.
        """
        connection.set(KEY, "x")
        connection.set(OTHER, "x")
        script = "redis.call('RPUSH', KEYS[1], 'x') return redis.call('ZADD', KEYS[2], 1, 'x')"

        assert 1 == connection.register_script(script)([KEY, OTHER])

    def test_a_script_that_another_error_ends_raises_it(self, connection: Redis) -> None:
        """
        The other commands are not repeated.
        """
        with pytest.raises(ResponseError, match="of its own"):
            connection.eval("return redis.error_reply('of its own')", 1, KEY)

    def test_a_blocking_command_works_as_well(self, connection: Redis) -> None:
        """
        The worker waits for jobs with one.
        """
        connection.rpush(KEY, "line")
        connection.set("certworker:story:b.org", "x")

        assert b"line" == connection.blmove(KEY, "certworker:story:b.org", 1)


class TestGuardedPipeline:
    @pytest.mark.parametrize("transaction", [True, False])
    def test_the_commands_of_a_wrong_key_are_sent_again_and_no_others(
        self, connection: Redis, transaction: bool
    ) -> None:
        """
        A counter counts once, and the answers are in order.
        """
        connection.set(KEY, "x")
        with connection.pipeline(transaction=transaction) as pipe:
            pipe.incr("count")
            pipe.rpush(KEY, "line")
            pipe.llen(KEY)
            pipe.incr("count")

            assert [1, 1, 1, 2] == pipe.execute()

    @pytest.mark.parametrize("transaction", [True, False])
    def test_an_error_without_remedy_is_raised_with_its_command(
        self, connection: Redis, transaction: bool
    ) -> None:
        """
        As redis-py does it.
        """
        connection.set("of:others", "x")
        with connection.pipeline(transaction=transaction) as pipe:
            pipe.rpush("of:others", "x")
            with pytest.raises(ResponseError, match="RPUSH of:others"):
                pipe.execute()

    def test_an_error_is_returned_where_that_is_wanted(self, connection: Redis) -> None:
        """
        RQ uses it.
        """
        connection.set("of:others", "x")
        with connection.pipeline() as pipe:
            pipe.rpush("of:others", "x")

            (error,) = pipe.execute(raise_on_error=False)
        assert isinstance(error, ResponseError)

    def test_what_is_watched_may_be_of_another_type(self, connection: Redis) -> None:
        """
        The removal counts as a change, so the transaction starts again.
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
    def test_an_answer_that_is_too_long_is_not_read(self, narrow: Redis) -> None:
        """
        Redis allows values of 512 MB. The command fails, and the next one works.
        """
        narrow.set("long", "x" * 200_000)

        with pytest.raises(AnswerTooLong):
            narrow.get("long")

        assert narrow.ping()

    def test_it_is_asked_for_once(self, narrow: Redis) -> None:
        """
        A retry would read it again.
        """
        narrow.set("long", "x" * 200_000)
        narrow.config_resetstat()
        pipe = narrow.pipeline()
        pipe.get("long")
        with pytest.raises(AnswerTooLong):
            pipe.execute()

        statistics: Any = narrow.info("commandstats")
        assert 1 == statistics["cmdstat_get"]["calls"]

    @pytest.mark.parametrize(
        "command",
        [
            ("LRANGE", "rq:queue:certificates:intermediate", 0, -1),
            ("SMEMBERS", "rq:workers"),
            ("ZRANGE", "rq:wip:certificates", 0, -1),
            ("HGETALL", "certworker:challenges"),
            ("GET", "certworker:configuration"),
        ],
        ids=lambda command: command[0],
    )
    @pytest.mark.parametrize("how", ["alone", "in a pipeline"])
    def test_what_made_it_long_is_removed_and_named_once(
        self, narrow: Redis, caplog: pytest.LogCaptureFixture, command: tuple[Any, ...], how: str
    ) -> None:
        """
        A loop fails once, and the other members of the key stay.
        """
        key, large = command[1], [f"{number}{'x' * 70_000}" for number in range(3)]
        plant_members(narrow, key, ["small", *large])

        for _ in range(2):
            with suppress(AnswerTooLong):
                found = run(narrow, command, how)

        assert b"small" in (found or [b"small"])
        assert bool(found) == bool(narrow.exists(key))
        assert len(str(found)) < 1_000
        assert [key] == [line.getMessage().rpartition(" ")[2] for line in caplog.records]

    def test_a_large_value_of_another_program_stays(self, narrow: Redis) -> None:
        """
        Only keys of the table are changed.
        """
        narrow.rpush("of:others", "x" * 200_000)

        with pytest.raises(AnswerTooLong):
            narrow.lrange("of:others", 0, -1)

        assert 1 == narrow.llen("of:others")

    def test_many_answers_are_not_one(self, narrow: Redis) -> None:
        """
        A pipeline may bring more than that in all.
        """
        narrow.set("value", "x" * 60_000)
        with narrow.pipeline(transaction=False) as pipe:
            for _ in range(20):
                pipe.get("value")

            assert 20 == len(pipe.execute())

    def test_behind_sentinels_it_is_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The client of a primary that Sentinels name has the same two guards.
        """
        monkeypatch.setattr(guard, "LONGEST_ANSWER", 100_000)
        sentinels = Sentinels(tmp_path)
        sentinels.start()
        try:
            with connect(RedisURL.parse(f"redis+sentinel://{sentinels.hosts}/{SERVICE}")) as client:
                client.set(KEY, "x" * 200_000)
                with pytest.raises(AnswerTooLong):
                    client.get(KEY)
                assert 1 == client.rpush(KEY, "line")
        finally:
            sentinels.kill()
