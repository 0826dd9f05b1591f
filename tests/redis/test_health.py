"""
A Redis that fails: which sentence an operator reads, and how often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from certworker.errors import CertworkerError
from certworker.errors.redis import RedisTooOld
from certworker.redis.health import OutageTracker, check_redis, require_version, wait_for_redis
from tests.servers.redis import RedisServer

REFUSED = RedisConnectionError("Error 111 connecting to redis:6379. Connection refused.")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    A Redis that is not started yet.
    """
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def code_of(connection: Redis) -> str:
    """
    The code of what is wrong with Redis.
    """
    with pytest.raises(CertworkerError) as failed:
        check_redis(connection)
    return failed.value.code


class TestCheckRedis:
    def test_a_good_redis_passes(self, connection: Redis) -> None:
        """
        It logs nothing and leaves no key.
        """
        check_redis(connection)

        assert connection.pttl("certworker:probe") <= 1_000

    def test_nobody_listens(self, own_redis: RedisServer) -> None:
        """
        The message has the address and not the password.
        """
        connection = Redis(port=own_redis.port, password="secret-of-redis")
        with pytest.raises(CertworkerError) as failed:
            check_redis(connection)

        assert "redis.unreachable" == failed.value.code
        assert f"localhost:{own_redis.port}" in failed.value.message
        assert "secret-of-redis" not in str(failed.value)

    def test_a_password_that_is_missing_or_wrong(self, own_redis: RedisServer) -> None:
        """
        The message names the variable to set.
        """
        own_redis.start()
        with own_redis.client() as connection:
            connection.config_set("requirepass", "right")

            with own_redis.client() as without, Redis(port=own_redis.port, password="wrong") as wrong:
                assert ("redis.auth", "redis.auth") == (code_of(without), code_of(wrong))

    def test_a_user_who_may_not(self, own_redis: RedisServer) -> None:
        """
        The message names the user.
        """
        own_redis.start()
        with own_redis.client() as connection:
            connection.execute_command(
                "ACL", "SETUSER", "producer", "on", ">pw", "~*", "-@all", "+ping", "+hello"
            )

        with Redis(port=own_redis.port, username="producer", password="pw") as connection:
            assert "redis.rights" == code_of(connection)

    def test_no_memory_left(self, own_redis: RedisServer) -> None:
        """
        Reading works and writing does not: only a probe that writes finds it.
        """
        own_redis.start("--maxmemory", "1", "--maxmemory-policy", "noeviction")
        with own_redis.client() as connection:
            assert "redis.oom" == code_of(connection)

    def test_a_replica(self, own_redis: RedisServer) -> None:
        """
        A replica answers and accepts no writes.
        """
        own_redis.start("--replicaof", "127.0.0.1", "1")
        with own_redis.client() as connection:
            assert "redis.readonly" == code_of(connection)

    def test_a_disk_that_takes_nothing_more(self, own_redis: RedisServer, tmp_path: Path) -> None:
        """
        Redis refuses writes after a failed save; its message starts with MISCONF.
        """
        own_redis.start()
        with own_redis.client() as connection:
            connection.config_set("save", "1 1")
            (tmp_path / "dump.rdb").mkdir()
            connection.set("key", "value")
            deadline = time.monotonic() + 20
            while (
                connection.info("persistence")["rdb_last_bgsave_status"] == "ok"
                and time.monotonic() < deadline
            ):
                time.sleep(0.05)

            assert "redis.readonly" == code_of(connection)


class TestRequireVersion:
    @pytest.mark.parametrize(
        "version", ["6.2.0", "6.2.14", "7.0.15", "7.2.4", "8.2", "10.0.1", "255.255.255"]
    )
    def test_new_enough(self, version: str) -> None:
        """
        Valkey names the version of Redis that it is compatible with.
        """
        require_version(version, "redis:6379")

    @pytest.mark.parametrize("version", ["2.8.24", "5.0.14", "6.0.20", "6"])
    def test_too_old(self, version: str) -> None:
        """
        Appwrite installations of 2021 may have one of these versions, which could lose jobs.
        """
        with pytest.raises(RedisTooOld) as refused:
            require_version(version, "redis:6379")

        assert "redis.too_old" == refused.value.code
        assert version in refused.value.message


class TestWaitForRedis:
    def test_it_waits_and_logs_that_once(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has one line for each reason.
        """
        caplog.set_level("INFO")
        later = threading.Timer(1.5, own_redis.start)
        later.start()

        with Redis(port=own_redis.port) as connection:
            assert wait_for_redis(connection)

        later.join()
        assert (1, 1) == (caplog.text.count("redis.unreachable"), caplog.text.count("answers again"))

    def test_the_stop_event_ends_it(self, own_redis: RedisServer) -> None:
        """
        SIGTERM ends a worker that waits for Redis.
        """
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()

        with Redis(port=own_redis.port) as connection:
            assert not wait_for_redis(connection, stop)


class TestOutage:
    def test_pauses_grow_to_a_minute(self, own_redis: RedisServer) -> None:
        """
        The first pause is short and the longest is a minute.
        """
        outage = OutageTracker("redis:6379")
        pauses = [outage.failed(REFUSED) for _ in range(12)]

        assert [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60] == pauses

    def test_after_an_outage_the_next_one_is_logged_again(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The next outage is logged again.
        """
        outage = OutageTracker("redis:6379")
        for _ in range(3):
            outage.failed(REFUSED)
        outage.succeeded()

        assert 0.25 == outage.failed(REFUSED)
        assert 2 == caplog.text.count("redis.unreachable")
