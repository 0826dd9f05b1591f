"""
Tests of the checks of this machine. tests/containers tests the warning in a container.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable
from certworker.errors.config import EmailInvalid, EmailMissing, NotProduction
from certworker.errors.fs import VolumeReadOnly
from certworker.errors.systemd import CONTAINER_MARKERS
from certworker.preflight.machine import (
    MOUNTS,
    check_clock,
    check_eligibility,
    check_volumes,
    nearly_full,
    non_persistent_directories,
    reason_not_persistent,
)
from certworker.preflight.result import CheckResult, Outcome
from certworker.settings import load
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


def checked(offset: timedelta | None) -> CheckResult:
    """
    Return the result if the clock of the CA is ahead by *offset*.
    """
    return check_clock(lambda: offset, lambda: offset, lambda: NOW)


class TestClock:
    @pytest.mark.parametrize("seconds", [None, 0, 59, -59])
    def test_a_correct_clock_passes(self, seconds: int | None) -> None:
        """
        A difference of less than a minute passes. The CA sends whole seconds, and the network adds
        latency.
        """
        assert CheckResult.passed("") == checked(None if seconds is None else timedelta(seconds=seconds))

    @pytest.mark.parametrize("minutes", [2, -59])
    def test_a_few_minutes_are_a_warning(self, minutes: int) -> None:
        """
        A difference of minutes is a warning.
        """
        result = checked(timedelta(minutes=minutes))

        assert (Outcome.PASS, ["clock.skew"]) == (result.outcome, [each.code for each in result.warnings])

    @pytest.mark.parametrize(
        ("hours", "text"),
        [(3, "3 hours behind the clock of the CA"), (-72, "3 days ahead of the clock of the CA")],
    )
    def test_more_than_an_hour_is_a_failure(self, hours: int, text: str) -> None:
        """
        A difference of more than an hour is a failure, because certificates would not be valid yet.
        """
        result = checked(timedelta(hours=hours))

        assert Outcome.FAIL is result.outcome
        assert result.failure is not None
        assert text in result.failure.message
        assert f"{NOW + timedelta(hours=hours):%Y-%m-%d %H:%M:%S} UTC" in result.failure.message

    def test_a_corrected_clock_passes(self) -> None:
        """
        After a correction of the clock, the offset at the last response no longer counts.
        """
        corrected = check_clock(lambda: timedelta(hours=-24), lambda: timedelta(seconds=1), lambda: NOW)

        assert CheckResult.passed("") == corrected

    def test_an_unreachable_ca_passes(self) -> None:
        """
        The check passes if the CA is unreachable. The order reports it, or uses another CA.
        """

        def offset() -> timedelta:
            raise CaUnreachable(host="ca.example.org", reason="timeout")

        assert CheckResult.passed("") == check_clock(offset, offset, lambda: NOW)


class TestVolumes:
    def test_writable_directories_pass(self, tmp_path: Path) -> None:
        """
        A writable directory passes.
        """
        assert CheckResult.passed("") == check_volumes(
            [CertificateStore(tmp_path).check_writable], [tmp_path]
        )

    def test_a_directory_that_is_not_writable_is_a_failure(self, forbidden: Path) -> None:
        """
        A directory that is not writable is reported before the order.
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
    def test_little_space_is_a_warning(
        self, blocks: int, blocks_free: int, files: int, files_free: int, left: str | None
    ) -> None:
        """
        Little space is a warning. File systems without a fixed number of blocks or files report 0.
        """
        free = (blocks_free, blocks_free, files, files_free, files_free)
        found = nearly_full(Path("/storage"), os.statvfs_result((4096, 4096, blocks, *free, 0, 255)))

        assert (left is None) is (found is None)
        assert (left or "") in (found.message if found else "")


PRODUCTION = {"_APP_ENV": "production"}
LETSENCRYPT = {"CERTWORKER_AUTHORITY": "letsencrypt"}


