"""
Tests of the client that fails fast while Redis does not respond.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from certworker.redis import impatient
from certworker.redis.client import connect
from certworker.redis.impatient import PAUSE_SECONDS, SLOW_SECONDS, SlowFailure
from certworker.redis.url import RedisURL
from tests.servers.redis import RedisServer
from tests.servers.sentinels import Sentinels

#: A patient client takes longer to fail, also on an idle machine.
FAR_LESS_THAN_PATIENT_SECONDS = 30


class Commands:
    """
    Commands to a Redis that a test lets fail, with a clock that advances by their duration.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.sent = 0
        self.failure = SlowFailure(lambda: self.now)

    def send(self, seconds: float = 0.0, error: RedisError | None = None) -> str:
        """
        Send a command that takes *seconds*; return how it ends.
        """
        try:
            with self.failure.watch():
                self.sent += 1
                self.now += seconds
                if error:
                    raise error
        except RedisError as raised:
            return str(raised)
        return "done"


def client(url: str) -> Redis:
    """
    Return the client of the page for *url*.
    """
    return connect(RedisURL.parse(url), is_patient=False)


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """
    Yield a primary, a replica and three Sentinels.
    """
    started = Sentinels(tmp_path)
    started.start()
    yield started
    started.kill()


class TestSlowFailure:
    def test_a_slow_failure_fails_the_next_commands_at_once(self) -> None:
        """
        Until the pause ends, no command is sent, and each gets the same error.
        """
        commands = Commands()
        slow = commands.send(SLOW_SECONDS, RedisTimeoutError("no reply"))
        commands.now += PAUSE_SECONDS - 0.1

        assert ["no reply"] * 3 == [slow, commands.send(), commands.send()]
        assert 1 == commands.sent

    def test_one_command_at_a_time_tries_again(self) -> None:
        """
        After the pause, one command tries Redis. The others fail immediately until it succeeds.
        """
        commands = Commands()
        commands.send(SLOW_SECONDS, RedisTimeoutError("no reply"))
        commands.now += PAUSE_SECONDS
        with commands.failure.watch():
            commands.failure._this_thread.is_in_command = False  # as in another thread
            assert "no reply" == commands.send()

        assert "done" == commands.send()
        assert 2 == commands.sent

    def test_only_slow_failures_of_the_connection_count(self) -> None:
        """
        A refused connection and an error of a command cost no time, so the next command is sent.
        """
        commands = Commands()
        commands.send(0.0, RedisConnectionError("refused"))
        commands.send(SLOW_SECONDS, ResponseError("unknown command"))

        assert "done" == commands.send()

    def test_a_command_within_the_one_that_tries_is_sent(self) -> None:
        """
        A transaction may send other commands first, such as the load of a script.
        """
        commands = Commands()
        commands.send(SLOW_SECONDS, RedisTimeoutError("no reply"))
        commands.now += PAUSE_SECONDS
        with commands.failure.watch():
            assert "done" == commands.send()


class TestImpatientRedis:
    def test_no_command_waits_for_a_redis_that_is_known_to_hang(
        self, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        After the first failure, each kind of command fails immediately, also when Redis runs again.
        """
        monkeypatch.setattr(impatient, "PAUSE_SECONDS", 1000)

        def get_in_transaction(*watched: str) -> object:
            with connection.pipeline() as pipe:
                if watched:
                    pipe.watch(*watched)
                    pipe.multi()
                return pipe.get("certworker:test").execute()

        with client(own_redis.url) as connection:
            assert connection.ping()
            assert own_redis.process is not None
            own_redis.process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(RedisTimeoutError):
                    connection.ping()
            finally:
                own_redis.process.send_signal(signal.SIGCONT)
            for send in (connection.ping, get_in_transaction, partial(get_in_transaction, "certworker:x")):
                with pytest.raises(RedisTimeoutError):
                    send()
            monkeypatch.setattr(connection.slow_failure, "_tried_again", 0.0)

            assert [None] == get_in_transaction("certworker:x")
            assert connection.ping()

    @pytest.mark.timeout(240)
    def test_sentinels_that_hang_are_a_fast_failure(self, sentinels: Sentinels) -> None:
        """
        If all Sentinels and the primary hang, a command fails after seconds, with a known connection or not.
        """
        known, new = client(sentinels.url), client(sentinels.url)
        known.ping()
        redis = [server.process.pid for server in sentinels.servers if server.process]
        processes = [*redis, *(each.pid for each in sentinels._processes.values())]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        began = time.monotonic()
        try:
            for connection in (known, new):
                with pytest.raises(RedisError):
                    connection.ping()
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

        assert time.monotonic() - began < FAR_LESS_THAN_PATIENT_SECONDS
        for connection in (known, new):
            connection.close()
