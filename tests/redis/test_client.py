"""
Tests of the client with real servers: over TLS, as a user, and through Sentinels.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

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
    Yield a Redis with TLS that has not been started.
    """
    server = SecureRedis(tmp_path / "redis")
    yield server
    server.kill()


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """
    Yield a primary, a replica and three Sentinels, each of which requires a password.
    """
    started = Sentinels(tmp_path, password="pw", sentinel_password="other")
    started.start()
    yield started
    started.kill()


@pytest.fixture
def secure_sentinels(tmp_path: Path) -> Iterator[SecureSentinels]:
    """
    Yield the same servers, with TLS only.
    """
    started = SecureSentinels(tmp_path, password="pw", sentinel_password="other")
    started.start()
    yield started
    started.kill()


def client(url: str) -> Redis:
    """
    Return a client of Redis at *url*.
    """
    return connect(RedisURL.parse(url))


def failure_at(url: str) -> CertworkerError:
    """
    Return the failure of Redis at *url*.
    """
    with client(url) as connection, pytest.raises(CertworkerError) as failed:
        check_redis(connection)
    return failed.value


def follow_a_failover(url: str, sentinels: Sentinels) -> None:
    """
    Check that the client of *url* finds the primary, and the new one after a failover.
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
    def test_the_client_connects_over_tls_as_the_user(self, secure: SecureRedis) -> None:
        """
        The check at the start and later commands use TLS and the user of the URL.
        """
        secure.start()
        with client(secure.secure_url()) as connection:
            check_redis(connection)

            assert "worker" == connection.acl_whoami()
            assert isinstance(connection.connection_pool.connection_kwargs["ssl_ca_certs"], str)

    def test_a_client_certificate_is_sent_if_redis_requires_it(self, secure: SecureRedis) -> None:
        """
        The client sends its certificate to a Redis that requires one, which is the default.
        """
        secure.start("--tls-auth-clients", "yes")
        options = {"ssl_certfile": secure.certificate, "ssl_keyfile": secure.key}
        with client(secure.secure_url(**options)) as connection:
            check_redis(connection)

        refused = failure_at(secure.secure_url())
        # The client gets either the alert or the end of the connection.
        assert refused.code in ("redis.tls", "redis.unreachable")

    def test_an_untrusted_server_gets_no_password(self, secure: SecureRedis, tmp_path: Path) -> None:
        """
        The client sends no password to an untrusted server, and the remedy names the option.
        """
        secure.start()
        other = SecureRedis(tmp_path / "other")
        failure = failure_at(secure.secure_url(ssl_ca_certs=other.ca_bundle))

        assert "redis.tls" == failure.code
        assert "ssl_ca_certs" in failure.remedy
        assert "p@ss" not in str(failure)

    def test_another_host_is_untrusted_unless_the_settings_allow_it(self, tmp_path: Path) -> None:
        """
        Another host name is untrusted, unless an option allows it. Sentinels name addresses.
        """
        server = SecureRedis(tmp_path / "named")
        server.start()
        try:
            url = server.secure_url().replace("127.0.0.1", "127.0.0.2")
            server.client().config_set("bind", "127.0.0.1 127.0.0.2")

            failure = failure_at(url)
            assert "redis.tls" == failure.code
            assert "ssl_check_hostname=false" in failure.remedy
            with client(f"{url}&ssl_check_hostname=false") as connection:
                check_redis(connection)
        finally:
            server.kill()

    def test_a_redis_without_tls_is_a_failure(self, redis_server: RedisServer) -> None:
        """
        A Redis without TLS never answers the handshake, and the remedy names the URL.
        """
        failure = failure_at(f"rediss://127.0.0.1:{redis_server.port}/0")

        assert "redis.unreachable" == failure.code
        assert "CERTWORKER_REDIS_URL" in failure.remedy


class TestDatabase:
    def test_a_redis_that_never_answers_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The client stops waiting for a reply, with every release of redis-py.
        """
        monkeypatch.setattr("certworker.redis.client.REPLY_SECONDS", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with client(f"redis://127.0.0.1:{port}/0") as connection:
                # Each of the repetitions has the same timeout.
                connection.set_retry(Retry(NoBackoff(), 0))
                with pytest.raises(RedisError):
                    connection.ping()

    def test_the_database_is_the_one_of_the_url(self, redis_server: RedisServer) -> None:
        """
        The client uses the database of the URL, so that programs can share a Redis.
        """
        with client(f"redis://127.0.0.1:{redis_server.port}/3") as third, redis_server.client() as first:
            third.set("certworker:test", "1")

            assert not first.exists("certworker:test")
            third.flushdb()


class TestSentinel:
    @pytest.mark.timeout(240)
    def test_the_client_finds_the_primary_and_follows_it(self, sentinels: Sentinels) -> None:
        """
        The client finds the new primary, although the first Sentinel fails together with the old one.
        """
        follow_a_failover(sentinels.url.replace(f"{SERVICE}/0", f"{SERVICE}/2"), sentinels)

    @pytest.mark.timeout(240)
    def test_a_command_at_a_silent_primary_ends_at_the_new_one(
        self, sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A command whose connection no longer gets replies connects to the new primary, not to the old one.
        """
        monkeypatch.setattr("certworker.redis.client.REPLY_SECONDS", 0.5)
        with client(sentinels.url) as connection:
            connection.set("certworker:test", "1")
            assert 1 == connection.wait(1, 20_000)
            with sentinels.frozen() as promoted:
                assert b"1" == connection.get("certworker:test")
                assert promoted.port == connection.info("server")["tcp_port"]

    def test_the_failure_has_its_cause(self, sentinels: Sentinels) -> None:
        """
        The message has the cause, and neither an object of redis-py nor a password.
        """
        unknown = failure_at(f"redis+sentinel://:pw@{sentinels.hosts}/another?sentinel_password=other")
        refused = failure_at(f"redis+sentinel://:pw@{sentinels.hosts}/{SERVICE}?sentinel_password=wrong-one")
        wrong = failure_at(f"redis+sentinel://:wrong-one@{sentinels.hosts}/{SERVICE}?sentinel_password=other")
        unreachable = failure_at(f"redis+sentinel://:pw@127.0.0.1:{free_port()}/{SERVICE}")

        assert ["redis.unreachable", "redis.auth", "redis.auth", "redis.unreachable"] == [
            failure.code for failure in (unknown, refused, wrong, unreachable)
        ]
        assert f"another (Sentinel {sentinels.hosts})" in unknown.message
        assert "Connection refused" in unreachable.message
        for failure in (unknown, refused, wrong, unreachable):
            assert "<redis" not in str(failure)
            assert "wrong-one" not in str(failure)


class TestSentinelOverTls:
    @pytest.mark.timeout(240)
    def test_the_client_finds_the_primary_and_follows_it(self, secure_sentinels: SecureSentinels) -> None:
        """
        The client uses TLS with Sentinels and Redis, and finds the new primary.
        """
        plain = f"redis+sentinel://:pw@{secure_sentinels.hosts}/{SERVICE}?sentinel_password=other"
        assert "redis.unreachable" == failure_at(plain).code
        assert (
            "redis.unreachable" == failure_at(f"redis://:pw@127.0.0.1:{secure_sentinels.primary.port}").code
        )
        with client(secure_sentinels.url) as connection:
            assert "worker" == connection.acl_whoami()

        follow_a_failover(secure_sentinels.url, secure_sentinels)

    @pytest.mark.timeout(240)
    def test_an_untrusted_sentinel_or_primary_gets_no_password(
        self, secure_sentinels: SecureSentinels, tmp_path: Path
    ) -> None:
        """
        The client sends no password to an untrusted Sentinel or primary, even if the Sentinels are trusted.
        """
        strangers = {"ssl_ca_certs": Tls(tmp_path / "other").root}
        half = {"ssl_ca_certs": secure_sentinels.tls.root}
        for bundle in (strangers, half, {}):
            failure = failure_at(secure_sentinels.url_with(**bundle))

            assert "redis.tls" == failure.code
            assert f"{SERVICE} (Sentinel {secure_sentinels.hosts})" in failure.message
            assert "CERTIFICATE_VERIFY_FAILED" in failure.message
            assert ("know no primary" in failure.message) is (bundle is not half)
            assert "ssl_ca_certs" in failure.remedy
            assert "<redis" not in str(failure)
            assert "p@ss" not in str(failure)

    @pytest.mark.timeout(240)
    def test_another_host_is_untrusted_unless_the_settings_allow_it(self, tmp_path: Path) -> None:
        """
        A certificate without the address that Sentinels name is trusted only with the option.
        """
        sentinels = SecureSentinels(tmp_path, address="192.0.2.1")
        sentinels.start()
        try:
            failure = failure_at(sentinels.url)

            assert "redis.tls" == failure.code
            assert "ssl_check_hostname=false" in failure.remedy
            with client(f"{sentinels.url}&ssl_check_hostname=false") as connection:
                check_redis(connection)
            half = sentinels.url_with(ssl_ca_certs=sentinels.tls.root, ssl_check_hostname="false")
            assert "redis.tls" == failure_at(half).code
        finally:
            sentinels.kill()


def settings_for(port: int, **more: str) -> Settings:
    """
    Return the settings of a worker whose Redis is at *port*.
    """
    return load({"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(port), **more})


class TestSettings:
    def test_the_client_sends_user_and_password(self, tmp_path: Path) -> None:
        """
        The client sends the user and the password of the variables of Appwrite.
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

    def test_the_client_connects_at_its_first_command(self) -> None:
        """
        The creation of a client needs no Redis, because a worker can start before Redis.
        """
        connect(settings_for(free_port()).redis).close()


class TestConnected:
    def test_an_unreachable_redis_is_a_failure(self) -> None:
        """
        An unreachable Redis raises a failure with a remedy.
        """
        with pytest.raises(RedisUnreachable), connected(settings_for(free_port()).redis) as connection:
            connection.ping()

    def test_a_wrong_password_is_a_failure(self, tmp_path: Path) -> None:
        """
        The failure for a wrong password does not contain it.
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
