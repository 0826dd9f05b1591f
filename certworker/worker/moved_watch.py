"""
The daily check of whether the names in service still point to this server.

This check omits the names of the installation, wildcards, IP addresses, names with an imported certificate,
names that use DNS-01, and names that have already moved. A hash of each name selects the second of its check,
so the checks are spread over the day. All workers that use the same Redis share the checks: in nine minutes,
at most one of them begins a step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from zlib import crc32

from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.dns import Moved
from certworker.errors.worker import AlreadyInProgress
from certworker.issuance.moved_names import MovedNames
from certworker.preflight.moved import Place, Whereabouts
from certworker.redis.codec import decode_text, decode_time, encode_time
from certworker.state.locks import DomainLocks
from certworker.state.once_per import OncePer
from certworker.state.sightings import Sighting
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import Faults, Loop, beat, unexplained

logger = logging.getLogger(__name__)

#: The key with the time until which the daily checks are done, and the prefix of the key for the turn.
CHECKED = "certworker:elsewhere:checked"
TURN = "certworker:elsewhere:turn:"

DAY = timedelta(days=1)
#: The pause between two steps, and the shorter time for which one worker has the turn.
PAUSE_SECONDS = 600.0
TURN_TTL = timedelta(minutes=9)
#: The maximum number of names in one step: 144,000 a day. After an outage, several steps may be necessary.
MAX_NAMES = 1_000
#: The number of names that are checked at the same time.
CONCURRENT_CHECKS = 8
#: The expected maximum duration of a check: the lookup and the test responses.
CHECK_SECONDS = 60.0


class MovedWatch:
    """
    Checks the names in service, and declares which of them have moved.

    Args:
        connection: The connection to Redis.
        certificates: The certificates on the volume.
        moved_names: The names that have moved.
        locks: The locks on names.
        report: Called with each name that is declared moved, and with the failure.
        clock: Returns the time in UTC.
        explain: Returns the CertworkerError for an exception of another library, or None.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        connection: Redis,
        certificates: CertificateStore,
        moved_names: MovedNames,
        locks: DomainLocks,
        *,
        report: Callable[[str, Moved], object],
        clock: Callable[[], datetime],
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
    ) -> None:
        self._connection = connection
        self._certificates = certificates
        self._moved_names = moved_names
        self._locks = locks
        self._report = report
        self._clock = clock
        self._turn = OncePer(connection, TURN, TURN_TTL)
        faults = Faults("the check of where names point", explain)
        self.loop = Loop("moved_names", self.step, seconds=CHECK_SECONDS, faults=faults)

    def check(self) -> int:
        """
        Check the names that have become due since the last check, and within the last day. Return their
        number, at most :data:`MAX_NAMES`.

        Raises:
            CertworkerError: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        if not self._moved_names.check_target.is_on:
            return 0
        now = self._clock()
        begin = max(self._checked_until() or now - DAY, now - DAY)
        if begin >= now:
            return 0
        due = self._due(begin, now)
        for start in range(0, len(due), CONCURRENT_CHECKS):
            if self.loop.stopping.is_set():
                return start
            batch = due[start : start + CONCURRENT_CHECKS]
            # Write the time first. Otherwise, a check that crashes a worker would crash one worker after
            # another.
            self._write_checked(batch[-1][0])
            self._check([name for _, name in batch], now)
        if len(due) < MAX_NAMES:
            self._write_checked(now)
        return len(due)

    def _check(self, names: Sequence[str], now: datetime) -> None:
        moved = self._moved_names.among(names)
        names = [name for name in names if name not in moved]
        known = self._moved_names.sightings.read_many(names)
        with ThreadPoolExecutor(CONCURRENT_CHECKS) as threads:
            for name, found in zip(names, threads.map(self._moved_names.whereabouts, names), strict=True):
                beat()
                self._record(name, found, known.get(name), now)

    def step(self) -> float:
        """
        Check the due names, unless another worker has the turn; return the seconds until the next step.

        Raises:
            CertworkerError: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        if self._turn.first("names"):
            self.check()
        return PAUSE_SECONDS

    def _checked_until(self) -> datetime | None:
        until = decode_time(decode_text(self._connection.get(CHECKED)))
        # Another program, or a clock that was wrong, may have written a time in the future.
        return until if until and until <= self._clock() else None

    def _write_checked(self, moment: datetime) -> None:
        self._connection.set(CHECKED, encode_time(moment))

    def _due(self, begin: datetime, now: datetime) -> Sequence[tuple[datetime, str]]:
        """
        Return the first names whose daily check is after *begin* and not after *now*, each with its time.
        """
        due = sorted(_moments(self._certificates.names(), begin, now))
        applies = self._moved_names.check_target.applies_to
        wanted = (each for each in due if applies(each[1]) and not self._is_imported(each[1]))
        return list(islice(wanted, MAX_NAMES))

    def _is_imported(self, name: str) -> bool:
        # Another server, for example a content delivery network, may serve such a name to visitors.
        with suppress(CertworkerError):  # its own check reports the failure
            metadata = self._certificates.metadata(name)
            return metadata is not None and metadata.is_imported
        return False

    def _record(self, name: str, found: Whereabouts, earlier: Sighting | None, now: datetime) -> None:
        if found.place is not Place.ELSEWHERE:
            # The name points here, or the result is not definite: the count starts again.
            if earlier:
                self._moved_names.sightings.forget(name)
            return
        sighting = Sighting.after(earlier, found.found, now)
        self._moved_names.sightings.put(name, sighting)
        if not sighting.is_final:
            return
        try:
            with self._locks.hold([name]):
                failure = self._moved_names.declare(name, sighting)
        except AlreadyInProgress:
            return  # the next job for the name reports it
        logger.warning("%s", failure, extra={"domain": name, "event": "moved", "code": failure.code})
        self._report(name, failure)


def _moments(names: Iterable[str], begin: datetime, end: datetime) -> Iterable[tuple[datetime, str]]:
    """
    Yield each of *names* whose daily check is after *begin* and not after *end*, with the time of the check.
    """
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    for name in names:
        beat()
        moment = midnight + timedelta(seconds=crc32(name.encode()) % DAY.total_seconds())
        moment += DAY if moment <= begin else timedelta(0)
        if moment <= end:
            yield moment, name
