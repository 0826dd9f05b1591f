"""
Tests of the faults of loops: each type is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeFull
from certworker.errors.redis import RedisUnreachable
from certworker.supervision import Faults, optional
from certworker.supervision.faults import (
    LONGEST_PAUSE_SECONDS,
    MAX_TYPES,
    REPEAT_SECONDS,
    SHORTEST_REPEAT_SECONDS,
)
from tests.supervision.clock import Clock


def raised_by(step: Callable[[], object]) -> BaseException:
    """
    Return the exception that *step* raises.
    """
    try:
        step()
    except Exception as error:
        return error
    raise AssertionError("nothing")


def failing(text: str = "odd") -> BaseException:
    """
    Return an exception that was raised, always in the same line.
    """
    return raised_by(lambda: int(text))


class TestFaults:
    @pytest.fixture
    def clock(self) -> Clock:
        """
        Return a clock.
        """
        return Clock()

    @pytest.fixture
    def faults(self, clock: Clock) -> Faults:
        """
        Return the faults of a loop that explains the errors of Redis.
        """

        def explain(error: BaseException) -> CertworkerError | None:
            return (
                RedisUnreachable(address="redis:6379", reason=error) if isinstance(error, OSError) else None
            )

        return Faults("maintenance", explain, clock=clock)

    def test_delays_grow_to_a_minute_and_restart_after_a_success(self, faults: Faults) -> None:
        """
        The delay after each failure grows to a minute, and begins again after a success.
        """
        pauses = [faults.failed(failing()) for _ in range(12)]

        assert [0.25, 0.5, 1, 2] == pauses[:4]
        assert [LONGEST_PAUSE_SECONDS] * 3 == pauses[-3:]
        faults.succeeded()
        assert 0.25 == faults.failed(failing())

    def test_a_fault_is_logged_once_until_it_ends(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A fault is logged once per type and line of code, and its end is logged, too.
        """
        caplog.set_level(logging.INFO)
        for number in range(5):
            faults.failed(failing(f"odd {number}"))
        faults.failed(raised_by(lambda: float("odd")))
        clock.now += SHORTEST_REPEAT_SECONDS
        faults.succeeded()
        faults.succeeded()
        faults.failed(failing())

        assert ["ERROR", "ERROR", "INFO", "ERROR"] == [line.levelname for line in caplog.records]
        assert "maintenance recovered after 60 s" in caplog.text

    def test_a_lasting_fault_is_logged_every_hour(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A fault that does not end is logged every hour.
        """
        for _ in range(6):
            faults.failed(failing())
            clock.now += REPEAT_SECONDS / 2

        assert 3 == len(caplog.records)

    def test_a_fault_that_returns_after_a_minute_is_logged(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The fault ends within a minute after its log line, and returns later.
        """
        faults.failed(failing())
        clock.now += SHORTEST_REPEAT_SECONDS / 2
        faults.succeeded()
        faults.failed(failing())
        assert 1 == sum(line.levelname == "ERROR" for line in caplog.records)
        clock.now += SHORTEST_REPEAT_SECONDS
        faults.failed(failing())

        assert 2 == sum(line.levelname == "ERROR" for line in caplog.records)

    def test_a_recurring_fault_is_logged_once_a_minute(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A fault that ends and returns each second is logged once a minute.
        """
        for _ in range(100):
            faults.failed(failing())
            clock.now += 1
            faults.succeeded()

        assert 2 == len(caplog.records)

    def test_an_expected_failure_has_no_traceback(
        self, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An expected failure is logged with its code and its remedy, without a traceback.
        """
        failure = VolumeFull(path="/certificates", reason="No space left on device")
        faults.failed(failure)
        faults.failed(failure)

        (line,) = caplog.records
        assert f"{failure} · certworker retries" == line.message
        assert ("fs.full", None) == (line.__dict__["code"], line.exc_info)

    def test_an_unusable_redis_is_reported_by_one_loop_alone(
        self, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An unusable Redis is not logged, because one loop of each process reports it.
        """
        faults.failed(ConnectionError("refused"))
        faults.succeeded()

        assert [] == caplog.records

    def test_the_number_of_remembered_types_is_limited(self, faults: Faults) -> None:
        """
        The number of remembered types is limited, so that the memory of a worker does not grow.
        """
        for number in range(3 * MAX_TYPES):
            faults.failed(type(f"Error{number}", (Exception,), {})())

        assert len(faults._logged) <= MAX_TYPES


def test_an_exception_without_a_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """
    An exception that was never raised, and so has no traceback, is logged.
    """
    silent: Callable[[], BaseException] = ValueError
    Faults("maintenance").failed(silent())

    assert "unexpected error in maintenance" in caplog.text


class TestOptional:
    def test_the_result_is_returned(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The result of the function is returned, and nothing is logged.
        """
        assert 5 == optional("the sum", lambda: 5, 0)
        assert "" == caplog.text

    def test_an_expected_failure_is_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An expected failure is logged with its code, without a traceback, and the default is returned.
        """

        def fail() -> int:
            raise VolumeFault(path="/storage", reason="I/O error")

        assert 0 == optional("the sum", fail, 0)
        (line,) = caplog.records
        assert line.getMessage().startswith("the sum failed; certworker continues without it: [fs.io]")
        assert not line.exc_info

    def test_an_error_of_a_library_can_be_explained(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An error of a library is logged as the failure that explains it.
        """
        failure = VolumeFault(path="/storage", reason="I/O error")

        assert 0 == optional("the sum", lambda: 1 // 0, 0, lambda _: failure)
        assert "[fs.io]" in caplog.text

    def test_an_unexpected_error_has_its_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An unexpected error is logged with its traceback, and the default is returned.
        """
        assert 0 == optional("the sum", lambda: 1 // 0, 0)
        (line,) = caplog.records
        assert line.exc_info
        assert "unexpected error in the sum" in line.getMessage()
