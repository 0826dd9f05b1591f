"""
The maintenance loop: repairs, reconciliation, renewals that are due, and the removal of leftovers.

::

    every 10 seconds   check that the agenda is complete, enqueue due names whose wake-up is missing, and
                       request the publication of stored certificates
    every 30 seconds   remove leftovers
    every hour         check and repair all names; more often while a certificate is short-lived
    every day          log one line, which shows that the worker is running
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random

from certworker.challenges.tokens import LIFETIME, ChallengeTokens
from certworker.dns01.solver import Dns01Solver
from certworker.domains import load_suffixes
from certworker.errors import CertworkerError
from certworker.issuance.issuer import Issuer
from certworker.minutes import not_before
from certworker.notify.notifier import Notifier, in_words
from certworker.renewal.agenda import Agenda
from certworker.renewal.due import DueNames
from certworker.renewal.expiry_alerts import ExpiryAlerts
from certworker.renewal.reconciler import Reconciler
from certworker.renewal.repair import Repair
from certworker.state.locks import DomainLocks
from certworker.state.recorded_states import RecordedStates
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.shared_directory import LEAST_AGE_SECONDS
from certworker.supervision import Duties, Faults, Loop, Postponed
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

ROUND_SECONDS = timedelta(hours=1).total_seconds()
#: With a validity period below 15 hours, the pause between two passes is this share of the period.
SHARE_OF_SHORT_VALIDITY = 1 / 15
#: Even with many names, passes take at most about this share of the time.
MAX_PASS_SHARE = 1 / 10

ALIVE_LINE_SECONDS = timedelta(days=1).total_seconds()

#: The pause between two deliveries. Notifications within this time are delivered together.
DELIVERY_INTERVAL_SECONDS = 30.0
#: The expected maximum duration of one delivery.
DELIVERY_SECONDS = 60.0

AGENDA_CHECK_SECONDS = 10.0

#: The interval of the removals. A leftover is removed only after its minimum age.
LEFTOVERS_SECONDS = 30.0

#: A wake-up may be a little late. After this time, it counts as lost.
WAKE_UP_GRACE = timedelta(seconds=3)

#: The pause after a pass that failed.
RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Leftovers:
    """
    The components in which a killed worker may leave tokens, orders, TXT records, and unfinished files.
    """

    issuers: Sequence[Issuer]
    tokens: ChallengeTokens
    locks: DomainLocks
    certificates: CertificateStore
    traefik: TraefikConfig
    dns01: Dns01Solver
    clock: Callable[[], datetime]

    def removals(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """
        Yield the duties that remove leftovers, each with its name in the log.
        """
        yield "the removal of old tokens", self._remove_tokens
        for issuer in self.issuers:
            label = issuer.ca.label
            yield f"the removal of old orders with {label}", issuer.pending_orders.remove_stale
            yield f"the removal of unfinished files of {label}", issuer.client.remove_leftovers
            if issuer.webroot:
                remove = partial(issuer.webroot.remove_leftovers, self.tokens.all)
                yield f"the removal of old responses to {label}", remove
        yield "the removal of unfinished certificates", self.certificates.remove_leftovers
        yield "the removal of unfinished files of Traefik", self.traefik.remove_leftovers
        # This removal comes last, because the DNS provider may be slow.
        yield "the removal of TXT records of earlier orders", self.dns01.remove_leftovers

    def _remove_tokens(self) -> None:
        # A check of port 80 stores a token for a few seconds, without a lock on the name.
        before = self.clock() - timedelta(seconds=LEAST_AGE_SECONDS)
        old = {
            token: stored.name
            for token, stored in self.tokens.all().items()
            if stored.expires - LIFETIME <= before
        }
        locked = {name for name in set(old.values()) if self.locks.is_held(name)}
        self.tokens.forget(*(token for token, name in old.items() if name not in locked))


class AgendaCheck:
    """
    Detects an incomplete agenda and missing wake-ups.
    """

    def __init__(
        self,
        agenda: Agenda,
        certificates: CertificateStore,
        due_names: DueNames,
        reconciler: Reconciler,
        clock: Callable[[], datetime],
    ) -> None:
        self._agenda = agenda
        self._certificates = certificates
        self._due_names = due_names
        self._reconciler = reconciler
        self._clock = clock
        #: How many more names the volume had than the agenda after the last comparison.
        self._shortfall = 0

    def run(self) -> None:
        """
        Complete the agenda from the volume if names are missing. Enqueue the due names if their wake-up is
        late.

        Raises:
            CertworkerError: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        if self._is_incomplete():
            self._reconciler.reconcile()
            self._shortfall = self._missing()
        earliest = self._agenda.earliest()
        if earliest and earliest + WAKE_UP_GRACE < self._clock():
            # The scheduler of a killed worker holds its lock for about a minute, in which no wake-up comes.
            self._due_names.enqueue()

    def _is_incomplete(self) -> bool:
        """
        Return whether Redis was emptied or lost the agenda, even if names have been added since.
        """
        return not self._agenda.is_complete() or self._missing() > self._shortfall

    def _missing(self) -> int:
        on_volume = self._certificates.links.count() + self._certificates.covered.count()
        return max(0, on_volume - len(self._agenda))


