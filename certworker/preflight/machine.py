"""
What this machine is asked before an order: the time, the volumes, the targets that were set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.errors.fs import ClockDrift, ClockSkew, VolumeNearlyFull
from certworker.preflight.result import CheckResult

#: A CA dates certificates back by an hour, for clients whose clock is slow.
WRONG = timedelta(hours=1)
INACCURATE = timedelta(seconds=60)

#: A generation of a certificate has some 20 kB in five files.
MIN_FREE_BYTES = 100 * 1024 * 1024
MIN_FREE_INODES = 1_000


def check_clock(offset: Callable[[], timedelta | None], clock: Callable[[], datetime]) -> CheckResult:
    """
    Compare the clock with that of the CA.

    Args:
        offset: How much its clock was ahead of ours when it answered last; None: it does not tell its time.
        clock: Ours.
    """
    try:
        ahead = offset()
    except CertworkerError:
        # Whoever orders tells it better, and may know another CA.
        return CheckResult.passed("")
    if ahead is None or abs(ahead) <= INACCURATE:
        return CheckResult.passed("")
    kind = ClockSkew if abs(ahead) > WRONG else ClockDrift
    wrong = kind(
        span=_span(abs(ahead)),
        direction="behind" if ahead > timedelta() else "ahead of",
        theirs=f"{clock() + ahead:%Y-%m-%d %H:%M:%S} UTC",
    )
    return CheckResult.fail(wrong) if kind is ClockSkew else CheckResult.passed("", wrong)


def check_volumes(probes: Sequence[Callable[[], None]], directories: Sequence[Path]) -> CheckResult:
    """
    See whether a certificate could be stored.

    Args:
        probes: Each raises why one directory cannot be written.
        directories: Where there must be room, too.

    Raises:
        VolumeReadOnly, VolumeFull, VolumeFault: A directory cannot be written.
    """
    for probe in probes:
        probe()
    return CheckResult.passed(
        "", *filter(None, (nearly_full(each, os.statvfs(each)) for each in directories))
    )


def nearly_full(directory: Path, room: os.statvfs_result) -> VolumeNearlyFull | None:
    """
    That *directory* has hardly any *room* left; None if it has enough, or does not say.
    """
    left = room.f_bavail * room.f_frsize
    if room.f_blocks and left < MIN_FREE_BYTES:
        return VolumeNearlyFull(path=directory, left=f"{left // 1024 // 1024} MB")
    if room.f_files and room.f_favail < MIN_FREE_INODES:
        return VolumeNearlyFull(path=directory, left=f"{room.f_favail} files (inodes)")
    return None


def _span(span: timedelta) -> str:
    for unit, length in (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", WRONG / 60)):
        if span >= 2 * length:
            return f"{span // length} {unit}"
    return f"{span.total_seconds():.0f} seconds"
