"""
What is stored comes into service, and what is in service stays so, without the CA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from certworker.errors import CertworkerError
from certworker.ledger.agenda import Agenda
from certworker.ledger.lanes import Lanes, Request
from certworker.names import registered_domain
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume

#: A publication that fails for an unknown reason is tried again after this, and after pauses that double.
FIRST_PAUSE = timedelta(seconds=20)
LONGEST_PAUSE = timedelta(minutes=10)


@dataclass(frozen=True)
class Repair:
    """
    Compares what the volume has with what the proxy has.
    """

    volume: Volume
    traefik: Traefik
    agenda: Agenda
    lanes: Lanes
    #: Whether a job is at work for a name.
    is_held: Callable[[str], bool]
    clock: Callable[[], datetime]
    #: When a publication that failed is requested again, and the pause after that, by the names.
    _pauses: dict[tuple[str, ...], tuple[datetime, timedelta]] = field(default_factory=dict)

    def resume_publications(self) -> int:
        """
        Request a job for each certificate that is stored and not in service, unless one is at work for it.

        The job needs no CA. None is requested while the volume or Traefik's directory cannot be written.

        Returns:
            How many were requested.
        """
        now = self.clock()
        found = self.volume.unpublished_sets()
        for names in set(self._pauses) - set(found):
            del self._pauses[names]
        wanted = {}
        for names in found:
            moment, pause = self._pauses.get(names, (now, FIRST_PAUSE))
            if moment <= now and not any(map(self.is_held, names)):
                wanted[names] = pause
        if not wanted or not self._is_writable():
            return 0
        for names, pause in wanted.items():
            self._pauses[names] = now + pause, min(2 * pause, LONGEST_PAUSE)
        requests = {Request(names, registered_domain(names[0])): now.timestamp() for names in wanted}
        self.lanes.put("expiring", requests)
        return len(requests)

    def _is_writable(self) -> bool:
        try:
            self.volume.check_writable()
            self.traefik.check_writable()
        except CertworkerError:
            return False
        return True
