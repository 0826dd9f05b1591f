"""
Tests of the checks of Redis, and of the log lines about its failures.
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
from certworker.redis.health import OutageTracker, check_redis, outage_watch, require_version, wait_for_redis
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

REFUSED = RedisConnectionError("Error 111 connecting to redis:6379. Connection refused.")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Yield a Redis that has not been started.
    """
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def code_of(connection: Redis) -> str:
    """
    Return the code of the failure of Redis.
    """
    with pytest.raises(CertworkerError) as failed:
        check_redis(connection)
    return failed.value.code


class TestCheckRedis:
    def test_a_healthy_redis_passes(self, connection: Redis) -> None:
        """
        A healthy Redis passes, and the key of the check expires immediately.
        """
        check_redis(connection)

        assert connection.pttl("certworker:probe") <= 1_000

    def test_an_unreachable_redis_is_a_failure(self, own_redis: RedisServer) -> None:
        """
        The failure of an unreachable Redis has the address, and not the password.
        """
        connection = Redis(port=own_redis.port, password="secret-of-redis")
        with pytest.raises(CertworkerError) as failed:
            check_redis(connection)

        assert "redis.unreachable" == failed.value.code
        assert f"localhost:{own_redis.port}" in failed.value.message
        assert "secret-of-redis" not in str(failed.value)

    def test_a_missing_or_wrong_password_is_a_failure(self, own_redis: RedisServer) -> None:
        """
        A missing or wrong password has a code of its own.
        """
        own_redis.start()
        with own_redis.client() as connection:
            connection.config_set("requirepass", "right")

            with own_redis.client() as without, Redis(port=own_redis.port, password="wrong") as wrong:
                assert ("redis.auth", "redis.auth") == (code_of(without), code_of(wrong))

    def test_a_user_without_permissions_is_a_failure(self, own_redis: RedisServer) -> None:
        """
        A user without the needed permissions has a code of its own.
        """
        own_redis.start()
        with own_redis.client() as connection:
            connection.execute_command(
                "ACL", "SETUSER", "producer", "on", ">pw", "~*", "-@all", "+ping", "+hello"
            )

        with Redis(port=own_redis.port, username="producer", password="pw") as connection:
            assert "redis.rights" == code_of(connection)

    def test_a_full_memory_is_a_failure(self, own_redis: RedisServer) -> None:
        """
        A Redis without free memory fails the check, because the check writes.
        """
        own_redis.start("--maxmemory", "1", "--maxmemory-policy", "noeviction")
        with own_redis.client() as connection:
            assert "redis.oom" == code_of(connection)

    def test_a_replica_is_a_failure(self, own_redis: RedisServer) -> None:
        """
        A replica, which accepts no writes, fails the check.
        """
        own_redis.start("--replicaof", "127.0.0.1", "1")
        with own_redis.client() as connection:
            assert "redis.readonly" == code_of(connection)

    def test_a_failed_save_is_a_failure(self, own_redis: RedisServer, tmp_path: Path) -> None:
        """
        A Redis that refuses writes after a failed save (MISCONF) fails the check.
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
    def test_a_supported_version_passes(self, version: str) -> None:
        """
        A supported version passes. Valkey reports the version of Redis that it is compatible with.
        """
        require_version(version, "redis:6379")

    @pytest.mark.parametrize("version", ["2.8.24", "5.0.14", "6.0.20", "6"])
    def test_an_old_version_is_a_failure(self, version: str) -> None:
        """
        A version that can lose jobs is a failure. Appwrite installations of 2021 can have one.
        """
        with pytest.raises(RedisTooOld) as refused:
            require_version(version, "redis:6379")

        assert "redis.too_old" == refused.value.code
        assert version in refused.value.message


class TestWaitForRedis:
    def test_the_wait_is_logged_once(self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
        """
        The function waits for Redis, and logs the failure and its end once.
        """
        caplog.set_level("INFO")
        later = threading.Timer(1.5, own_redis.start)
        later.start()

        with Redis(port=own_redis.port) as connection:
            assert wait_for_redis(connection)

        later.join()
        assert (1, 1) == (caplog.text.count("redis.unreachable"), caplog.text.count("is available again"))

    def test_the_stop_event_ends_the_wait(self, own_redis: RedisServer) -> None:
        """
        The event of a stop, as after SIGTERM, ends the wait.
        """
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()

        with Redis(port=own_redis.port) as connection:
            assert not wait_for_redis(connection, stop)


class TestOutageWatch:
    def test_each_reason_and_the_end_are_logged(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The loop logs a Redis that does not respond, or rejects writes, and the end of the outage.
        """
        caplog.set_level("INFO")
        own_redis.start()
        with own_redis.client() as connection:
            connection.replicaof("127.0.0.1", "1")
            watch = outage_watch(connection)
            watch.start()
            try:
                wait_until(lambda: "redis.readonly" in caplog.text or None, lambda: caplog.text)
                connection.replicaof("NO", "ONE")
                wait_until(lambda: "is available again" in caplog.text or None, lambda: caplog.text)
            finally:
                watch.stop()

        assert 1 == caplog.text.count("certworker retries")


class TestOutageTracker:
    def test_delays_grow_to_a_minute(self, own_redis: RedisServer) -> None:
        """
        The first delay is 0.25 seconds, and the longest is a minute.
        """
        outage = OutageTracker("redis:6379")
        pauses = [outage.failed(REFUSED) for _ in range(12)]

        assert [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60] == pauses

    def test_the_next_outage_is_logged_again(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        After an outage, the next one is logged again and begins with the first delay.
        """
        outage = OutageTracker("redis:6379")
        for _ in range(3):
            outage.failed(REFUSED)
        outage.succeeded()

        assert 0.25 == outage.failed(REFUSED)
        assert 2 == caplog.text.count("redis.unreachable")
