"""
The maintenance of the volume of a mirror: repairs, and the removal of leftovers and old generations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import complete_links, take_inventory
from certworker.supervision import Duties, Loop, Postponed
from certworker.traefik.config import TraefikConfig
from certworker.traefik.file_format import Damage
from certworker.traefik.repair import repair_all

logger = logging.getLogger(__name__)

#: The interval of the removal of leftovers.
LEFTOVERS_SECONDS = 30.0

#: The number of passes of the loop between two repairs.
INTERVALS_PER_REPAIR = 120

#: The log text of each type of damage.
DAMAGES: Mapping[Damage, str] = {
    "missing": "it was missing",
    "unreadable": "Traefik could not read it",
    "elsewhere": "it named another certificate",
    "changed": "another program had changed it",
}


class Upkeep:
    """
    A loop that repairs and cleans the volume.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self, store: CertificateStore, traefik: TraefikConfig, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._traefik = traefik
        self._clock = clock
        self._intervals = 0
        self._leftovers = Duties(
            {
                "the removal of unfinished certificates": store.remove_leftovers,
                "the removal of unfinished files of Traefik": traefik.remove_leftovers,
            }
        )
        self._repair = Duties(
            {"the repair of the volume": self.repair, "the removal of old generations": self.prune}
        )
        self.loop = Loop("upkeep", self._step)

    def repair(self) -> None:
        """
        Repair the links and Traefik's files.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: A file or link cannot be written.
        """
        found = take_inventory(self._store, self._clock())
        try:
            for name, damage in repair_all(self._traefik, self._store, found.served).items():
                logger.warning("repaired the file of Traefik: %s", DAMAGES[damage], extra={"domain": name})
        finally:
            complete_links(self._store, found.incomplete)

    def prune(self) -> None:
        """
        Remove old generations, and old records of removals.

        Raises:
            VolumeReadOnly, VolumeFault: A generation or a record cannot be removed.
        """
        self._store.links.removed.prune(self._clock())
        self._store.prune(self._traefik.served_generations())

    def _step(self) -> float:
        pause = self._leftovers()
        if self._intervals % INTERVALS_PER_REPAIR == 0:
            pause = max(pause, self._repair())
        self._intervals += 1
        if pause:
            raise Postponed(min(pause, LEFTOVERS_SECONDS))
        return LEFTOVERS_SECONDS
