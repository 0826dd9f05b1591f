"""
Tests of the shared state of the DNS providers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from certworker.dns01.provider_state import (
    EXTRA_WAITS,
    LONGEST_EXTRA_WAIT_MS,
    LONGEST_PAUSE,
    PAUSES,
    ProviderState,
)

NOW = datetime.now(UTC).replace(microsecond=0)
LABEL = "lexicon:cloudflare"


@pytest.fixture
def state(connection: Redis) -> ProviderState:
    """
    Return the state at NOW.
    """
    return ProviderState(connection, clock=lambda: NOW)


class TestPauses:
    def test_a_pause_applies_to_all_workers_until_its_end(
        self, state: ProviderState, connection: Redis
    ) -> None:
        """
        A pause applies to all workers until its end, because the provider counts the requests of all
        workers.
        """
        until = NOW + timedelta(minutes=5)
        state.pause(LABEL, until)

        assert until == ProviderState(connection, clock=lambda: NOW).paused_until(LABEL)
        assert None is ProviderState(connection, clock=lambda: until).paused_until(LABEL)
        assert None is state.paused_until("rfc2136")

    def test_a_pause_without_an_end_is_short(self, state: ProviderState) -> None:
        """
        A pause without an end lasts a minute, because some APIs do not name the end.
        """
        assert NOW + timedelta(minutes=1) == state.pause(LABEL, None)

    def test_no_pause_is_longer_than_a_day(self, state: ProviderState, connection: Redis) -> None:
        """
        A pause of more than a day is cut, or ignored if another program wrote it.
        """
        assert NOW + LONGEST_PAUSE == state.pause(LABEL, NOW + timedelta(days=400))
        connection.set(PAUSES + LABEL, "2199-01-01T00:00:00Z")

        assert None is state.paused_until(LABEL)

    @pytest.mark.parametrize("value", ["", "tomorrow", "2026", "\udcff".encode("utf-8", "surrogateescape")])
    def test_an_invalid_pause_is_ignored(self, state: ProviderState, connection: Redis, value: str) -> None:
        """
        An invalid pause in Redis is ignored.
        """
        connection.set(PAUSES + LABEL, value)

        assert None is state.paused_until(LABEL)


class TestExtraWait:
    def test_failed_validations_lengthen_the_extra_wait(self, state: ProviderState) -> None:
        """
        Each failed validation doubles the extra wait, up to a minute.
        """
        assert 0 == state.extra_wait_seconds(LABEL)
        times = []
        for _ in range(8):
            state.validation_failed(LABEL)
            times.append(state.extra_wait_seconds(LABEL))

        assert [4, 8, 16, 32, 60, 60, 60, 60] == times

    def test_validations_shorten_the_extra_wait(self, state: ProviderState, connection: Redis) -> None:
        """
        Each validation shortens the extra wait, until it is zero.
        """
        state.validation_failed(LABEL)
        state.validated(LABEL)
        assert 3.6 == state.extra_wait_seconds(LABEL)

        for _ in range(25):
            state.validated(LABEL)

        assert 0 == state.extra_wait_seconds(LABEL)
        assert not connection.exists(EXTRA_WAITS + LABEL)

    @pytest.mark.parametrize("value", ["-5", "inf", "999999", "a lot", "1e9"])
    def test_an_invalid_extra_wait_is_bounded(
        self, state: ProviderState, connection: Redis, value: str
    ) -> None:
        """
        A planted extra wait delays orders by a minute at most.
        """
        connection.set(EXTRA_WAITS + LABEL, value)

        assert state.extra_wait_seconds(LABEL) <= LONGEST_EXTRA_WAIT_MS / 1000
        state.validated(LABEL)
        state.validation_failed(LABEL)
        assert state.extra_wait_seconds(LABEL) <= LONGEST_EXTRA_WAIT_MS / 1000

    def test_an_unreachable_redis_changes_no_result(self, state: ProviderState, connection: Redis) -> None:
        """
        An unreachable Redis raises no error, because the order already has its result.
        """
        connection.connection_pool.connection_kwargs["port"] = 1
        connection.connection_pool.disconnect()
        try:
            state.validation_failed(LABEL)
            state.validated(LABEL)
        finally:
            connection.connection_pool.disconnect()
