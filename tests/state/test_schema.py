"""
The version of the ledger.
"""

from __future__ import annotations

import pytest
from redis import Redis

from certworker.errors.worker import SchemaTooNew
from certworker.state.schema import KEY, MOST_AHEAD, SCHEMA, check_schema


class TestCheckSchema:
    @pytest.mark.parametrize("found", [None, "0", str(SCHEMA)])
    def test_a_ledger_of_ours_or_an_older_one_is_fine(
        self, connection: Redis, found: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An evicted version is written again, without a line.
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
            *(str(SCHEMA + MOST_AHEAD + 1), "999", b"\xff\x00"),
        ],
        ids=repr,
    )
    def test_a_value_that_makes_no_sense_is_replaced_with_one_line(
        self, connection: Redis, planted: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Whoever may write to Redis cannot end all workers with rubbish.
        """
        connection.set(KEY, planted)
        check_schema(connection)
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)
        (line,) = caplog.records
        assert KEY in line.message
        assert len(line.message) < 250

    @pytest.mark.parametrize("command", ["RPUSH", "SADD", "HSET", "ZADD"])
    def test_a_key_of_another_type_is_replaced_with_one_line(
        self, connection: Redis, command: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It kept a worker from its start, for ever and without a line.
        """
        connection.execute_command(  # type: ignore[no-untyped-call]
            command, KEY, "1", *(["2"] if command in ("HSET", "ZADD") else [])
        )
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)
        assert 1 == len(caplog.records)

    @pytest.mark.parametrize("ahead", [1, MOST_AHEAD])
    def test_a_plausible_version_is_obeyed(self, connection: Redis, ahead: int) -> None:
        """
        Every worker that knows it not ends, and leaves the value alone.
        """
        connection.set(KEY, SCHEMA + ahead)
        with pytest.raises(SchemaTooNew):
            check_schema(connection)

        assert str(SCHEMA + ahead).encode() == connection.get(KEY)

    def test_a_newer_one_is_refused_with_the_remedy(self, connection: Redis) -> None:
        """
        What an older worker wrote there might be wrong, and nobody would notice.
        """
        connection.set(KEY, SCHEMA + 1)
        with pytest.raises(SchemaTooNew) as caught:
            check_schema(connection)

        assert "state.schema_too_new" == caught.value.code
        assert caught.value.remedy.endswith("docker compose up -d")
        assert str(SCHEMA + 1).encode() == connection.get(KEY)
