"""
Requests the names of `_APP_DOMAIN` at the start: each as soon as its port 80 answers, none after the other.

An order before Traefik routes the challenge path would fail, and count.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

from certworker.app import App
from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.solver import present
from certworker.domains import normalize
from certworker.errors import CertworkerError, printable
from certworker.supervision import beat

logger = logging.getLogger(__name__)

#: Traefik may need a moment to route the challenge path after `docker compose up`.
PATIENCE_SECONDS = 60.0

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0

#: So many names are knocked for at a time; the others get their turn, or are requested when patience ends.
KNOCKS_AT_A_TIME = 64

#: So many names stand in the line that says what is waited for.
MOST_NAMES_SHOWN = 10


class OwnDomains:
    """
    What is left to request of the names of `_APP_DOMAIN`.

    Args:
        request: Puts a name on the queue.
        knock: Returns whether an answer arrives at port 80 of its name.
        stopping: Ends the wait.
        patience_seconds: How long port 80 of a name is waited for.
    """

    def __init__(
        self,
        app: App,
        request: Callable[[tuple[str, ...]], object],
        knock: Callable[[Http01Challenge], bool],
        stopping: threading.Event,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._app = app
        self._request = request
        self._knock = knock
        self._stopping = stopping
        self._patience = patience_seconds
        #: As they were written.
        self._unread = list(dict.fromkeys(app.settings.domains))
        self._waiting: list[str] = []
        #: Their port 80 answers, or is not waited for any longer.
        self._ready: list[str] = []
        self._faults: list[Exception] = []

    def step(self) -> None:
        """
        Request all that is left.

        Raises:
            Exception: The first fault, after everything else was tried; the next call does the rest.
        """
        self._faults.clear()
        for given in list(self._unread):
            with self._noted():
                self._read(given)
        self._request_ready()
        with ExitStack() as stack:
            self._wait(list(self._answers(stack)))
        if self._faults:
            raise self._faults[0]

    @contextmanager
    def _noted(self) -> Iterator[None]:
        # A fault with one name costs the others nothing.
        try:
            yield
        except Exception as fault:
            self._faults.append(fault)

    def _read(self, given: str) -> None:
        try:
            name = normalize(given, private=self._app.settings.authority.private_names)
        except CertworkerError as failure:
            # No job will ever meet it.
            self._app.notifier.notify_failed(given, failure, None, self._app.clock())
            logger.warning("_APP_DOMAIN %s", failure, extra={"code": failure.code})
        else:
            if name not in self._waiting:
                self._waiting.append(name)
        self._unread.remove(given)

    def _answers(self, stack: ExitStack) -> Iterator[Http01Challenge]:
        """
        Yield an answer for each name that is waited for, present until *stack* ends.
        """
        issuer = self._app.issuers[0]
        for name in list(self._waiting):
            token = secrets.token_urlsafe(24)
            try:
                answer = Http01Challenge(name, token, f"{token}.{issuer.client.thumbprint}")
                stack.enter_context(present([answer], issuer.solvers))
            except CertworkerError as failure:
                # Its job reports that as well, with the next attempt.
                logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
                self._is_ready(name)
            except Exception as fault:
                self._faults.append(fault)
            else:
                yield answer
        self._request_ready()

    def _wait(self, answers: list[Http01Challenge]) -> None:
        deadline, pause, told = time.monotonic() + self._patience, FIRST_PAUSE_SECONDS, False
        while answers and not self._stopping.is_set():
            beat()
            answered = self._knocked(answers[:KNOCKS_AT_A_TIME])
            for answer in answered:
                self._is_ready(answer.name)
            self._request_ready()
            # Those that did not answer go to the end.
            answers = [*answers[KNOCKS_AT_A_TIME:], *answers[:KNOCKS_AT_A_TIME]]
            answers = [answer for answer in answers if answer not in answered]
            if answers and not told:
                told = True
                logger.info(
                    "waiting up to %.0f s until port 80 answers for %s",
                    self._patience,
                    _listed([answer.name for answer in answers]),
                    extra={"event": "start"},
                )
            if answers and time.monotonic() > deadline:
                self._give_up(answer.name for answer in answers)
                return
            if answers:
                self._stopping.wait(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    def _knocked(self, answers: list[Http01Challenge]) -> list[Http01Challenge]:
        """
        Knock for all *answers* at the same time, and return those that arrived.
        """
        arrived: list[Http01Challenge] = []

        def knock(answer: Http01Challenge) -> None:
            with self._noted():
                if self._knock(answer):
                    arrived.append(answer)

        # Those of an executor would keep a program alive that is to end.
        threads = [threading.Thread(target=knock, args=(each,), daemon=True) for each in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return arrived

    def _give_up(self, names: Iterable[str]) -> None:
        for name in names:
            logger.warning(
                "port 80 did not answer within %.0f s; the CA is asked all the same",
                self._patience,
                extra={"domain": name},
            )
            self._is_ready(name)
        self._request_ready()

    def _is_ready(self, name: str) -> None:
        self._waiting.remove(name)
        self._ready.append(name)

    def _request_ready(self) -> None:
        for name in list(self._ready):
            with self._noted():
                self._request((name,))
                self._ready.remove(name)


def _listed(names: list[str]) -> str:
    shown = ", ".join(printable(name, 253) for name in islice(names, MOST_NAMES_SHOWN))
    more = len(names) - MOST_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
