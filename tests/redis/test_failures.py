"""
Tests of the failures for errors of Redis, and of the address in them.
"""

from __future__ import annotations

import pytest
from redis import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError, Sentinel

from certworker.redis.failures import address_of, to_failure
from certworker.redis.keys import WrongType


class TestToFailure:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (RedisConnectionError("Connection refused"), "redis.unreachable"),
            (RedisTimeoutError("Timeout reading from socket"), "redis.unreachable"),
            (MasterNotFoundError("its Sentinels know no primary"), "redis.unreachable"),
            (MasterNotFoundError("…: ConnectionError: [SSL: CERTIFICATE_VERIFY_FAILED]"), "redis.tls"),
            (RedisConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] expired"), "redis.tls"),
            (AuthenticationError("WRONGPASS"), "redis.auth"),
            (MasterNotFoundError("…: AuthenticationError: Authentication required."), "redis.auth"),
            (NoPermissionError("no permissions to run 'get'"), "redis.rights"),
            (ResponseError("ACL failure in script: User x has no permissions to run it"), "redis.rights"),
            (ResponseError("The user executing the script can't run this command"), "redis.rights"),
            (ResponseError("unknown command 'EVAL', with args beginning with:"), "redis.command"),
            (ResponseError("script: Unknown Redis command called from script"), "redis.command"),
            (MovedError("12182 127.0.0.1:7002"), "redis.cluster"),
            (AskError("12182 127.0.0.1:7002"), "redis.cluster"),
            (ClusterDownError("Hash slot not served"), "redis.cluster"),
            (ClusterCrossSlotError("Keys in request don't hash to the same slot"), "redis.cluster"),
            (ResponseError("script tried accessing keys that do not hash to the same slot"), "redis.cluster"),
            (MasterDownError("Link with MASTER is down"), "redis.readonly"),
            (OutOfMemoryError("command not allowed"), "redis.oom"),
            (ResponseError("script: OOM command not allowed when used memory"), "redis.oom"),
            (ReadOnlyError("You can't write against a read only replica."), "redis.readonly"),
            (ResponseError("script: -READONLY You can't write"), "redis.readonly"),
            (ResponseError("MISCONF Redis is configured to save RDB snapshots"), "redis.readonly"),
            (ResponseError("WRONGTYPE Operation against a key"), "redis.fault"),
            (WrongType("utopia-queue.queue.v1", "string", "list"), "redis.wrong_type"),
            (RedisError(), "redis.fault"),
        ],
        ids=str,
    )
    def test_each_error_has_its_code(self, error: RedisError, code: str) -> None:
        """
        Each error of Redis has its code and the address of Redis.
        """
        failure = to_failure(error, "redis:6379")

        assert code == failure.code
        assert "redis:6379" in failure.message

    def test_a_key_of_the_wrong_type_is_named_in_the_remedy(self) -> None:
        """
        The remedy has the command that removes the key, quoted for a shell.
        """
        failure = to_failure(WrongType("utopia-queue.queue.$(x)", "string", "list"), "redis:6379")

        assert failure.remedy.endswith("redis-cli UNLINK 'utopia-queue.queue.$(x)'")


class TestAddressOf:
    def test_the_address_has_no_password(self) -> None:
        """
        The address has the host and the port, or the socket, and no password.
        """
        assert "redis:6380" == address_of(Redis(host="redis", port=6380, password="secret"))
        assert "/run/redis.sock" == address_of(Redis(unix_socket_path="/run/redis.sock"))

    def test_behind_sentinels_the_address_is_theirs(self) -> None:
        """
        The address of a primary has its service and its Sentinels.
        """
        sentinels = Sentinel([("one", 26379), ("two", 26380)])

        address = address_of(sentinels.master_for("main", password="secret"))
        assert "main (Sentinel one:26379,two:26380)" == address
