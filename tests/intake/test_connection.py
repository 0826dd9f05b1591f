"""
The connection that the settings describe.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.errors.redis import RedisRefusesUs, RedisUnreachable
from certworker.intake.connection import connect, connected
from certworker.settings import Settings, load
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer


def settings_for(port: int, **more: str) -> Settings:
    """
    The settings of a worker whose Redis is at *port*.
    """
    return load({"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(port), **more})


class TestConnect:
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

        with connect(settings_for(server.port, **access)) as connection:
            assert "worker" == connection.acl_whoami()
        server.kill()

    def test_it_connects_when_it_is_used(self) -> None:
        """
        A worker that starts before Redis gets its connection all the same.
        """
        connect(settings_for(free_port())).close()


class TestConnected:
    def test_a_redis_that_is_not_there_is_a_sentence(self) -> None:
        """
        A command ends with what to do, not with where in a library it happened.
        """
        with pytest.raises(RedisUnreachable), connected(settings_for(free_port())) as connection:
            connection.ping()

    def test_a_password_that_is_missing_is_a_sentence(self, tmp_path: Path) -> None:
        """
        The variable to set is named, and its value is not.
        """
        server = RedisServer(tmp_path)
        server.start()
        with server.client() as administrator:
            administrator.config_set("requirepass", "secret-of-redis")
        access = {"_APP_REDIS_PASS": "another-secret"}

        with (
            pytest.raises(RedisRefusesUs) as refused,
            connected(settings_for(server.port, **access)) as connection,
        ):
            connection.ping()

        assert "secret" not in str(refused.value)
        server.kill()
