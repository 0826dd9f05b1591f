"""
The pause between two changes of the watched directory, so that reloads do not use up a processor.

Traefik reads all files and parses all certificates again after each change, usually twice. So the pause grows
with the number of certificates: between the shortest and the longest pause, reloads take at most a tenth of
one processor. The deployment check measures the time that Traefik needs. Without a measurement, the time
follows from the numbers below, which were measured with Traefik 3.7 on two cores (see docs/guides/sizing.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

#: The pause between two changes with few certificates. A job waits for it only if its worker has other jobs.
LEAST_SECONDS = 2.0
#: The longest pause. A job that waits for it ends before its time limit.
MOST_SECONDS = 300.0

#: With at most this number of certificates, the pause is the shortest: the reloads of a burst may exceed
#: :data:`SHARE`, but the burst ends soon.
FEW_CERTIFICATES = 500

#: From this number of certificates on, `proxy.many_certificates` recommends another proxy or fewer
#: certificates.
MANY_CERTIFICATES = 5_000

#: With more certificates than :data:`FEW_CERTIFICATES`, reloads take at most this share of one processor,
#: unless the pause is the longest.
SHARE = 0.1

#: The processor seconds of the reloads after one change: a constant, and those for each certificate, each
#: file, and each pair of certificates, which Traefik compares.
_SECONDS_EACH_RELOAD = 0.1
_SECONDS_A_CERTIFICATE = 2.2e-4
_SECONDS_A_FILE = 3.3e-4
_SECONDS_A_PAIR = 8.2e-9

#: The processor seconds for each second until Traefik serves a new certificate. Traefik uses several cores.
_CPU_SHARE = 1.5
#: The measured time consists mostly of the reloads only if they take longer than this.
_MEASURABLE_SECONDS = 1.0
#: The processor seconds that follow from the measured time are limited to this factor above and below the
#: expected ones. A longer time usually has another cause.
_MOST_DEVIATION = 4.0

#: After this time, the certificates and files are counted again. Other workers may change their numbers.
_COUNTED_SECONDS = 60.0


@dataclass(frozen=True)
class Size:
    """
    The numbers of certificates and files that Traefik reads from the watched directory.
    """

    certificates: int
    files: int


def reload_seconds(size: Size, measured_seconds: float = 0.0) -> float:
    """
    Return the processor seconds that Traefik needs for the reloads after one change.

    Args:
        measured_seconds: The mean time until Traefik served a new certificate; 0: unknown.
    """
    expected = (
        _SECONDS_EACH_RELOAD
        + _SECONDS_A_CERTIFICATE * size.certificates
        + _SECONDS_A_FILE * size.files
        + _SECONDS_A_PAIR * size.certificates**2
    )
    if not measured_seconds or expected < _MEASURABLE_SECONDS:
        return expected
    return min(max(measured_seconds * _CPU_SHARE, expected / _MOST_DEVIATION), expected * _MOST_DEVIATION)


class ReloadInterval:
    """
    The pause between two changes of one directory.

    Args:
        size: Counts the certificates and files of the directory.
        measured_seconds: Returns the mean time until Traefik served a new certificate; 0: unknown.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        size: Callable[[], Size],
        measured_seconds: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._measured_seconds = measured_seconds
        self._clock = clock
        self._counted: tuple[float, Size, float] | None = None

    def reload_seconds(self) -> float:
        """
        Return the processor seconds of the reloads after one change.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        return self._count()[1]

    def seconds(self) -> float:
        """
        Return the pause in seconds.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        size, needed = self._count()
        if size.certificates <= FEW_CERTIFICATES:
            return LEAST_SECONDS
        return min(max(needed / SHARE, LEAST_SECONDS), MOST_SECONDS)

    def _count(self) -> tuple[Size, float]:
        now = self._clock()
        if self._counted is None or now - self._counted[0] >= _COUNTED_SECONDS:
            size = self._size()
            self._counted = now, size, reload_seconds(size, self._measured_seconds())
        return self._counted[1:]
