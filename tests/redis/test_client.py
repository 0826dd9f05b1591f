"""
The client for an address, against real servers: over TLS, as a user, and by way of Sentinels.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.errors.redis import RedisAuthFailed, RedisUnreachable
from certworker.redis.client import connect, connected
from certworker.redis.health import check_redis
from certworker.redis.url import RedisURL
from certworker.settings import Settings, load
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.secure_redis import SecureRedis, Tls
from tests.servers.secure_sentinels import SecureSentinels
from tests.servers.sentinels import PATIENCE_SECONDS, SERVICE, Sentinels
from tests.servers.worker import wait_until


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[SecureRedis]:
    """
    A Redis with TLS that is not started yet.
    """
    server = SecureRedis(tmp_path / "redis")
    yield server
    server.kill()


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """
    A primary, a replica and three Sentinels, each of which asks for a password.
    """
    started = Sentinels(tmp_path, password="pw", sentinel_password="other")
    started.start()
    yield started
    started.kill()


@pytest.fixture
def secure_sentinels(tmp_path: Path) -> Iterator[SecureSentinels]:
    """
    The same server, with TLS only.
    """
    started = SecureSentinels(tmp_path, password="pw", sentinel_password="other")
    started.start()
    yield started
    started.kill()


def client(url: str) -> Redis:
    """
    A client of the Redis at *url*.
    """
    return connect(RedisURL.parse(url))


def result(url: str) -> CertworkerError:
    """
    What is wrong with the Redis at *url*.
    """
    with client(url) as connection, pytest.raises(CertworkerError) as failed:
        check_redis(connection)
    return failed.value


def follow_a_failover(url: str, sentinels: Sentinels) -> None:
    """
    See that the client of *url* finds the primary, and the next one when the first is dead.
    """
    with client(url) as connection:
        check_redis(connection)
        connection.set("certworker:test", "1")
        assert sentinels.primary.port == connection.info("server")["tcp_port"]
        assert 1 == connection.wait(1, 20_000)

        promoted = sentinels.fail_over()

        def followed() -> bool | None:
            try:
                return connection.get("certworker:test") == b"1" or None
            except RedisError:
                return None

        wait_until(followed, lambda: "the new primary was not found", PATIENCE_SECONDS)
        check_redis(connection)
        assert promoted.port == connection.info("server")["tcp_port"]


class TestTls:
    def test_it_goes_over_tls_as_the_user(self, secure: SecureRedis) -> None:
        """
        The check at the start and later commands connect alike.
        """
        secure.start()
        with client(secure.secure_url()) as connection:
            check_redis(connection)

            assert "worker" == connection.acl_whoami()
            assert isinstance(connection.connection_pool.connection_kwargs["ssl_ca_certs"], str)

    def test_a_client_certificate_is_sent_when_redis_requires_it(self, secure: SecureRedis) -> None:
        """
        As by default.
        """
        secure.start("--tls-auth-clients", "yes")
        ours = {"ssl_certfile": secure.certificate, "ssl_keyfile": secure.key}
        with client(secure.secure_url(**ours)) as connection:
            check_redis(connection)

        refused = result(secure.secure_url())
        assert refused.code in ("redis.tls", "redis.unreachable")  # the alert or the end of the connection

    def test_an_untrusted_server_is_sent_nothing(self, secure: SecureRedis, tmp_path: Path) -> None:
        """
        The password is not sent to an untrusted server; the remedy names the option.
        """
        secure.start()
        other = SecureRedis(tmp_path / "other")
        failure = result(secure.secure_url(ssl_ca_certs=other.ca_bundle))

        assert "redis.tls" == failure.code
        assert "ssl_ca_certs" in failure.remedy
        assert "p@ss" not in str(failure)

    def test_another_host_is_untrusted_unless_the_settings_allow_it(self, tmp_path: Path) -> None:
        """
        Sentinels name addresses, which few certificates have.
        """
        server = SecureRedis(tmp_path / "named")
        server.start()
        try:
            url = server.secure_url().replace("127.0.0.1", "127.0.0.2")
            server.client().config_set("bind", "127.0.0.1 127.0.0.2")

            failure = result(url)
            assert "redis.tls" == failure.code
            assert "ssl_check_hostname=false" in failure.remedy
            with client(f"{url}&ssl_check_hostname=false") as connection:
                check_redis(connection)
        finally:
            server.kill()

    def test_a_redis_without_tls(self, redis_server: RedisServer) -> None:
        """
        Such a server waits for a line while the client waits for a certificate; the remedy names the URL.
        """
        failure = result(f"rediss://127.0.0.1:{redis_server.port}/0")

        assert "redis.unreachable" == failure.code
        assert "CERTWORKER_REDIS_URL" in failure.remedy


class TestDatabase:
    def test_one_that_takes_commands_and_never_answers_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        With every release of redis-py: some have no timeout.
        """
        monkeypatch.setattr("certworker.redis.client.ANSWER_SECONDS", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with client(f"redis://127.0.0.1:{port}/0") as connection, pytest.raises(RedisError):
                connection.ping()

    def test_it_is_the_one_of_the_url(self, redis_server: RedisServer) -> None:
        """
        Several programs may share one Redis this way.
        """
        with client(f"redis://127.0.0.1:{redis_server.port}/3") as third, redis_server.client() as first:
            third.set("certworker:test", "1")

            assert not first.exists("certworker:test")
            third.flushdb()


class TestSentinel:
    @pytest.mark.timeout(240)
    def test_it_finds_the_primary_and_follows_it(self, sentinels: Sentinels) -> None:
        """
        The first Sentinel of the URL fails together with the primary.
        """
        follow_a_failover(sentinels.url.replace(f"{SERVICE}/0", f"{SERVICE}/2"), sentinels)

    def test_the_error_has_the_cause_in_words(self, sentinels: Sentinels) -> None:
        """
        The message has neither objects of redis-py nor a password.
        """
        unknown = result(f"redis+sentinel://:pw@{sentinels.hosts}/another?sentinel_password=other")
        refused = result(f"redis+sentinel://:pw@{sentinels.hosts}/{SERVICE}?sentinel_password=wrong-one")
        wrong = result(f"redis+sentinel://:wrong-one@{sentinels.hosts}/{SERVICE}?sentinel_password=other")
        nobody = result(f"redis+sentinel://:pw@127.0.0.1:{free_port()}/{SERVICE}")

        assert ["redis.unreachable", "redis.auth", "redis.auth", "redis.unreachable"] == [
            failure.code for failure in (unknown, refused, wrong, nobody)
        ]
        assert f"another (Sentinel {sentinels.hosts})" in unknown.message
        assert "Connection refused" in nobody.message
        for failure in (unknown, refused, wrong, nobody):
            assert "<redis" not in str(failure)
            assert "wrong-one" not in str(failure)


class TestSentinelOverTls:
    @pytest.mark.timeout(240)
    def test_it_finds_the_primary_and_follows_it(self, secure_sentinels: SecureSentinels) -> None:
        """
        The replica has the same user, and connections without TLS are refused.
        """
        plain = f"redis+sentinel://:pw@{secure_sentinels.hosts}/{SERVICE}?sentinel_password=other"
        assert "redis.unreachable" == result(plain).code
        assert "redis.unreachable" == result(f"redis://:pw@127.0.0.1:{secure_sentinels.primary.port}").code
        with client(secure_sentinels.url) as connection:
            assert "worker" == connection.acl_whoami()

        follow_a_failover(secure_sentinels.url, secure_sentinels)

    @pytest.mark.timeout(240)
    def test_neither_untrusted_sentinels_nor_an_untrusted_primary_are_sent_anything(
        self, secure_sentinels: SecureSentinels, tmp_path: Path
    ) -> None:
        """
        Trusted Sentinels do not make the Redis that they name trusted.
        """
        strangers = {"ssl_ca_certs": Tls(tmp_path / "other").root}
        half = {"ssl_ca_certs": secure_sentinels.tls.root}
        for bundle in (strangers, half, {}):
            failure = result(secure_sentinels.url_with(**bundle))

            assert "redis.tls" == failure.code
            assert f"{SERVICE} (Sentinel {secure_sentinels.hosts})" in failure.message
            assert "CERTIFICATE_VERIFY_FAILED" in failure.message
            assert ("name no primary" in failure.message) is (bundle is not half)
            assert "ssl_ca_certs" in failure.remedy
            assert "<redis" not in str(failure)
            assert "p@ss" not in str(failure)

    @pytest.mark.timeout(240)
    def test_another_host_is_untrusted_unless_the_settings_allow_it(self, tmp_path: Path) -> None:
        """
        As usual, the certificates do not have the address of the server, and Sentinels name only that.
        """
        sentinels = SecureSentinels(tmp_path, address="192.0.2.1")
        sentinels.start()
        try:
            failure = result(sentinels.url)

            assert "redis.tls" == failure.code
            assert "ssl_check_hostname=false" in failure.remedy
            with client(f"{sentinels.url}&ssl_check_hostname=false") as connection:
                check_redis(connection)
            half = sentinels.url_with(ssl_ca_certs=sentinels.tls.root, ssl_check_hostname="false")
            assert "redis.tls" == result(half).code
        finally:
            sentinels.kill()


def settings_for(port: int, **more: str) -> Settings:
    """
    The settings of a worker whose Redis is at *port*.
    """
    return load({"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(port), **more})


class TestSettings:
    def test_it_sends_user_and_password(self, tmp_path: Path) -> None:
        """
        Appwrite's Redis may have both, and they come from the same `.env`.
        """
        server = RedisServer(tmp_path)
        server.start()
        with server.client() as administrator:
            administrator.acl_setuser(
                "worker", enabled=True, passwords=["+pw"], categories=["+@all"], keys=["*"]
            )
        access = {"_APP_REDIS_USER": "worker", "_APP_REDIS_PASS": "pw"}

        with connect(settings_for(server.port, **access).redis) as connection:
            assert "worker" == connection.acl_whoami()
        server.kill()

    def test_it_connects_when_it_is_used(self) -> None:
        """
        A worker may start before Redis.
        """
        connect(settings_for(free_port()).redis).close()


class TestConnected:
    def test_a_redis_that_is_not_there_is_a_sentence(self) -> None:
        """
        A command ends with a remedy and no traceback.
        """
        with pytest.raises(RedisUnreachable), connected(settings_for(free_port()).redis) as connection:
            connection.ping()

    def test_a_password_that_is_missing_is_a_sentence(self, tmp_path: Path) -> None:
        """
        The message names the variable and not its value.
        """
        server = RedisServer(tmp_path)
        server.start()
        with server.client() as administrator:
            administrator.config_set("requirepass", "secret-of-redis")
        access = {"_APP_REDIS_PASS": "another-secret"}

        with (
            pytest.raises(RedisAuthFailed) as refused,
            connected(settings_for(server.port, **access).redis) as connection,
        ):
            connection.ping()

        assert "secret" not in str(refused.value)
        server.kill()
