"""
Repairs the files in service, and requests jobs that put stored certificates into service.

Neither the repairs nor these jobs send a request to the CA.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args

from certworker.domains import registered_domain
from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeLocked
from certworker.renewal.agenda import Agenda
from certworker.state.priority_queues import PriorityQueues, Request
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import complete_links, take_inventory
from certworker.storage.shared_directory import WriteLock
from certworker.traefik.config import TraefikConfig
from certworker.traefik.file_format import Damage
from certworker.traefik.repair import repair_all

logger = logging.getLogger(__name__)

#: A failed publication is retried after this pause, then after doubled pauses.
FIRST_PAUSE = timedelta(seconds=20)
LONGEST_PAUSE = timedelta(minutes=10)

#: After the repair of a name is logged, further repairs of this name are not logged within this time.
REPORTED_EVERY = timedelta(days=1)

#: The maximum number of names in one log line, and of log lines about names without a usable certificate.
MAX_NAMES_IN_LINE = 5
MAX_LINES = 20

#: Traefik reads the whole directory once for each new file. With more new files than this, these reads take
#: minutes, although Traefik serves the new certificates within seconds.
MANY_FILES = 1_000

#: How long to wait for another worker that makes the same repairs.
LOCK_TIMEOUT_SECONDS = 60.0

#: The log text of each type of repair.
REPAIRS = {
    "missing": "missing files of Traefik: {}",
    "unreadable": "unreadable files of Traefik: {}",
    "elsewhere": "files of Traefik for another certificate: {}",
    "changed": "changed files of Traefik: {}",
    "links": "names without links: {}",
    "relinked": "names that returned to an older certificate: {}",
    "lost": "names without a certificate: {}",
}

#: After these repairs, the names are checked immediately.
CHECKED = ("relinked", "lost")


@dataclass(frozen=True)
class Repair:
    """
    Compares the volume with the files of the proxy, and repairs both.
    """

    store: CertificateStore
    traefik: TraefikConfig
    agenda: Agenda
    priority_queues: PriorityQueues
    #: Returns whether a job is running for a name.
    is_held: Callable[[str], bool]
    clock: Callable[[], datetime]
    #: When each publication is requested again, and the pause after that request, by the names of the
    #: certificate.
    _pauses: dict[tuple[str, ...], tuple[datetime, timedelta]] = field(default_factory=dict)
    #: When a repair of each name was last logged.
    _reported: dict[str, datetime] = field(default_factory=dict)

    def repair(self) -> int:
        """
        Repair dangling links, then Traefik's files in one burst, and then missing links, for all names.

        The repair sends no request to a CA. A name that returned to an older certificate, or has no usable
        one, is checked immediately. The check requests a new certificate, or reports the loss of an imported
        one.

        Returns:
            The number of names that were repaired, or have no usable certificate.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The volume or Traefik's directory cannot be
                read or written.
            redis.RedisError: Redis failed after the repair, so no check is planned.
        """
        with ExitStack() as stack:
            # Workers that start together would all write the same files. A frozen worker delays the others
            # only until the timeout.
            with suppress(VolumeLocked):
                lock = WriteLock(self.store.directory / ".certworker" / "repair.lock")
                stack.enter_context(lock.held(LOCK_TIMEOUT_SECONDS))
            found = take_inventory(self.store, self.clock())
            repaired = dict.fromkeys(found.incomplete, "links")
            repaired |= dict.fromkeys(found.relinked, "relinked") | dict.fromkeys(found.lost, "lost")
            # The report and the links of all names follow even if a file cannot be written.
            stack.callback(self._report, repaired)
            stack.callback(complete_links, self.store, found.incomplete)
            for name, damage in repair_all(self.traefik, self.store, found.served).items():
                repaired.setdefault(name, damage)
        return len(repaired)

    def _report(self, repaired: Mapping[str, str]) -> None:
        """
        Log what was *repaired*, by name, and plan the checks of :data:`CHECKED`.

        Names that were logged within the last day are left out.
        """
        now = self.clock()
        fresh = {
            name: damage
            for name, damage in repaired.items()
            if name not in self._reported or now - self._reported[name] >= REPORTED_EVERY
        }
        if not fresh:
            return
        checked = [name for name, damage in fresh.items() if damage in CHECKED]
        # The check, or the job that it requests, plans the following check.
        self.agenda.put_many(dict.fromkeys(checked, now), at_the_latest=True)
        self._reported.update(dict.fromkeys(fresh, now))
        counts = Counter(fresh.values())
        logger.warning(
            "found damaged files in service, and repaired what was possible · %s (%s)",
            ", ".join(text.format(counts[damage]) for damage, text in REPAIRS.items() if counts[damage]),
            _shortened(sorted(fresh)),
            extra={"event": "repaired", "fields": {"repaired": dict(counts)}},
        )
        if sum(counts[damage] for damage in get_args(Damage)) > MANY_FILES and not self.traefik.is_sharded():
            logger.warning(
                "Traefik reads its directory once for each of these files. To shorten this, restart Traefik: "
                "docker compose restart traefik"
            )
        lost = [name for name, damage in fresh.items() if damage == "lost"]
        for name in lost[:MAX_LINES]:
            logger.warning(
                "no usable certificate is left on the volume; the name is checked now", extra={"domain": name}
            )

    def resume_publications(self) -> int:
        """
        Request a job for each stored certificate that is not in service, unless a job is running for one of
        its names, or the pause after the last request has not ended.

        The job sends no request to the CA. Nothing is requested while the volume or Traefik's directory is
        not writable.

        Returns:
            The number of jobs requested.
        """
        now = self.clock()
        found = self.store.unpublished_sets()
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
        requests = {
            Request(names, registered_domain(names[0]), names_tenant=False): now.timestamp()
            for names in wanted
        }
        self.priority_queues.put("expiring", requests)
        return len(requests)

    def _is_writable(self) -> bool:
        try:
            self.store.check_writable()
            self.traefik.check_writable()
        except CertworkerError:
            return False
        return True


def _shortened(names: Sequence[str]) -> str:
    """
    Return the first few of *names*, and the number of the others.
    """
    shown = ", ".join(names[:MAX_NAMES_IN_LINE])
    return f"{shown} and {len(names) - MAX_NAMES_IN_LINE} more" if len(names) > MAX_NAMES_IN_LINE else shown
