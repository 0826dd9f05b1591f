"""
Requests a certificate for each name of the installation after the start of the worker.

The names are those of `_APP_DOMAIN`, and the wildcards of Appwrite's functions and sites. A name that uses
DNS-01 is requested immediately. Any other name is requested as soon as its port 80 serves a test response, or
after a minute. Up to 64 names are probed at the same time. Before Traefik routes the challenge path, an
attempt would fail: in the preflight, or in the validation, which counts against the limits of the CA.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice

from certworker.challenges.challenge import DNS01, Http01Challenge, present
from certworker.domains import normalize
from certworker.errors import CertworkerError, printable
from certworker.issuance.issuer import Issuer
from certworker.supervision import Faults, Loop, beat, unexplained

logger = logging.getLogger(__name__)

#: Traefik may need a few seconds to route the challenge path after `docker compose up`.
PORT_80_TIMEOUT_SECONDS = 60.0

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0

#: The maximum number of names that are probed at the same time. More names are probed in batches, one after
#: another.
CONCURRENT_PROBES = 64

#: The maximum number of names in one log line.
MAX_NAMES_SHOWN = 10


class OwnDomains:
    """
    Requests the names of the installation, each as soon as the CA can validate it or its wait has ended.

    Args:
        domains: The names as the operator wrote them, each with its variable.
        issuer: Presents the responses that are probed.
        private_names: Whether the CA issues certificates for names of a private network.
        wildcards: Whether wildcards are accepted.
        request: Puts a request for one or more names on the queue.
        is_reachable: Returns whether port 80 of a name serves a test response.
        reject: Reports a name for which no CA would issue a certificate.
        explain: Returns the CertworkerError for an exception of another library, or None.
        timeout_seconds: How long to wait for port 80 of the names.

    Attributes:
        loop: The loop and its heartbeat. It ends when all names are requested.
    """

    def __init__(
        self,
        domains: Mapping[str, str],
        issuer: Issuer,
        *,
        private_names: bool,
        wildcards: bool,
        request: Callable[[tuple[str, ...]], object],
        is_reachable: Callable[[Http01Challenge], bool],
        reject: Callable[[str, CertworkerError], object],
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        timeout_seconds: float = PORT_80_TIMEOUT_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._normalize = partial(normalize, private=private_names, wildcards=wildcards)
        self._request = request
        self._is_reachable = is_reachable
        self._reject = reject
        self._timeout = timeout_seconds
        self._domains = domains
        self._unread = list(domains)
        self._waiting: list[str] = []
        #: Names to request now: they use DNS-01, port 80 serves the test response, or the wait has ended.
        self._ready: list[str] = []
        self._errors: list[Exception] = []
        faults = Faults("the requests for the names of the installation", explain)
        self.loop = Loop("own_domains", self.step, faults=faults)

    def step(self) -> None:
        """
        Request all names that are not yet requested, and wait for port 80 if necessary.

        Raises:
            Exception: The first error, after all other names were tried. The next call retries the names that
                failed.
        """
        self._errors.clear()
        for text in list(self._unread):
            with self._errors_collected():
                self._read(text)
        self._request_ready()
        with ExitStack() as stack:
            self._wait(list(self._present_answers(stack)))
        if self._errors:
            raise self._errors[0]

    @contextmanager
    def _errors_collected(self) -> Iterator[None]:
        # An error with one name does not affect the others.
        try:
            yield
        except Exception as error:
            self._errors.append(error)

    def _read(self, text: str) -> None:
        try:
            name = self._normalize(text)
        except CertworkerError as failure:
            # No job can report the failure.
            self._reject(text, failure)
            logger.warning("%s: %s", self._domains[text], failure, extra={"code": failure.code})
        else:
            in_dns = self._issuer.client.challenge_type(name) == DNS01
            names = self._ready if in_dns else self._waiting
            if name not in names:
                names.append(name)
        self._unread.remove(text)

    def _present_answers(self, stack: ExitStack) -> Iterator[Http01Challenge]:
        """
        Publish and yield a response for each waiting name. The response stays published until *stack* closes.
        """
        for name in list(self._waiting):
            token = secrets.token_urlsafe(24)
            try:
                answer = Http01Challenge(name, token, f"{token}.{self._issuer.client.thumbprint}")
                stack.enter_context(present([answer], self._issuer.solvers))
            except CertworkerError as failure:
                # The job also reports the failure, with the time of the next attempt.
                logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
                self._end_wait(name)
            except Exception as error:
                self._errors.append(error)
            else:
                yield answer
        self._request_ready()

    def _wait(self, answers: list[Http01Challenge]) -> None:
        deadline, pause, logged = time.monotonic() + self._timeout, FIRST_PAUSE_SECONDS, False
        while answers and not self.loop.stopping.is_set():
            beat()
            batch, others = answers[:CONCURRENT_PROBES], answers[CONCURRENT_PROBES:]
            reachable = self._probe(batch)
            for answer in reachable:
                self._end_wait(answer.name)
            self._request_ready()
            answers = [*others, *(answer for answer in batch if answer not in reachable)]
            if answers and not logged:
                logged = True
                logger.info(
                    "waiting up to %.0f s for port 80 to serve a test response for %s",
                    self._timeout,
                    _joined([answer.name for answer in answers]),
                    extra={"event": "start"},
                )
            if answers and time.monotonic() > deadline:
                self._give_up(answer.name for answer in answers)
                return
            if answers:
                self.loop.stopping.wait(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    def _probe(self, answers: list[Http01Challenge]) -> list[Http01Challenge]:
        """
        Probe all *answers* at the same time; return those that are reachable.
        """
        reachable: list[Http01Challenge] = []

        def probe(answer: Http01Challenge) -> None:
            with self._errors_collected():
                if self._is_reachable(answer):
                    reachable.append(answer)

        # Unlike these daemon threads, the threads of an executor would delay the end of the process.
        threads = [threading.Thread(target=probe, args=(answer,), daemon=True) for answer in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return reachable

    def _give_up(self, names: Iterable[str]) -> None:
        for name in names:
            logger.warning(
                "port 80 did not serve a test response within %.0f s; requesting the certificate anyway",
                self._timeout,
                extra={"domain": name},
            )
            self._end_wait(name)
        self._request_ready()

    def _end_wait(self, name: str) -> None:
        self._waiting.remove(name)
        self._ready.append(name)

    def _request_ready(self) -> None:
        for name in list(self._ready):
            with self._errors_collected():
                self._request((name,))
                self._ready.remove(name)


def _joined(names: list[str]) -> str:
    shown = ", ".join(printable(name, 253) for name in islice(names, MAX_NAMES_SHOWN))
    more = len(names) - MAX_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
