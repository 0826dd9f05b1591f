"""
The machine, before anything is ordered.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.errors.ca import CaUnreachable
from certworker.errors.fs import VolumeReadOnly
from certworker.preflight.machine import check_clock, check_volumes, nearly_full
from certworker.preflight.result import CheckResult, Outcome
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


def checked(offset: timedelta | None) -> CheckResult:
    """
    The verdict where the clock of the CA is ahead by *offset*.
    """
    return check_clock(lambda: offset, lambda: NOW)


class TestClock:
    @pytest.mark.parametrize("seconds", [None, 0, 59, -59])
    def test_a_clock_that_is_right_is_no_news(self, seconds: int | None) -> None:
        """
        The CA tells whole seconds, and the way takes some.
        """
        assert CheckResult.passed("") == checked(None if seconds is None else timedelta(seconds=seconds))

    @pytest.mark.parametrize("minutes", [2, -59])
    def test_a_few_minutes_are_told(self, minutes: int) -> None:
        """
        They grow.
        """
        verdict = checked(timedelta(minutes=minutes))

        assert (Outcome.PASS, ["clock.skew"]) == (verdict.outcome, [each.code for each in verdict.warnings])

    @pytest.mark.parametrize(("hours", "said"), [(3, "3 hours behind that"), (-72, "3 days ahead of that")])
    def test_more_than_an_hour_stops_it(self, hours: int, said: str) -> None:
        """
        Certificates would be "not yet valid", and renewals come at any time but the right one.
        """
        verdict = checked(timedelta(hours=hours))

        assert Outcome.FAIL is verdict.outcome
        assert verdict.failure is not None
        assert said in verdict.failure.message
        assert f"{NOW + timedelta(hours=hours):%Y-%m-%d %H:%M:%S} UTC" in verdict.failure.message

    def test_a_ca_that_does_not_answer_is_told_by_who_orders(self) -> None:
        """
        There may be another CA, which is asked then.
        """

        def offset() -> timedelta:
            raise CaUnreachable(host="ca.example.org", reason="time-out")

        assert CheckResult.passed("") == check_clock(offset, lambda: NOW)


class TestVolumes:
    def test_those_that_can_be_written_are_no_news(self, tmp_path: Path) -> None:
        """
        A file is made in each, and removed.
        """
        assert CheckResult.passed("") == check_volumes(
            [CertificateStore(tmp_path).check_writable], [tmp_path]
        )

    def test_one_that_cannot_be_written_stops_it(self, forbidden: Path) -> None:
        """
        A certificate that cannot be kept is one of five a week.
        """
        with pytest.raises(VolumeReadOnly):
            check_volumes([TraefikConfig(forbidden).check_writable], [forbidden])

    @pytest.mark.parametrize(
        ("blocks", "blocks_free", "files", "files_free", "left"),
        [
            (1 << 20, 1 << 19, 1 << 20, 1 << 19, None),
            (1 << 20, 25_000, 1 << 20, 1 << 19, "97 MB"),
            (1 << 20, 1 << 19, 1 << 20, 12, "12 files"),
            (1 << 20, 1 << 19, 0, 0, None),
            (0, 0, 0, 0, None),
        ],
    )
    def test_a_small_disk_is_told(
        self, blocks: int, blocks_free: int, files: int, files_free: int, left: str | None
    ) -> None:
        """
        Long before it is full. Some file systems have no fixed number of blocks or files, and say 0.
        """
        free = (blocks_free, blocks_free, files, files_free, files_free)
        told = nearly_full(Path("/storage"), os.statvfs_result((4096, 4096, blocks, *free, 0, 255)))

        assert (left is None) is (told is None)
        assert (left or "") in (told.message if told else "")
