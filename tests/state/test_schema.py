"""
Tests of the values in Redis that workers compare at their start.
"""

from __future__ import annotations

import pytest
from redis import Redis

from certworker.errors.worker import SchemaTooNew
from certworker.state.schema import KEY, LARGEST_LEAD, SCHEMA, check_schema, have_settings_changed


class TestCheckSchema:
    @pytest.mark.parametrize("found", [None, "0", str(SCHEMA)])
    def test_the_same_or_an_older_version_is_accepted(
        self, connection: Redis, found: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The same, an older or no version is replaced with the current one, without a log line.
        """
        if found:
            connection.set(KEY, found)
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)
        assert [] == caplog.records

    @pytest.mark.parametrize(
        "planted",
        [
            *("nonsense", "", "-5", "1.5", "1e1", "0x2", "inf", "nan", " 2", "2\n", "9" * 5_000),
            *(str(SCHEMA + LARGEST_LEAD + 1), "999", b"\xff\x00"),
        ],
        ids=repr,
    )
    def test_an_invalid_value_is_replaced_and_logged_once(
        self, connection: Redis, planted: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An invalid version is replaced and logged once.
        """
        connection.set(KEY, planted)
        check_schema(connection)
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)
        (line,) = caplog.records
        assert KEY in line.message
        assert len(line.message) < 250

    @pytest.mark.parametrize("command", ["RPUSH", "SADD", "HSET", "ZADD"])
    def test_a_key_of_another_type_is_replaced_and_logged_once(
        self, connection: Redis, command: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A key of another type is replaced and logged once.
        """
        connection.execute_command(command, KEY, "1", *(["2"] if command in ("HSET", "ZADD") else []))
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)
        assert 1 == len(caplog.records)

    @pytest.mark.parametrize("ahead", [1, LARGEST_LEAD])
    def test_a_newer_version_ends_the_worker(self, connection: Redis, ahead: int) -> None:
        """
        A newer version ends the worker, and is unchanged.
        """
        connection.set(KEY, SCHEMA + ahead)
        with pytest.raises(SchemaTooNew):
            check_schema(connection)

        assert str(SCHEMA + ahead).encode() == connection.get(KEY)

    def test_the_failure_has_the_remedy(self, connection: Redis) -> None:
        """
        The remedy of the failure is the command that starts the newer version.
        """
        connection.set(KEY, SCHEMA + 1)
        with pytest.raises(SchemaTooNew) as caught:
            check_schema(connection)

        assert "state.schema_too_new" == caught.value.code
        assert caught.value.message.startswith(f"A newer certworker wrote the data in Redis ({KEY})")
        assert caught.value.remedy.endswith("docker compose up -d")
        assert str(SCHEMA + 1).encode() == connection.get(KEY)


class TestHaveSettingsChanged:
    def test_only_other_settings_are_a_change(self, connection: Redis) -> None:
        """
        Only a start with other settings than the former one is a change.
        """
        starts = ["a", "a", "b", "b", "a"]

        changes = [have_settings_changed(connection, fingerprint) for fingerprint in starts]
        assert [False, False, True, False, True] == changes

    def test_a_start_after_a_loss_of_redis_is_no_change(self, connection: Redis) -> None:
        """
        A start after a loss of Redis is not a change, so that failed names are not all retried at once.
        """
        have_settings_changed(connection, "a")
        connection.flushall()

        assert not have_settings_changed(connection, "b")
