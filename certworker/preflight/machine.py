"""
The checks of this machine: settings, clock and volumes, and whether certworker's directories are persistent.

Let's Encrypt issues at most five certificates for the same names in a week. If each `docker compose down`
deletes the certificates, the CA refuses the sixth order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import gettempdir

from certworker.errors import CertworkerError
from certworker.errors.config import EmailInvalid, EmailMissing, NotProduction
from certworker.errors.fs import ClockDrift, ClockSkew, NotPersistent, VolumeNearlyFull
from certworker.errors.systemd import CONTAINER_MARKERS
from certworker.preflight.result import CheckResult
from certworker.settings import CaChoice, Settings, contact_problem

#: CAs backdate certificates by an hour, for clients whose clocks are slow.
MAX_CLOCK_OFFSET = timedelta(hours=1)
CLOCK_TOLERANCE = timedelta(seconds=60)

#: The certificate store needs about 20 kB in five files for each issued certificate.
MIN_FREE_BYTES = 100 * 1024 * 1024
MIN_FREE_INODES = 1_000

#: The mounts of this process; proc(5) describes the format.
MOUNTS = Path("/proc/self/mountinfo")

#: The path of a volume without a name. The engine creates one for each VOLUME of the image that the compose
#: file does not mention. After `docker compose down`, no container uses such a volume again.
ANONYMOUS_VOLUME = re.compile(r"/volumes/[0-9a-f]{64}/_data(/|$)")

IN_MEMORY = ("tmpfs", "ramfs")

#: The mount for paths that no other mount contains.
ROOT = ("/", Path("/"), "")

ESCAPED_BLANK = re.compile(r"\\([0-7]{3})")


def check_eligibility(settings: Settings, choice: CaChoice) -> None:
    """
    Check that *settings* allow an order from the CA *choice*.

    This function does not check names: :mod:`certworker.domains` rejects names without a public suffix.

    Raises:
        NotProduction: The CA is public, and `_APP_ENV` is not production.
        EmailMissing: The CA is public, and no contact is set.
        EmailInvalid: The CA would refuse the contact.
    """
    if choice.kind != "public":
        return
    if not settings.production:
        raise NotProduction(authority=choice.title)
    if settings.email is None:
        raise EmailMissing
    if reason := contact_problem(settings.email):
        raise EmailInvalid(reason=reason)


def check_clock(
    offset: Callable[[], timedelta | None],
    measure: Callable[[], timedelta | None],
    clock: Callable[[], datetime],
) -> CheckResult:
    """
    Compare the clock of this machine with that of the CA.

    Args:
        offset: Returns how far the CA's clock was ahead at its last response; None if the CA sends no time.
        measure: Returns how far it is ahead now.
        clock: The clock of this machine.
    """
    try:
        ahead = offset()
        if ahead is not None and abs(ahead) > MAX_CLOCK_OFFSET:
            # The clock may be correct since the last response.
            ahead = measure()
    except CertworkerError:
        # The order itself reports an unreachable CA, and may use another CA.
        return CheckResult.passed("")
    if ahead is None or abs(ahead) <= CLOCK_TOLERANCE:
        return CheckResult.passed("")
    failure_type = ClockSkew if abs(ahead) > MAX_CLOCK_OFFSET else ClockDrift
    failure = failure_type(
        span=_span(abs(ahead)),
        direction="behind" if ahead > timedelta() else "ahead of",
        theirs=f"{clock() + ahead:%Y-%m-%d %H:%M:%S} UTC",
    )
    return CheckResult.fail(failure) if failure_type is ClockSkew else CheckResult.passed("", failure)


def check_volumes(probes: Sequence[Callable[[], None]], directories: Sequence[Path]) -> CheckResult:
    """
    Check that certworker can store a certificate.

    Args:
        probes: Raise a CertworkerError if they cannot write to their directories.
        directories: The directories that need free space.

    Raises:
        VolumeReadOnly, VolumeFull, VolumeFault, VolumeLocked: A directory is not writable.
    """
    for probe in probes:
        probe()
    return CheckResult.passed(
        "", *filter(None, (nearly_full(each, os.statvfs(each)) for each in directories))
    )


def nearly_full(directory: Path, room: os.statvfs_result) -> VolumeNearlyFull | None:
    """
    Return a failure if *directory* is nearly full.

    Return None if *room* shows enough free space, or if the file system does not report its size.
    """
    left = room.f_bavail * room.f_frsize
    if room.f_blocks and left < MIN_FREE_BYTES:
        return VolumeNearlyFull(path=directory, left=f"{left // 1024 // 1024} MB")
    if room.f_files and room.f_favail < MIN_FREE_INODES:
        return VolumeNearlyFull(path=directory, left=f"{room.f_favail} files (inodes)")
    return None


def non_persistent_directories(settings: Settings) -> list[NotPersistent]:
    """
    Return one failure for each directory of *settings* that this container does not store persistently.

    The list is empty outside a container and with the development CA. Temporary directories do not count.
    """
    embedded = settings.authority.kind == "development"
    if embedded or not any(mark.exists() for mark in CONTAINER_MARKERS):
        return []
    volumes = {
        settings.certificates_dir: "appwrite-certificates",
        settings.config_dir: "appwrite-config",
    }
    if not settings.state_dir.is_relative_to(settings.certificates_dir):
        volumes[settings.state_dir] = "certworker-state"
    mounts = MOUNTS.read_text()
    return [
        NotPersistent(path=directory, reason=reason, volume=volume)
        for directory, volume in volumes.items()
        if not directory.is_relative_to(gettempdir())
        if (reason := reason_not_persistent(directory, mounts))
    ]


def reason_not_persistent(directory: Path, mounts: str) -> str | None:
    """
    Return the reason that *directory* is not persistent, or None if it is persistent.

    Args:
        directory: An absolute path, which need not exist.
        mounts: The content of :data:`MOUNTS`.
    """
    around = (mount for mount in map(_mount, mounts.splitlines()) if directory.is_relative_to(mount[1]))
    # The innermost mount applies. Of several mounts at one path, the last hides the others.
    *_, (source, point, file_system) = sorted((ROOT, *around), key=lambda mount: len(mount[1].parts))
    if file_system in IN_MEMORY:
        return "it is in memory"
    if point == Path("/"):
        return "it is not on a volume"
    if ANONYMOUS_VOLUME.search(source):
        return "its volume has no name"
    return None


def _mount(line: str) -> tuple[str, Path, str]:
    # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE OPTIONS, with spaces as \040.
    fields, _, rest = line.partition(" - ")
    _, _, _, source, point, *_ = fields.split(" ")
    return source, Path(ESCAPED_BLANK.sub(lambda code: chr(int(code[1], 8)), point)), rest.split(" ")[0]


def _span(span: timedelta) -> str:
    for unit, length in (
        ("days", timedelta(days=1)),
        ("hours", timedelta(hours=1)),
        ("minutes", timedelta(minutes=1)),
    ):
        if span >= 2 * length:
            return f"{span // length} {unit}"
    return f"{span.total_seconds():.0f} seconds"
