"""
What the worker does between jobs: it asks for its own domains, makes its rounds, and shows that it lives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from certworker.app import App
from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.tokens import LIFETIME
from certworker.domains import load_suffixes
from certworker.redis.failures import explainer
from certworker.state.configuration import has_changed
from certworker.storage.shared_directory import LEAST_AGE_SECONDS
from certworker.supervision import Duties, Faults, Loop, Postponed
from certworker.worker.own_domains import OwnDomains

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = timedelta(hours=1).total_seconds()
#: A certificate that lives for less than 15 hours sees as many rounds as one of 15 hours.
SHARE_OF_A_SHORT_LIFE = 1 / 15
#: Rounds take no more than this share of the time, however many names there are.
SHARE_OF_THE_TIME = 1 / 10
HEARTBEAT_SECONDS = timedelta(days=1).total_seconds()

#: What happens within this time goes into one letter.
PAUSE_BETWEEN_DELIVERIES_SECONDS = 30.0

#: The longest legal time of one delivery.
DELIVERY_SECONDS = 60.0

LOOKS_FOR_THE_AGENDA_EVERY_SECONDS = 10.0

#: What a killed worker left is gone after this time and a least age.
LEFTOVERS_EVERY_SECONDS = 30.0

#: The wake-up of a moment may come a little late; after this nobody has come.
MISSED_AFTER = timedelta(seconds=3)

#: A round that failed is tried again after this time.
PAUSE_AFTER_A_FAULT_SECONDS = 60.0


class MaintenanceLoop:
    """
    The loops beside the worker that maintain agenda, volume and notifications.

    Attributes:
        loops: Each with its heartbeat.
    """

    def __init__(
        self,
        app: App,
        request: Callable[[tuple[str, ...]], object],
        knock: Callable[[Http01Challenge], bool],
    ) -> None:
        self.app = app
        explain = explainer(app.connection)
        stopping = threading.Event()
        own_domains = OwnDomains(app, request, knock, stopping)
        faults = Faults("the request of the own domains", explain)
        self._own_domains = Loop("own_domains", own_domains.step, faults=faults, stopping=stopping)
        self._leftovers = Duties(dict(self._removals_of_leftovers()), explain)
        self._run_round = Duties(
            {
                # First, because sites without a certificate wait for it, and it needs neither CA nor Redis.
                "the repair of what is in service": app.repair.repair,
                # Not before the leftovers are removed.
                "the request of the own domains": self._own_domains.start,
                "the list of suffixes": load_suffixes,
                "the retry after a change of the settings": self._retry_after_a_change,
                "the reconciliation": app.reconciler.reconcile,
                "the check of what is due": app.reconciler.enqueue_due,
                "the report of overdue certificates": self._report_overdue,
                "the removal of old certificates": self._prune,
            },
            explain,
        )
        self._between = Duties(
            {
                "the check of the agenda": self._check_agenda,
                "the publication of stored certificates": app.repair.resume_publications,
            },
            explain,
        )
        self._daily = Duties({"the sign of life": self._log_heartbeat}, explain)
        self._settings_compared = False
        self._shortest_life: timedelta | None = None
        #: How many names more the volume had than the agenda after the last comparison.
        self._shortfall = 0
        self._next_round = self._next_sweep = 0.0
        self._next_sign = time.monotonic() + HEARTBEAT_SECONDS
        self._well = True
        self._maintenance = Loop("maintenance", self._maintain, faults=Faults("the maintenance", explain))
        self._notifications = [
            Loop(
                f"notifications_{channel}",
                partial(self._deliver, channel),
                seconds=DELIVERY_SECONDS,
                faults=Faults(f"the delivery of notifications by {channel}", explain),
            )
            # A receiver that is slow does not hold up the others.
            for channel in app.notifier.channels
        ]
        self.loops = (self._maintenance, self._own_domains, *self._notifications)

    def start(self) -> None:
        """
        Begin with the work of a start: leftovers away, own domains requested, volume and agenda compared.
        """
        self._maintenance.start()
        for loop in self._notifications:
            loop.start()

    def stop(self) -> None:
        """
        End it, and wait until it has ended.
        """
        for loop in self.loops:
            loop.stopping.set()
        for loop in self.loops:
            loop.stop()

    def _maintain(self) -> float:
        now, well = time.monotonic(), True
        if now >= self._next_sweep:
            self._next_sweep = now + LEFTOVERS_EVERY_SECONDS
            well &= not self._leftovers()
        if now >= self._next_round:
            self._well = not self._run_round()
            # A round that failed is tried again before its hour is over.
            took = time.monotonic() - now
            pause = self._pause(took) if self._well else PAUSE_AFTER_A_FAULT_SECONDS
            self._next_round = time.monotonic() + pause
        else:
            well &= not self._between()
        if now >= self._next_sign:
            self._next_sign = now + HEARTBEAT_SECONDS
            well &= not self._daily()
        if not (well and self._well):
            raise Postponed(LOOKS_FOR_THE_AGENDA_EVERY_SECONDS)
        # A Redis that was emptied has no agenda: that is seen within the minute, not within the hour.
        return LOOKS_FOR_THE_AGENDA_EVERY_SECONDS

    def _retry_after_a_change(self) -> None:
        if not self._settings_compared and has_changed(self.app.connection, self.app.settings.fingerprint):
            self.app.reconciler.retry_after_a_change()
        self._settings_compared = True

    def _report_overdue(self) -> None:
        self._shortest_life = self.app.expiry_alerts.log().shortest_validity

    def _check_agenda(self) -> None:
        if self._is_incomplete():
            self.app.reconciler.reconcile()
            self._shortfall = self._short()
        earliest = self.app.agenda.earliest()
        if earliest and earliest + MISSED_AFTER < self.app.clock():
            # The scheduler of a worker that died keeps its lock for a minute, and no wake-up comes meanwhile.
            self.app.reconciler.enqueue_due()

    def _is_incomplete(self) -> bool:
        """
        Return whether Redis was emptied or lost the agenda, whatever was written to it since.
        """
        return not self.app.agenda.is_complete() or self._short() > self._shortfall

    def _short(self) -> int:
        return max(0, self.app.certificates.links.count() - len(self.app.agenda))

    def _deliver(self, channel: str) -> float:
        self.app.notifier.deliver(channel)
        return PAUSE_BETWEEN_DELIVERIES_SECONDS

    def _pause(self, took_seconds: float) -> float:
        """
        Return the seconds until the next round, after one that took so long.
        """
        seconds = INTERVAL_SECONDS
        if self._shortest_life is not None:
            seconds = min(seconds, self._shortest_life.total_seconds() * SHARE_OF_A_SHORT_LIFE)
        # Never on the hour: twenty workers that were started together should not check together.
        return max(seconds, took_seconds / SHARE_OF_THE_TIME) * self.app.random.uniform(0.8, 1)

    def _prune(self) -> None:
        self.app.certificates.prune(self.app.traefik.served_generations())

    def _removals_of_leftovers(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """
        Yield what removes the leftovers of killed workers, with a name for people.
        """
        yield "the removal of old tokens", self._forget_tokens
        for issuer in self.app.issuers:
            label = issuer.ca.label
            yield f"the removal of old orders at {label}", issuer.pending_orders.remove_stale
            yield f"the removal of unfinished files of {label}", issuer.client.remove_leftovers
            if issuer.webroot:
                remove = partial(issuer.webroot.remove_leftovers, self.app.tokens.all)
                yield f"the removal of old answers to {label}", remove
        yield "the removal of unfinished certificates", self.app.certificates.remove_leftovers
        yield "the removal of unfinished files of Traefik", self.app.traefik.remove_leftovers

    def _forget_tokens(self) -> None:
        # A check of port 80 has a token for some seconds without the lock of its name.
        before = self.app.clock() - timedelta(seconds=LEAST_AGE_SECONDS)
        old = {
            token: held.name
            for token, held in self.app.tokens.all().items()
            if held.expires - LIFETIME <= before
        }
        held = {name for name in set(old.values()) if self.app.locks.is_held(name)}
        self.app.tokens.forget(*(token for token, name in old.items() if name not in held))

    def _log_heartbeat(self) -> None:
        earliest = self.app.agenda.earliest()
        logger.info(
            "alive · %d names on the agenda · %s",
            len(self.app.agenda),
            f"next look {earliest:%Y-%m-%d %H:%M} UTC" if earliest else "waiting for requests",
            extra={"event": "heartbeat"},
        )
