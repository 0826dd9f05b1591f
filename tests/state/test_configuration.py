"""
A start with other settings is recognized.
"""

from __future__ import annotations

from redis import Redis

from certworker.state.configuration import has_changed


class TestHasChanged:
    def test_only_another_configuration_is_a_change(self, connection: Redis) -> None:
        """
        The first start and a plain restart change nothing.
        """
        starts = ["a", "a", "b", "b", "a"]

        assert [has_changed(connection, each) for each in starts] == [False, False, True, False, True]

    def test_an_emptied_redis_reports_no_change(self, connection: Redis) -> None:
        """
        A crash of Redis must not make every failed name try again at once.
        """
        has_changed(connection, "a")
        connection.flushall()

        assert not has_changed(connection, "b")