class MaintenanceLoop:
    """
    The loop that maintains the agenda, the volume, and Traefik's files.

    Args:
        request_own_domains: Starts the requests for the names of the installation.
        settings_changed: Returns whether the settings differ from those of the last start, and stores them.
        states: The states of the names.
        clock: Returns the time in UTC.
        random: Shortens pauses by a random share, so that several workers do not run their passes at the same
            time.
        explain: Returns the CertworkerError for an exception of another library, or None.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        *,
        leftovers: Leftovers,
        repair: Repair,
        due_names: DueNames,
        reconciler: Reconciler,
        expiry_alerts: ExpiryAlerts,
        agenda: Agenda,
        certificates: CertificateStore,
        traefik: TraefikConfig,
        request_own_domains: Callable[[], object],
        settings_changed: Callable[[], bool],
        states: RecordedStates,
        clock: Callable[[], datetime],
        random: Random,
        explain: Callable[[BaseException], CertworkerError | None],
    ) -> None:
        self._reconciler = reconciler
        self._expiry_alerts = expiry_alerts
        self._agenda = agenda
        self._traefik = traefik
        self._settings_changed = settings_changed
        self._states = states
        self._random = random
        self.agenda_check = AgendaCheck(agenda, certificates, due_names, reconciler, clock)
        self._remove_leftovers = Duties(dict(leftovers.removals()), explain)
        self._run_round = Duties(
            {
                # The repair comes first: it puts sites back into service, even while the CA and Redis fail.
                "the repair of the files in service": repair.repair,
                # Before the first pass, _step has removed the leftovers.
                "the requests for the names of the installation": request_own_domains,
                "the list of suffixes": load_suffixes,
                "the retries after the start": self._retry_after_the_start,
                "the reconciliation": reconciler.reconcile,
                "the check of the names that are due": due_names.enqueue,
                "the report of overdue certificates": self._report_overdue,
                "the removal of old certificates": lambda: certificates.prune(traefik.served_generations()),
                "the removal of old records of removals": lambda: certificates.links.removed.prune(clock()),
                "the index of the certificates": certificates.links.update_index,
            },
            explain,
        )
        self._run_between_rounds = Duties(
            {
                "the check of the agenda": self.agenda_check.run,
                "the publication of stored certificates": repair.resume_publications,
            },
            explain,
        )
        self._run_daily = Duties({"the daily log line": self._log_alive}, explain)
        self._have_settings_changed = self._has_retried = False
        self._shortest_validity: timedelta | None = None
        self._next_round = self._next_removal = 0.0
        self._next_alive_line = time.monotonic() + ALIVE_LINE_SECONDS
        self._round_succeeded = True
        self.loop = Loop("maintenance", self._step, faults=Faults("the maintenance", explain))

    def _step(self) -> float:
        now, succeeded = time.monotonic(), True
        if now >= self._next_removal:
            self._next_removal = now + LEFTOVERS_SECONDS
            succeeded &= not self._remove_leftovers()
        if now >= self._next_round:
            self._round_succeeded = not self._run_round()
            duration = time.monotonic() - now
            pause = self._pause(duration) if self._round_succeeded else RETRY_SECONDS
            self._next_round = time.monotonic() + pause
        else:
            succeeded &= not self._run_between_rounds()
        if now >= self._next_alive_line:
            self._next_alive_line = now + ALIVE_LINE_SECONDS
            succeeded &= not self._run_daily()
        if not (succeeded and self._round_succeeded):
            raise Postponed(AGENDA_CHECK_SECONDS)
        return AGENDA_CHECK_SECONDS

    def _retry_after_the_start(self) -> None:
        if self._has_retried:
            return
        # The comparison stores the settings, so a second one, after an error, finds no change.
        self._have_settings_changed |= self._settings_changed()
        self._reconciler.retry_after_the_start(self._states, settings_changed=self._have_settings_changed)
        self._has_retried = True

    def _report_overdue(self) -> None:
        self._shortest_validity = self._expiry_alerts.log().shortest_validity

    def _pause(self, duration_seconds: float) -> float:
        """
        Return the seconds until the next pass, after one that took *duration_seconds*.
        """
        seconds = ROUND_SECONDS
        if self._shortest_validity is not None:
            seconds = min(seconds, self._shortest_validity.total_seconds() * SHARE_OF_SHORT_VALIDITY)
        # Without the random part, twenty workers that start together would make each pass together.
        return max(seconds, duration_seconds / MAX_PASS_SHARE) * self._random.uniform(0.8, 1)

    def _log_alive(self) -> None:
        logger.info(
            "alive · names on the agenda: %d · %s",
            len(self._agenda),
            next_check(self._agenda),
            extra={"event": "heartbeat"},
        )
        if many := self._traefik.many_certificates():
            logger.warning("%s", many, extra={"code": many.code})


def next_check(agenda: Agenda) -> str:
    """
    Return when the next check of a name in *agenda* is due, for a log line.
    """
    earliest = agenda.earliest()
    return f"next check {not_before(earliest)}" if earliest else "waiting for requests"


def delivery_loops(
    notifier: Notifier, explain: Callable[[BaseException], CertworkerError | None]
) -> list[Loop]:
    """
    Return a loop for each channel of *notifier*, so that a slow receiver does not delay the others.
    """

    def deliver(channel: str) -> float:
        notifier.deliver(channel)
        return DELIVERY_INTERVAL_SECONDS

    return [
        Loop(
            f"notifications_{channel}",
            partial(deliver, channel),
            seconds=DELIVERY_SECONDS,
            faults=Faults(f"the delivery of notifications by {in_words(channel)}", explain),
        )
        for channel in notifier.channels
    ]
