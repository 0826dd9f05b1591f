"""
What a container takes with it, by the kernel's list of mounts; tests/containers/ sees the warning itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.preflight.persistence import (
    CONTAINER_MARKERS,
    MOUNTS,
    non_persistent_directories,
    reason_not_persistent,
)
from certworker.settings import load

#: From a container with a named volume, one without a name, a bind mount and a tmpfs.
IN_A_CONTAINER = """\
564 505 0:53 / / ro,relatime master:196 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/B
565 564 0:56 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
593 564 0:60 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=1777
594 564 254:0 /var/lib/docker/volumes/shop_appwrite-certificates/_data /storage/certificates rw \
- ext4 /dev/vda rw
595 564 254:0 /var/lib/docker/volumes/{nameless}/_data /storage/state rw,relatime master:1 - ext4 /dev/vda rw
596 564 254:0 /srv/traefik /with\\040a\\040blank rw,relatime master:1 - ext4 /dev/vda rw
597 594 0:61 / /storage/certificates/covered rw,relatime - ext4 /dev/vdb rw
598 594 0:62 / /storage/certificates/covered rw,relatime - tmpfs tmpfs rw
""".format(nameless="0a1b" * 16)


class TestReasonToLose:
    @pytest.mark.parametrize(
        "directory",
        ["/storage/certificates", "/storage/certificates/.certworker/deep", "/with a blank/config"],
    )
    def test_named_volumes_and_directories_of_the_host_last(self, directory: str) -> None:
        """
        False alarms are defects, too.
        """
        assert reason_not_persistent(Path(directory), IN_A_CONTAINER) is None

    @pytest.mark.parametrize(
        ("directory", "reason"),
        [
            ("/storage/config", "it is not on a volume"),
            ("/storage/certificates-of-old", "it is not on a volume"),
            ("/storage/state", "its volume has no name"),
            ("/storage/state/account", "its volume has no name"),
            ("/tmp/certificates", "it lies in memory"),  # noqa: S108
            ("/storage/certificates/covered", "it lies in memory"),
        ],
    )
    def test_what_goes_with_the_container_has_its_reason(self, directory: str, reason: str) -> None:
        """
        A forgotten volume is noticed on the first day, not when the CA's limit is reached.
        """
        assert reason == reason_not_persistent(Path(directory), IN_A_CONTAINER)

    def test_the_list_of_this_machine_is_understood(self) -> None:
        """
        Whatever stands in it.
        """
        assert reason_not_persistent(Path("/proc/self"), MOUNTS.read_text()) is None


class TestRisks:
    def test_the_image_is_told_of_each_directory_that_is_forgotten(self) -> None:
        """
        Only a container loses anything; on a machine a directory is as good as any.
        """
        settings = load({"_APP_ENV": "production"})
        told = {
            str(risk.remedy).partition(" - ")[2].partition(" and ")[0]
            for risk in non_persistent_directories(settings)
        }
        forgotten = {
            "appwrite-certificates:/storage/certificates",
            "appwrite-config:/storage/config",
        }

        assert told == (forgotten if any(mark.exists() for mark in CONTAINER_MARKERS) else set())