class TestCheckEligibility:
    @pytest.mark.parametrize(
        ("environ", "failure"),
        [
            (LETSENCRYPT, NotProduction),
            (PRODUCTION, EmailMissing),
            (PRODUCTION | {"_APP_EMAIL_CERTIFICATES": "admin@example.com"}, EmailInvalid),
        ],
    )
    def test_a_missing_setting_has_its_code(
        self, environ: dict[str, str], failure: type[CertworkerError]
    ) -> None:
        """
        The job fails with the code of the missing or invalid setting.
        """
        with pytest.raises(failure):
            check_eligibility(settings := load(environ), settings.authority)

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"CERTWORKER_AUTHORITY": "letsencrypt-staging"},
            PRODUCTION | {"_APP_EMAIL_CERTIFICATES": "ops@shop.dev"},
        ],
    )
    def test_development_and_staging_need_no_settings(self, environ: dict[str, str]) -> None:
        """
        The development CA and staging need no settings, and production needs an e-mail address.
        """
        check_eligibility(settings := load(environ), settings.authority)


#: The mounts of a container with a named volume, an anonymous volume, a bind mount and a tmpfs.
IN_A_CONTAINER = """\
564 505 0:53 / / ro,relatime master:196 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/B
565 564 0:56 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
593 564 0:60 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=1777
594 564 254:0 /var/lib/docker/volumes/shop_appwrite-certificates/_data /storage/certificates rw \
- ext4 /dev/vda rw
595 564 254:0 /var/lib/docker/volumes/{anonymous}/_data /storage/state rw,relatime master:1 - ext4 /dev/vda rw
596 564 254:0 /srv/traefik /with\\040a\\040blank rw,relatime master:1 - ext4 /dev/vda rw
597 594 0:61 / /storage/certificates/covered rw,relatime - ext4 /dev/vdb rw
598 594 0:62 / /storage/certificates/covered rw,relatime - tmpfs tmpfs rw
""".format(anonymous="0a1b" * 16)


class TestReasonNotPersistent:
    @pytest.mark.parametrize(
        "directory",
        ["/storage/certificates", "/storage/certificates/.certworker/deep", "/with a blank/config"],
    )
    def test_named_volumes_and_host_directories_are_persistent(self, directory: str) -> None:
        """
        Named volumes and host directories cause no warning.
        """
        assert reason_not_persistent(Path(directory), IN_A_CONTAINER) is None

    @pytest.mark.parametrize(
        ("directory", "reason"),
        [
            ("/storage/config", "it is not on a volume"),
            ("/storage/certificates-of-old", "it is not on a volume"),
            ("/storage/state", "its volume has no name"),
            ("/storage/state/account", "its volume has no name"),
            ("/tmp/certificates", "it is in memory"),
            ("/storage/certificates/covered", "it is in memory"),
        ],
    )
    def test_a_directory_that_is_lost_with_the_container_has_its_reason(
        self, directory: str, reason: str
    ) -> None:
        """
        A directory that is lost with the container has its reason.
        """
        assert reason == reason_not_persistent(Path(directory), IN_A_CONTAINER)

    def test_the_mounts_of_this_machine_are_parsed(self) -> None:
        """
        The mounts of this machine can be parsed.
        """
        assert reason_not_persistent(Path("/proc/self"), MOUNTS.read_text()) is None


class TestNonPersistentDirectories:
    def test_each_directory_without_a_volume_is_reported(self) -> None:
        """
        Each directory without a volume is reported in a container, and none is reported elsewhere.
        """
        settings = load({"_APP_ENV": "production"})
        found = {
            str(risk.remedy).partition(" - ")[2].partition(" in ")[0]
            for risk in non_persistent_directories(settings)
        }
        forgotten = {
            "appwrite-certificates:/storage/certificates",
            "appwrite-config:/storage/config",
        }

        assert found == (forgotten if any(mark.exists() for mark in CONTAINER_MARKERS) else set())
