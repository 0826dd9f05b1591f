"""
What the worker does between jobs: it asks for its own domains, makes its rounds, and shows that it lives.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from redis.exceptions import RedisError

from certworker.answer import Answer
from certworker.assembly import House
from certworker.challenges.solver import present
from certworker.errors import CertworkerError
from certworker.ledger.tokens import LIFETIME
from certworker.locking import LEAST_AGE_SECONDS
from certworker.names import domain_name, read_suffixes

logger = logging.getLogger(__name__)

ROUND_SECONDS = timedelta(hours=1).total_seconds()
SIGN_OF_LIFE_SECONDS = timedelta(days=1).total_seconds()

#: Traefik may need a moment to route the challenge path after `docker compose up`.
PATIENCE_WITH_PORT_80_SECONDS = 60.0
PAUSE_BETWEEN_KNOCKS_SECONDS = 1.0

#: What happens within this time goes into one letter.
PAUSE_BETWEEN_DELIVERIES_SECONDS = 30.0

LOOKS_FOR_THE_AGENDA_EVERY_SECONDS = 10.0

#: What a killed worker left is gone after this time and a least age.
LEFTOVERS_EVERY_SECONDS = 30.0

#: The wake-up of a moment may come a little late; after this nobody has come.
MISSED_AFTER = timedelta(seconds=3)

#: After Redis was away, a round is tried again before its hour is over.
PAUSE_AFTER_A_FAULT_SECONDS = 60.0


class Watch:
    """
    A thread beside the worker that makes the rounds until it is told to stop.
    """

    def __init__(
        self,
        house: House,
        request: Callable[[tuple[str, ...]], object],
        knock: Callable[[Answer], bool],
    ) -> None:
        self.house = house
        self.request = request
        self.knock = knock
        self._stopped = threading.Event()
        #: When leftovers were removed last.
        self._swept = 0.0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """
        Begin with the work of a start: leftovers away, own domains requested, volume and agenda compared.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End it, and wait until it has ended.
        """
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        self._remove_leftovers()
        retrigger = threading.Thread(target=self._guarded, args=(self._request_own_domains,), daemon=True)
        retrigger.start()
        for channel in self.house.post_office.channels:
            # A receiver that is slow does not hold up the others.
            name = f"post-{channel}"
            threading.Thread(target=self._post, args=(channel,), name=name, daemon=True).start()
        read_suffixes()
        signed = time.monotonic()
        while not self._stopped.is_set():
            well = self._guarded(self._round)
            if time.monotonic() - signed > SIGN_OF_LIFE_SECONDS:
                self._guarded(self._sign_of_life)
                signed = time.monotonic()
            self._wait(self._pause() if well else PAUSE_AFTER_A_FAULT_SECONDS)

    def _wait(self, seconds: float) -> None:
        # A Redis that was emptied has no agenda: that is seen within the minute, not within the hour.
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopped.wait(LOOKS_FOR_THE_AGENDA_EVERY_SECONDS):
            self._guarded(self._see_to_the_agenda)
            self._guarded(self.house.repair.resume_publications)
            if time.monotonic() - self._swept > LEFTOVERS_EVERY_SECONDS:
                self._remove_leftovers()

    def _see_to_the_agenda(self) -> None:
        earliest = self.house.agenda.earliest()
        if earliest is None and not len(self.house.agenda):
            self.house.rounds.reconcile()
        elif earliest and earliest + MISSED_AFTER < self.house.clock():
            # The scheduler of a worker that died keeps its lock for a minute, and no wake-up comes meanwhile.
            self.house.rounds.look()

    def _guarded(self, step: Callable[[], object]) -> bool:
        # A fault in one round must not end all the rounds to come.
        try:
            step()
        except CertworkerError as failure:
            logger.warning(
                "[%s] %s %s", failure.code, failure.message, failure.remedy, extra={"code": failure.code}
            )
        except RedisError as fault:
            logger.warning("the round stopped because Redis failed (%s); it is made again in a minute", fault)
        else:
            return True
        return False

    def _post(self, channel: str) -> None:
        while not self._stopped.wait(PAUSE_BETWEEN_DELIVERIES_SECONDS):
            self._guarded(partial(self.house.post_office.deliver, channel))

    def _pause(self) -> float:
        # Never on the hour: twenty workers that were started together should not look together.
        return ROUND_SECONDS * self.house.random.uniform(0.8, 1)

    def _round(self) -> None:
        self.house.rounds.reconcile()
        self.house.rounds.look()
        self.house.overdue.tell()
        self.house.volume.prune(self.house.traefik.served())

    def _remove_leftovers(self) -> None:
        """
        Remove what workers left behind that were killed; a fault with one place costs the others nothing.
        """
        self._swept = time.monotonic()
        self._guarded(self._forget_tokens)
        for desk in self.house.desks:
            self._guarded(desk.under_way.remove_stale)
            self._guarded(desk.authority.remove_leftovers)
            if desk.webroot:
                self._guarded(partial(desk.webroot.remove_leftovers, self.house.tokens.all))
        self._guarded(self.house.volume.remove_leftovers)
        self._guarded(self.house.traefik.remove_leftovers)

    def _forget_tokens(self) -> None:
        # A check of port 80 has a token for some seconds without the lock of its name.
        before = self.house.clock() - timedelta(seconds=LEAST_AGE_SECONDS)
        old = {
            token: held.name
            for token, held in self.house.tokens.all().items()
            if held.expires - LIFETIME <= before
        }
        held = {name for name in set(old.values()) if self.house.locks.is_held(name)}
        self.house.tokens.forget(*(token for token, name in old.items() if name not in held))

    def _request_own_domains(self) -> None:
        for given in self.house.settings.domains:
            try:
                name = domain_name(given, private=self.house.settings.authority.private_names)
            except CertworkerError as failure:
                logger.warning(
                    "_APP_DOMAIN [%s] %s %s",
                    failure.code,
                    failure.message,
                    failure.remedy,
                    extra={"code": failure.code},
                )
                # No job will ever meet it.
                self.house.post_office.failed(given, failure, None, None, self.house.clock())
            else:
                self._wait_for_port_80(name)
                self.request((name,))

    def _wait_for_port_80(self, name: str) -> None:
        token = secrets.token_urlsafe(24)
        desk = self.house.desks[0]
        answer = Answer(name, token, f"{token}.{desk.authority.thumbprint}")
        deadline = time.monotonic() + PATIENCE_WITH_PORT_80_SECONDS
        with present([answer], desk.solvers):
            while not self.knock(answer):
                if time.monotonic() > deadline:
                    logger.warning(
                        "port 80 did not answer within a minute; the CA is asked all the same",
                        extra={"domain": name},
                    )
                    return
                if self._stopped.wait(PAUSE_BETWEEN_KNOCKS_SECONDS):
                    return

    def _sign_of_life(self) -> None:
        earliest = self.house.agenda.earliest()
        logger.info(
            "alive · %d names on the agenda · %s",
            len(self.house.agenda),
            f"next look {earliest:%Y-%m-%d %H:%M} UTC" if earliest else "waiting for requests",
            extra={"event": "heartbeat"},
        )
